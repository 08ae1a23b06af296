"""Fits the strengths of clauses, and says how well a pattern does on train."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman.tools.patterns.language import LEVELS, Clause, Pattern

from .grow import Evidence

Doubles = NDArray[np.float64]
Longs = NDArray[np.int64]

_NAMES = list(LEVELS)
_VALUES = np.array([LEVELS[name] for name in _NAMES])


class Fit(NamedTuple):
    """How well a pattern does on a split."""

    r: float
    """Pearson correlation of predicted with real activation over all tokens."""
    accuracy: float
    """Balanced accuracy over contexts of "fires where a clause holds somewhere", near misses counting as much as all silent
    contexts together."""

    @property
    def aim(self) -> float:
        """What induction seeks: the mean of the two."""
        return (self.r + self.accuracy) / 2


class Groups:
    """Items of one sort (train tokens, or contexts), summed up by which of some clauses hold for them."""

    def __init__(self, items: int, members: Sequence[Longs], weights: Sequence[NDArray[np.floating] | None]) -> None:
        """`members`: the items of each clause; `weights`: what is summed, None for a plain count. Shapes: (found,), (items,)."""
        self.weights = weights
        self.code = np.zeros(items, np.int64)
        self.sums = np.zeros((len(weights), 1 << len(members)))
        """Each weight's sum over the items for which just these clauses hold; 0 for none of them. Shape: (weights, cells)."""
        for bit, at in enumerate(members):
            self.code[at] |= 1 << bit
        for bit, at in enumerate(members):
            own = self.code.take(at)
            first = (own & ((1 << bit) - 1)) == 0
            self.sums += self._tally(own[first], at[first])

    def without(self, place: int) -> Doubles:
        """The sums if one of the clauses were not there. Shape: (weights, cells / 2)."""
        sums: Doubles = self.sums.reshape(len(self.weights), -1, 2, 1 << place).sum(2).reshape(len(self.weights), -1)
        sums[:, 0] = 0
        return sums

    def swapped(self, place: int, at: Longs) -> Doubles:
        """The sums if one of the clauses held for other items. Shape: (weights, cells)."""
        bit = 1 << place
        sums = self.sums.reshape(len(self.weights), -1, 2, bit).copy()
        here = self._tally(self.code.take(at) & ~bit, at).reshape(sums.shape)[:, :, 0]
        sums[:, :, 0] = sums.sum(2) - here
        sums[:, :, 1] = here
        flat = sums.reshape(len(self.weights), -1)
        flat[:, 0] = 0
        return flat

    def _tally(self, code: Longs, at: Longs) -> Doubles:
        sums = np.empty_like(self.sums)
        for row, weight in zip(sums, self.weights, strict=True):
            if weight is None:
                row[:] = np.bincount(code, None, len(row))
            else:
                own = weight.take(at)
                heavy = np.flatnonzero(own != 0)  # most weigh nothing
                row[:] = np.bincount(code.take(heavy), own.take(heavy), len(row))
        return sums


class Board:
    """Some clauses on train, from which it is cheap to say what one change among them would do."""

    def __init__(self, evidence: Evidence, clauses: Sequence[Clause]) -> None:
        self.evidence = evidence
        self.clauses = clauses
        bodies = [(clause.tokens, clause.conditions) for clause in clauses]
        contexts = evidence.contexts
        self.tokens = Groups(len(evidence.y), [evidence.places(*body) for body in bodies], (None, evidence.y))
        self.contexts = Groups(len(contexts.fires), [evidence.rows(*body) for body in bodies], (contexts.fires, contexts.silent))

    def fit(self) -> tuple[Pattern, Fit]:
        """The clauses with the strengths that fit train best, and how well they do there."""
        return _fit_levels(self.clauses, Cells(self.evidence, self.tokens.sums, self.contexts.sums))

    def fit_changed(self, place: int, clause: Clause | None) -> tuple[Pattern, Fit]:
        """The same with another clause in this place, or none."""
        evidence, before, after = self.evidence, self.clauses[:place], self.clauses[place + 1 :]
        if clause is None:
            return _fit_levels([*before, *after], Cells(evidence, self.tokens.without(place), self.contexts.without(place)))
        tokens = self.tokens.swapped(place, evidence.places(clause.tokens, clause.conditions))
        contexts = self.contexts.swapped(place, evidence.rows(clause.tokens, clause.conditions))
        return _fit_levels([*before, clause, *after], Cells(evidence, tokens, contexts))


class Cells:
    """Train tokens and contexts grouped by which of the clauses hold for them: enough to judge any choice of strengths."""

    def __init__(self, evidence: Evidence, tokens: Doubles, contexts: Doubles) -> None:
        """`tokens`: their number and activation; `contexts`: weight of the firing and of the silent ones. Shapes: (2, cells)."""
        self.n, self.s = tokens[0], np.where(tokens[0] > 0, tokens[1], 0.0)
        self.hits, self.alarms = contexts
        cells = len(self.n)
        self.member = ((np.arange(cells)[:, None] >> np.arange(cells.bit_length() - 1)) & 1).astype(np.float64)
        """1 where a clause holds in a cell. Shape: (cells, clauses)."""
        self.tokens = evidence.size
        self.sum = evidence.sum
        self.total = evidence.total

    def correlation(self, levels: Doubles) -> float:
        """Pearson correlation on train of the prediction with these strengths. Shape of levels: (clauses,)."""
        p = np.max(self.member * levels, axis=1, initial=0.0)
        mean_p, mean_y = float(self.n @ p) / self.tokens, self.sum / self.tokens
        covariance = float(self.s @ p) / self.tokens - mean_p * mean_y
        variance = (float(self.n @ (p * p)) / self.tokens - mean_p**2) * (self.total / self.tokens - mean_y**2)
        return covariance / variance**0.5 if variance > 0 else 0.0

    def accuracy(self) -> float:
        """Balanced accuracy on train contexts, a context being predicted to fire where any clause holds."""
        return (1 + float(self.hits.sum()) - float(self.alarms.sum())) / 2

    def errors(self, levels: Doubles, place: int, choices: Doubles) -> Doubles:
        """Squared error on train, less a constant, with each of the strengths tried for one clause. Shape: (choices,)."""
        others = levels.copy()
        others[place] = 0.0
        p = np.maximum((self.member * others).max(axis=1), choices[:, None] * self.member[:, place])
        return np.asarray((p * p) @ self.n - 2 * p @ self.s)


def _fit_levels(clauses: Sequence[Clause], cells: Cells) -> tuple[Pattern, Fit]:
    mean = (cells.s @ cells.member) / np.maximum(1.0, cells.n @ cells.member)
    levels = _VALUES[np.argmin(np.abs(_VALUES[None] - mean[:, None]), axis=1)]
    for _ in range(6):
        before = levels.copy()
        for place in range(len(clauses)):
            levels[place] = _VALUES[int(np.argmin(cells.errors(levels, place, _VALUES)))]
        if np.array_equal(before, levels):
            break
    kept = tuple(
        Clause(_NAMES[int(np.argmin(np.abs(_VALUES - level)))], clause.tokens, clause.conditions)
        for clause, level in zip(clauses, levels, strict=True)
    )
    return Pattern(kept), Fit(cells.correlation(levels), cells.accuracy())
