"""What one feature is examined on: drawn from one split before any label is read, the same for every judge and contestant."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from dragoman.evals.judge.reader import Passage
from dragoman.store.tokens import TokenTable

from .sample import Rows, Sample


@dataclass(frozen=True)
class Neighbour:
    """A feature that is easily taken for the examined one."""

    feature: int
    """Global id."""
    fires: Int[NDArray[np.int64], " firing"]
    """Tokens of the split on which it fires, ascending."""


@dataclass(frozen=True)
class Exam:
    """Texts and truth of one feature on one split."""

    feature: int
    """Global id."""
    tokens: TokenTable
    """All tokens of the split."""
    real: Float[NDArray[np.float32], " tokens"]
    """The feature's activation at each of them."""
    sample: Sample
    """Which contexts are asked about."""
    threshold: float
    """It fires above this."""
    scale: float
    """Its largest activation on train: what a prediction of 1 means."""
    dense: bool
    """It fires in more than half of all contexts: detection is unscored."""
    neighbours: tuple[Neighbour, ...]
    """Its nearest live features by decoder cosine, the nearest first."""
    seed: int
    """Of every draw and bootstrap."""
    unknown: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    """In a store that keeps a sample only: contexts in which it is active but which are not kept. They are not silent."""

    def passage(self, row: int) -> Passage:
        """A context as the strings and ids of its tokens."""
        at = slice(int(self.tokens.starts[row]), int(self.tokens.starts[row + 1]))
        return Passage(tuple(self.tokens.strings(int(row))), tuple(int(i) for i in self.tokens.ids[at]))
