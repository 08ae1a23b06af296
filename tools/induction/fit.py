"""Fits the strengths of clauses, and says how well a pattern does on train."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman.tools.patterns.language import LEVELS, Clause, Pattern

from .grow import Evidence

Doubles = NDArray[np.float64]

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


class Cells:
    """Train tokens and contexts grouped by which of the clauses hold for them: enough to judge any choice of strengths."""

    def __init__(self, evidence: Evidence, clauses: list[Clause]) -> None:
        cells = 1 << len(clauses)
        places = [evidence.places(clause.tokens, clause.conditions) for clause in clauses]
        code = evidence.code
        for bit, at in enumerate(places):
            code[at] |= 1 << bit
        self.n, self.s = np.zeros(cells), np.zeros(cells)
        for bit, at in enumerate(places):
            own = code[at]
            first = (own & ((1 << bit) - 1)) == 0
            self.n += np.bincount(own[first], minlength=cells)
            self.s += np.bincount(own[first], evidence.y[at[first]].astype(np.float64), cells)
        for at in places:
            code[at] = 0
        contexts = evidence.contexts
        rows = [evidence.rows(clause.tokens, clause.conditions) for clause in clauses]
        code = contexts.code
        for bit, row in enumerate(rows):
            code[row] |= 1 << bit
        self.hits, self.alarms = np.zeros(cells), np.zeros(cells)
        for bit, row in enumerate(rows):
            own = code[row]
            first = (own & ((1 << bit) - 1)) == 0
            self.hits += np.bincount(own[first], contexts.fires[row[first]], cells)
            self.alarms += np.bincount(own[first], contexts.silent[row[first]], cells)
        for row in rows:
            code[row] = 0
        self.member = ((np.arange(cells)[:, None] >> np.arange(len(clauses))) & 1).astype(bool)
        self.tokens = len(evidence.y)
        self.sum = evidence.sum
        self.total = evidence.total

    def correlation(self, levels: Doubles) -> float:
        """Pearson correlation on train of the prediction with these strengths. Shape of levels: (clauses,)."""
        p = np.max(np.where(self.member, levels, 0.0), axis=1, initial=0.0)
        mean_p, mean_y = float(self.n @ p) / self.tokens, self.sum / self.tokens
        covariance = float(self.s @ p) / self.tokens - mean_p * mean_y
        variance = (float(self.n @ (p * p)) / self.tokens - mean_p**2) * (self.total / self.tokens - mean_y**2)
        return covariance / variance**0.5 if variance > 0 else 0.0

    def accuracy(self) -> float:
        """Balanced accuracy on train contexts, a context being predicted to fire where any clause holds."""
        return (1 + float(self.hits.sum()) - float(self.alarms.sum())) / 2

    def errors(self, levels: Doubles, place: int, choices: Doubles) -> Doubles:
        """Squared error on train, less a constant, with each of the strengths tried for one clause. Shape: (choices,)."""
        others = np.where(self.member, levels, 0.0)
        others[:, place] = 0.0
        p = np.maximum(others.max(axis=1)[None], np.where(self.member[:, place], choices[:, None], 0.0))
        return np.asarray((p * p) @ self.n - 2 * p @ self.s)


def fit_levels(evidence: Evidence, clauses: list[Clause]) -> tuple[Pattern, Fit]:
    """The clauses with the strengths that fit train best, and how well they do there."""
    cells = Cells(evidence, clauses)
    mean = np.array([(cells.s @ column) / max(1.0, cells.n @ column) for column in cells.member.T])
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
