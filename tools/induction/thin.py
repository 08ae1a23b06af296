"""A bounded amount of train text: of a large corpus, induction looks at evenly spaced contexts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dragoman.tools.patterns.text import TokenTable

MAX_TOKENS = 2_000_000
"""Most train tokens that induction looks at."""


class Thinned:
    """Every so many contexts of a token table, renumbered; a token table itself."""

    def __init__(self, table: TokenTable, most: int = MAX_TOKENS) -> None:
        starts = np.asarray(table.starts, np.int64)
        step = max(1, -(-len(table.ids) // most))
        self._table = table
        self.kept = np.arange(0, len(starts) - 1, step)
        """Rows of the table that are looked at. Shape: (contexts,)."""
        lengths = starts[self.kept + 1] - starts[self.kept]
        self.starts = np.concatenate(([0], np.cumsum(lengths)))
        self.row = np.repeat(np.arange(len(self.kept), dtype=np.int32), lengths)
        source = np.arange(self.starts[-1]) + (starts[self.kept] - self.starts[:-1])[self.row]
        self.place = np.full(len(table.ids), -1, np.int64)
        """Where each token of the table went, or -1. Shape: (tokens of the table,)."""
        self.place[source] = np.arange(len(source))
        self.ids, self.char_start, self.char_end = table.ids[source], table.char_start[source], table.char_end[source]
        self.vocabulary = table.vocabulary

    def text(self, row: int) -> str:
        """The exact text of a context."""
        return self._table.text(int(self.kept[row]))

    def activations(self, at: NDArray[np.int64], value: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The activations that fall on the contexts looked at, with their new places."""
        place = self.place[at]
        return place[place >= 0], value[place >= 0]
