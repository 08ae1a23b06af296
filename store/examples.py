"""Stratified evidence: which contexts of a split to show for a feature.

- top: the contexts with the highest peaks.
- quantile: contexts drawn evenly from the deciles of the non-zero train activations that their peaks fall in.
- random_active: contexts drawn from all in which the feature fires.
- near_miss: contexts in which it is silent although they hold a token it fires on in train, or a feature near it fires in
  them; alternating.
- random_silent: contexts drawn from all in which it is silent, that is, zero at every token.

Draws depend on seed, feature, split and stratum alone. Contexts of a sampled store that are active but not stored are in no
stratum.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float32, Int64, Integer

from . import display
from .errors import UserError
from .facts import FeatureFacts
from .hashing import seed_of
from .reading import SplitReader
from .records import Example, Stratum, TrainStats

STRATA: tuple[Stratum, ...] = ("top", "quantile", "random_active", "near_miss", "random_silent")
TRIGGER_TOKENS = 12
"""Near misses look for so many of the tokens the feature fires on most often in train."""


class Examples(list[Example]):
    """Examples that a notebook shows with highlighted tokens."""

    def _repr_html_(self) -> str:
        return display.examples_html(self)


class Strata:
    """Chooses examples from one split."""

    def __init__(self, reader: SplitReader, train: SplitReader, facts: FeatureFacts) -> None:
        """reader: the split to show. train: where trigger tokens come from."""
        self._reader = reader
        self._train = train
        self._facts = facts

    def examples(self, feature: int, stratum: Stratum, n: int, seed: int) -> Examples:
        """At most n examples of a stratum; fewer where there are not so many. Raises `UserError` for an unknown stratum."""
        if stratum not in STRATA:
            raise UserError(f"There is no stratum {stratum!r}: the strata are {', '.join(STRATA)}.")
        stats = self._facts.train_stats(feature)
        flat, values = self._reader.activations(feature)
        rows, peaks = self._peaks(flat, values)
        random = np.random.default_rng(seed_of(seed, feature, self._reader.split, stratum))
        if stratum == "top":
            chosen = rows[np.lexsort((rows, -peaks))]
        elif stratum == "quantile":
            chosen = _even(rows, np.searchsorted(np.array(stats.quantiles[1:-1]), peaks, side="right"), random)
        elif stratum == "random_active":
            chosen = random.permutation(rows[peaks > stats.threshold])
        else:
            silent = np.ones(self._reader.index.n, bool)
            silent[rows] = False
            silent[self._reader.unstored(feature)] = False
            if stratum == "random_silent":
                chosen = random.permutation(np.flatnonzero(silent))
            else:
                chosen = self._near_misses(feature, stats.threshold, silent, random)
        return self._examples(chosen[:n], flat, values, stats, stratum)

    def _near_misses(
        self, feature: int, threshold: float, silent: Bool[np.ndarray, " rows"], random: np.random.Generator
    ) -> Int64[np.ndarray, " n"]:
        """Silent contexts that hold a trigger token, and silent contexts in which a near feature fires, alternating."""
        tokens = self._reader.tokens
        trigger = np.zeros(len(tokens.vocabulary), bool)
        trigger[self._trigger_tokens(feature, threshold)] = True
        hits = np.zeros(len(silent), bool)
        hits[tokens.row[trigger[tokens.ids]]] = True
        by_token = random.permutation(np.flatnonzero(hits & silent))
        beside = []
        for rows in self._reader.firing(self._facts.near(feature), self._facts.scales.threshold):
            beside.append(random.permutation(rows[silent[rows]]))
        return _alternating([by_token, _alternating(beside)])

    def _trigger_tokens(self, feature: int, threshold: float) -> Int64[np.ndarray, " tokens"]:
        """The token ids a feature fires on most often in train."""
        flat, values = self._train.activations(feature)
        fired, counts = np.unique(self._train.tokens.ids[flat[values > threshold]], return_counts=True)
        return fired[np.lexsort((fired, -counts))][:TRIGGER_TOKENS].astype(np.int64)

    def _peaks(
        self, flat: Int64[np.ndarray, " n"], values: Float32[np.ndarray, " n"]
    ) -> tuple[Int64[np.ndarray, " rows"], Float32[np.ndarray, " rows"]]:
        """The rows in which a feature is active, ascending, and its largest value in each."""
        rows = self._reader.index.row_of_token(flat)
        first = np.flatnonzero(np.diff(rows, prepend=-1))
        return rows[first], np.maximum.reduceat(values, first) if len(first) else values[:0]

    def _examples(
        self,
        rows: Int64[np.ndarray, " n"],
        flat: Int64[np.ndarray, " m"],
        values: Float32[np.ndarray, " m"],
        stats: TrainStats,
        stratum: Stratum,
    ) -> Examples:
        index = self._reader.index
        contexts = self._reader.contexts(index.context_ids[rows].tolist())
        found = Examples()
        begins, ends = index.starts[rows], index.starts[rows + 1]
        spans = np.stack((begins, ends, np.searchsorted(flat, begins), np.searchsorted(flat, ends)), axis=1).tolist()
        for context, (begin, end, first, last) in zip(contexts, spans, strict=True):
            dense = np.zeros(end - begin, np.float32)
            dense[flat[first:last] - begin] = values[first:last]
            found.append(
                Example.model_construct(
                    context=context, values=tuple(dense.tolist()), stratum=stratum, threshold=stats.threshold, scale=stats.max
                )
            )
        return found


def _even(rows: Int64[np.ndarray, " n"], bins: Integer[np.ndarray, " n"], random: np.random.Generator) -> Int64[np.ndarray, " n"]:
    """The rows in an order that takes one from each bin in turn, highest bin first, at random within a bin."""
    return _alternating([random.permutation(rows[bins == number]) for number in np.unique(bins)[::-1]])


def _alternating(lists: Sequence[Int64[np.ndarray, " n"]]) -> Int64[np.ndarray, " m"]:
    """One from each list in turn, without repeats."""
    if not lists:
        return np.empty(0, np.int64)
    turn = np.concatenate([np.arange(len(rows)) for rows in lists])
    merged = np.concatenate(lists)[np.argsort(turn, kind="stable")].astype(np.int64)
    return merged[np.sort(np.unique(merged, return_index=True)[1])]
