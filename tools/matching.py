"""The features of one dictionary matched to another's: two seeds, two layers, a coarse and a fine one.

By decoder: the cosine of decoder directions. By activation: the Pearson correlation of activations on the same train tokens, from
one store with both dictionaries or from two stores of the same text. Each feature's match is its nearest in the other dictionary;
it is matched where the measure reaches the threshold, and mutual where each is the other's nearest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
import scipy.sparse
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from dragoman.store.display import table_html, table_text
from dragoman.store.errors import UserError
from dragoman.store.records import DictionaryInfo
from dragoman.store.tokens import TokenTable

Measure = Literal["decoder", "activation"]
THRESHOLD = 0.7
MAX_TOKENS = 200_000
"""Train tokens that correlations are taken over, at most: contexts evenly spaced over the split."""
_CHUNK = 1024
_SHOWN = 20


class Rows(Protocol):
    """What is read of a store: train rows only. A `TrainView` is one."""

    @property
    def tokens(self) -> TokenTable:
        """All train tokens."""
        ...

    def matrix(self, first: int, width: int, rows: Int64[np.ndarray, " contexts"]) -> scipy.sparse.csc_matrix:
        """Activations of a range of features on the tokens of some contexts."""
        ...


class Pair(NamedTuple):
    """A feature and its nearest in the other dictionary."""

    feature: int
    """Index in the first dictionary."""
    other: int
    """Index of the nearest in the second."""
    value: float
    """Cosine or correlation."""
    mutual: bool
    """Whether it is the nearest of its nearest as well."""


@dataclass(frozen=True)
class Matching:
    """Every feature of the first dictionary (but those that cannot be measured) with its nearest in the second."""

    first: str
    """Name of the first dictionary."""
    second: str
    """Name of the second."""
    measure: Measure
    """What nearness is."""
    over: str
    """What it was measured on, in words."""
    threshold: float
    """Matched from here on."""
    pairs: tuple[Pair, ...]
    """Best first."""
    unmeasured: int
    """Features of the first that are constant on the tokens, or have no direction."""
    matched: float
    """Share of the measured features of the first with a match in the second."""
    matched_back: float
    """Share of the measured features of the second with a match in the first."""
    mutual: float
    """Share of the measured features of the first whose match is mutual and reaches the threshold."""
    median: float
    """Median of the measure over the measured features of the first."""

    def __repr__(self) -> str:
        return f"{self.summary()}\n{table_text(*self._table())}"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return table_html(*self._table())

    def summary(self) -> str:
        """The shares in words."""
        return (
            f"{self.matched:.1%} of the features of {self.first} have a match in {self.second} ({self.measure} at least "
            f"{self.threshold:g}), {self.mutual:.1%} a mutual one; {self.matched_back:.1%} the other way round; "
            f"median {self.median:.3f}. Measured on {self.over}; {self.unmeasured} features could not be measured."
        )

    def _table(self) -> tuple[list[str], list[dict[str, object]], str]:
        rows: list[dict[str, object]] = [
            {
                self.first: p.feature,
                self.second + (" " if self.first == self.second else ""): p.other,
                self.measure: round(p.value, 4),
                "mutual": "yes" if p.mutual else "",
            }
            for p in self.pairs[:_SHOWN]
        ]
        names = list(rows[0]) if rows else [self.first]
        return names, rows, self.summary()


@torch.inference_mode()
def match_decoders(
    first: str, a: Float[Tensor, "m d"], second: str, b: Float[Tensor, "n d"], threshold: float = THRESHOLD
) -> Matching:
    """Match by the cosine of decoder directions.

    Raises:
        UserError: the directions have different widths, or the threshold is not between 0 and 1.
    """
    _check(threshold)
    if a.shape[1] != b.shape[1]:
        raise UserError(
            f"The directions of {first} have width {a.shape[1]}, those of {second} {b.shape[1]}: they cannot be compared."
        )
    a, b = (torch.nn.functional.normalize(x.float().cpu(), dim=-1) for x in (a, b))
    best = _Best(len(a), len(b))
    for start in range(0, len(a), _CHUNK):
        best.add(start, (a[start : start + _CHUNK] @ b.T).numpy())
    best.drop(a.norm(dim=-1).numpy() == 0, b.norm(dim=-1).numpy() == 0)
    return best.matching(first, second, "decoder", "decoder directions", threshold)


def match_activations(
    first: DictionaryInfo,
    rows_of_first: Rows,
    second: DictionaryInfo,
    rows_of_second: Rows,
    threshold: float = THRESHOLD,
    max_tokens: int = MAX_TOKENS,
) -> Matching:
    """Match by the correlation of activations on the same train tokens.

    Args:
        first: one dictionary.
        rows_of_first: train rows of its store.
        second: the other.
        rows_of_second: train rows of its store; the same object for two dictionaries of one store.
        threshold: matched from here on.
        max_tokens: tokens to measure on, at most.

    Raises:
        UserError: the stores do not hold the same train tokens, or the threshold is not between 0 and 1.
    """
    _check(threshold)
    table, two = rows_of_first.tokens, rows_of_second is not rows_of_first
    if two:
        other = rows_of_second.tokens
        if not np.array_equal(table.starts, other.starts) or not np.array_equal(table.ids, other.ids):
            raise UserError("The two stores do not hold the same train tokens: harvest both from the same text, with one window.")
    step = max(1, -(-len(table.ids) // max(1, max_tokens)))
    chosen = np.arange(0, table.n_contexts, step, dtype=np.int64)
    a = rows_of_first.matrix(first.offset, first.width, chosen)
    b = rows_of_second.matrix(second.offset, second.width, chosen)
    (mean_a, spread_a), (mean_b, spread_b) = _moments(a), _moments(b)
    best = _Best(first.width, second.width)
    n = max(1, a.shape[0])
    for start in range(0, first.width, _CHUNK):
        own = slice(start, start + _CHUNK)
        covariance = (a[:, own].T @ b).toarray() / n - np.outer(mean_a[own], mean_b)
        best.add(start, covariance / np.maximum(1e-30, np.outer(spread_a[own], spread_b)))
    best.drop(spread_a == 0, spread_b == 0)
    stores = "two stores of the same text" if two else "one store"
    return best.matching(first.name, second.name, "activation", f"{n:,} train tokens of {stores}", threshold)


class _Best:
    """The nearest of each feature, both ways, from blocks of rows of the table of all values."""

    def __init__(self, m: int, n: int) -> None:
        self.value, self.other = np.full(m, -np.inf), np.zeros(m, np.int64)
        self.back_value, self.back = np.full(n, -np.inf), np.zeros(n, np.int64)

    def add(self, start: int, block: Float[np.ndarray, "rows n"]) -> None:
        """Take in the values of some features of the first dictionary."""
        own = slice(start, start + len(block))
        self.other[own] = block.argmax(1)
        self.value[own] = block.max(1)
        most = block.max(0)
        better = most > self.back_value
        self.back[better] = start + block.argmax(0)[better]
        self.back_value[better] = most[better]

    def drop(self, first: np.ndarray, second: np.ndarray) -> None:
        """Leave out features that cannot be measured."""
        self.value[first], self.back_value[second] = -np.inf, -np.inf

    def matching(self, first: str, second: str, measure: Measure, over: str, threshold: float) -> Matching:
        """The result."""
        measured = np.flatnonzero(np.isfinite(self.value))
        order = measured[np.argsort(-self.value[measured], kind="stable")]
        pairs = tuple(
            Pair(int(i), int(self.other[i]), float(self.value[i]), bool(self.back[self.other[i]] == i)) for i in order.tolist()
        )
        back = self.back_value[np.isfinite(self.back_value)]
        reached = [p for p in pairs if p.value >= threshold]
        n = max(1, len(pairs))
        return Matching(
            first=first,
            second=second,
            measure=measure,
            over=over,
            threshold=threshold,
            pairs=pairs,
            unmeasured=len(self.value) - len(pairs),
            matched=len(reached) / n,
            matched_back=float((back >= threshold).mean()) if len(back) else 0.0,
            mutual=sum(p.mutual for p in reached) / n,
            median=float(np.median([p.value for p in pairs])) if pairs else 0.0,
        )


def _moments(x: scipy.sparse.csc_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column."""
    n = max(1, x.shape[0])
    x = x.astype(np.float64)
    mean = np.asarray(x.sum(0)).ravel() / n
    square = np.asarray(x.multiply(x).sum(0)).ravel() / n
    return mean, np.sqrt(np.maximum(0.0, square - mean**2))


def _check(threshold: float) -> None:
    if not 0 < threshold <= 1:
        raise UserError(f"The threshold {threshold} must be above 0 and at most 1.")
