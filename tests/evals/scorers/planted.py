"""A small exam with a planted feature: token 3 fires it after token 5, with a strength of its own; token 4 is weak."""

from __future__ import annotations

import numpy as np

from dragoman.evals.judge.reader import Step
from dragoman.evals.scorers.exam import Exam, Neighbour
from dragoman.evals.scorers.sample import Sizes, draw
from tests.evals.tables import table

STEP = Step(9, "score/label/x")
TRIGGER, WEAK, BEFORE = 3, 4, 5
STRINGS = [f"t{i} " for i in range(50)]


def exam(contexts: int = 400, length: int = 16, seed: int = 0, dense: bool = False, sizes: Sizes | None = None) -> Exam:
    """One context a document; it fires in a fifth of them, once or twice."""
    rng = np.random.default_rng([7, seed])
    windows = rng.integers(6, 50, (contexts, length))
    values = np.zeros((contexts, length), np.float32)
    for row in range(contexts):
        for at in rng.choice(np.arange(1, length, 2), rng.integers(1, 3), replace=False):
            if row % 5 == 0:
                windows[row, at - 1 : at + 1] = BEFORE, TRIGGER
                values[row, at] = rng.uniform(3, 10)
            elif row % 5 == 1:
                windows[row, at] = TRIGGER
            elif row % 5 == 2 and row % 3 == 0:
                windows[row, at] = WEAK
                values[row, at] = 0.5
    tokens = table(windows.tolist(), list(range(contexts)), STRINGS)
    real = values.ravel()
    flat = np.flatnonzero(real)
    neighbours = tuple(Neighbour(number, np.flatnonzero(tokens.ids == number)) for number in (10, 11, 12, 13))
    near = np.unique(tokens.row[neighbours[0].fires]).astype(np.int64)
    sample = draw(tokens, flat, real[flat], 2.0, [TRIGGER], near, seed, 9, sizes)
    return Exam(9, tokens, real, sample, 2.0, 10.0, dense, neighbours, seed)
