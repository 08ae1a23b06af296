"""Fits the strengths of clauses, and drops what does not earn its words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dragoman.tools.patterns.language import LEVELS, Clause, Pattern

from .grow import Evidence

Doubles = NDArray[np.float64]

_NAMES = list(LEVELS)
_VALUES = np.array([LEVELS[name] for name in _NAMES])


class Cells:
    """Train tokens grouped by which of the clauses hold for them: enough to judge any choice of strengths."""

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

    def errors(self, levels: Doubles, place: int, choices: Doubles) -> Doubles:
        """Squared error on train, less a constant, with each of the strengths tried for one clause. Shape: (choices,)."""
        others = np.where(self.member, levels, 0.0)
        others[:, place] = 0.0
        p = np.maximum(others.max(axis=1)[None], np.where(self.member[:, place], choices[:, None], 0.0))
        return np.asarray((p * p) @ self.n - 2 * p @ self.s)


def fit_levels(evidence: Evidence, clauses: list[Clause]) -> tuple[Pattern, float]:
    """The clauses with the strengths that fit train best, without those better left out, and the correlation on train."""
    cells = Cells(evidence, clauses)
    mean = np.array([(cells.s @ column) / max(1.0, cells.n @ column) for column in cells.member.T])
    levels = _VALUES[np.argmin(np.abs(_VALUES[None] - mean[:, None]), axis=1)]
    choices = np.append(_VALUES, 0.0)
    for _ in range(6):
        before = levels.copy()
        for place in range(len(clauses)):
            levels[place] = choices[int(np.argmin(cells.errors(levels, place, choices)))]
        if np.array_equal(before, levels):
            break
    kept = [
        Clause(_NAMES[int(np.argmin(np.abs(_VALUES - level)))], clause.tokens, clause.conditions)
        for clause, level in zip(clauses, levels, strict=True)
        if level > 0
    ]
    if not kept:
        best = int(np.argmax(mean))
        kept, levels = [Clause("faintly", clauses[best].tokens, clauses[best].conditions)], np.zeros(len(clauses))
        levels[best] = LEVELS["faintly"]
    return Pattern(tuple(kept)), cells.correlation(levels)
