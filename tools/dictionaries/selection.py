"""The k largest pre-activations of each token, exactly, without ordering all of them.

On a CPU, for each row:

1. The row is cut into blocks; the k-th largest of the blocks' maxima is a bound: k blocks hold an entry at least that large.
2. Blocks whose maximum reaches the bound are gathered, a few more than k; their entries that reach it are the candidates.
3. Where there are more than k candidates, the smallest go.

That looks at every entry once, for its block's maximum. Elsewhere torch.topk is used.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .dictionary import SparseCodes

_BLOCKS = (64, 32, 16)
"""Sizes of a block, the first that leaves at least twice k blocks counts."""


def top_k(p: Float[Tensor, "tokens width"], k: int) -> SparseCodes:
    """The k largest entries of each row that are above zero, ordered by row and then by feature."""
    width = p.shape[1]
    block = next((b for b in _BLOCKS if width % b == 0 and width >= 2 * k * b), None)
    if p.device.type == "cpu" and p.dtype == torch.float32 and block is not None and len(p):
        return _by_bound(p, k, block)
    values, features = torch.topk(p, k, dim=-1, sorted=False)
    features, order = torch.sort(features, dim=-1)
    values = values.gather(-1, order)
    token = torch.arange(len(p), device=p.device)[:, None].expand_as(features)
    keep = values > 0
    return SparseCodes(token[keep], features[keep], values[keep])


def _by_bound(p: Float[Tensor, "tokens width"], k: int, block: int) -> SparseCodes:
    rows, blocks = len(p), p.shape[1] // block
    maxima = p.view(rows, blocks, block).amax(-1).numpy()
    bound = np.partition(maxima, blocks - k, axis=1)[:, blocks - k]
    bound = np.maximum(bound, np.finfo(np.float32).tiny)  # only what is above zero is wanted
    which = np.flatnonzero(maxima >= bound[:, None])
    gathered = p.view(-1, block)[torch.from_numpy(which)].numpy()
    at = np.flatnonzero(gathered >= bound[which // blocks][:, None])
    value = gathered.reshape(-1)[at]
    flat = which[at // block] * block + at % block
    row = flat // p.shape[1]
    keep = _largest(row, value, rows, k)
    row, flat, value = row[keep], flat[keep], value[keep]
    return SparseCodes(torch.from_numpy(row), torch.from_numpy(flat - row * p.shape[1]), torch.from_numpy(value))


def _largest(row: np.ndarray, value: np.ndarray, rows: int, k: int) -> np.ndarray:
    """Which candidates are among the k largest of their row; of equal ones the first. `row` is ascending."""
    counts = np.bincount(row, minlength=rows)
    most = int(counts.max(initial=0))
    if most <= k:
        return np.ones(len(row), bool)
    slot = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((rows, most), -np.inf, np.float32)
    table[row, slot] = value
    least = np.partition(table, most - k, axis=1)[:, most - k][row]
    keep = value >= least
    if np.bincount(row[keep], minlength=rows).max() > k:
        tied = value == least
        room = k - np.bincount(row[value > least], minlength=rows)
        before = np.cumsum(tied) - tied
        first = np.searchsorted(row, row)  # where the row of each candidate begins
        keep = (value > least) | (tied & (before - before[first] < room[row]))
    return np.asarray(keep, bool)
