"""Sums over the few features that are active, which is all that a sparse dictionary needs gradients of.

With a few dozen of thousands of features active, everything but the pre-activations is done in coordinates: a token-feature pair
is an entry, entries are ordered by token. On a CPU each of these takes a fraction of a millisecond where gathering rows takes
ten.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

from dragoman.tools.dictionaries.selection import top_k


class Entries(NamedTuple):
    """Which features of which tokens are looked at, ordered by token."""

    token: Int[Tensor, " entries"]
    """Row of the batch."""
    feature: Int[Tensor, " entries"]
    """Index in the dictionary."""
    tokens: int
    """Rows of the batch."""
    features: int
    """Width of the dictionary."""

    @property
    def starts(self) -> Int[Tensor, " tokens"]:
        """Where each token's entries begin."""
        return _starts(self.token, self.tokens)


class Transposed(NamedTuple):
    """The same entries ordered by feature."""

    order: Int[Tensor, " entries"]
    """Their numbers in the order by token."""
    token: Int[Tensor, " entries"]
    """Their tokens."""
    starts: Int[Tensor, " features"]
    """Where each feature's entries begin."""


def largest_of_each(pre: Float[Tensor, "tokens features"], k: int) -> Entries:
    """The k largest pre-activations of each token that are above zero (TopK; Gao et al. 2024, equation 4)."""
    codes = top_k(pre, min(k, pre.shape[1]))
    return Entries(codes.token, codes.feature, *pre.shape)


def largest_of_all(pre: Float[Tensor, "tokens features"], k: int, guess: float = 0.0) -> Entries:
    """The tokens * k largest pre-activations of the batch that are above zero (BatchTopK; Bussmann et al. 2024, section 3).

    `guess`, about the smallest that will be kept, saves time and changes nothing.
    """
    wanted = len(pre) * min(k, pre.shape[1])
    candidates = _above(pre, 0.9 * guess)
    if guess > 0 and len(candidates) < wanted:
        candidates = _above(pre, 0.0)
    if len(candidates) > wanted:
        values = pre.flatten()[candidates]
        kept = torch.zeros(len(candidates), dtype=torch.bool, device=pre.device)
        kept[values.topk(wanted, sorted=False).indices] = True
        candidates = candidates[kept]
    return _entries(candidates, pre)


def all_above(pre: Float[Tensor, "tokens features"], bound: Float[Tensor, " features"]) -> Entries:
    """The pre-activations above a bound that each feature has of its own."""
    return _entries(_above(pre, bound), pre)


def decode(entries: Entries, values: Float[Tensor, " entries"], rows: Float[Tensor, "features d"]) -> Float[Tensor, "tokens d"]:
    """For each token the sum of its features' rows times their values."""
    return embedding_bag(entries.feature, rows, entries.starts, per_sample_weights=values, mode="sum")


def transposed(entries: Entries) -> Transposed:
    """The entries ordered by feature, and by token within a feature."""
    feature = entries.feature
    if feature.device.type == "cpu":  # numpy sorts 16-bit integers by radix
        narrow = np.uint16 if entries.features <= 1 << 16 else np.uint32
        order = torch.from_numpy(np.argsort(feature.numpy().astype(narrow), kind="stable"))
    else:
        order = torch.argsort(feature, stable=True)
    return Transposed(order, entries.token[order], _starts(feature[order], entries.features))


def gather(
    by_feature: Transposed, values: Float[Tensor, " entries"], rows: Float[Tensor, "tokens d"]
) -> Float[Tensor, "features d"]:
    """For each feature the sum of its tokens' rows times the values."""
    return embedding_bag(by_feature.token, rows, by_feature.starts, per_sample_weights=values[by_feature.order], mode="sum")


def products(entries: Entries, a: Float[Tensor, "tokens d"], b: Float[Tensor, "features d"]) -> Float[Tensor, " entries"]:
    """The product of the token's row of `a` and the feature's row of `b`, for each entry."""
    if not _has_sampled(a.device.type):
        parts = zip(entries.token.split(1 << 14), entries.feature.split(1 << 14), strict=True)
        return torch.cat([(a[token] * b[feature]).sum(-1) for token, feature in parts])
    starts = torch.cat([entries.starts, torch.tensor([len(entries.token)], device=a.device)])
    empty = torch.zeros(len(entries.token), device=a.device, dtype=a.dtype)
    pattern = torch.sparse_csr_tensor(starts, entries.feature, empty, (entries.tokens, entries.features), check_invariants=False)
    out: Tensor = torch.sparse.sampled_addmm(pattern, a, b.T, beta=0.0).values()
    return out


@lru_cache
def _has_sampled(device: str) -> bool:
    """Whether torch has the sampled product here; its CPU one comes with MKL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that sparse CSR is in beta
        try:
            one = torch.ones(1, 1, device=device)
            torch.sparse.sampled_addmm(one.to_sparse_csr(), one, one)
        except (RuntimeError, NotImplementedError):
            return False
    return True


def _above(pre: Tensor, bound: Tensor | float) -> Tensor:
    """Places in the flattened matrix of what exceeds the bound."""
    if pre.device.type == "cpu":  # numpy finds them ten times faster
        matrix = pre.numpy()
        return torch.from_numpy(np.flatnonzero(matrix > (bound.numpy() if isinstance(bound, Tensor) else bound)))
    return torch.nonzero((pre > bound).flatten()).squeeze(1)


def _entries(flat: Tensor, pre: Tensor) -> Entries:
    token = torch.div(flat, pre.shape[1], rounding_mode="floor")
    return Entries(token, flat - token * pre.shape[1], *pre.shape)


def _starts(owner: Int[Tensor, " entries"], owners: int) -> Int[Tensor, " owners"]:
    counts = torch.bincount(owner, minlength=owners)
    return counts.cumsum(0) - counts
