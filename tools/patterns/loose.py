"""Texts that stand in no store, as a table that patterns run over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]


class Tokenized(Protocol):
    """A text as tokens; `tools.prompt.Prompt` is one."""

    @property
    def text(self) -> str:
        """The text."""

    @property
    def ids(self) -> tuple[int, ...]:
        """Token ids."""

    @property
    def offsets(self) -> tuple[tuple[int, int], ...]:
        """Character range of each token in the text."""


class LooseTexts:
    """A token table of some texts, each a window of its own."""

    def __init__(self, texts: Sequence[Tokenized], vocabulary: list[str]) -> None:
        """vocabulary: text of each token id as it stands alone."""
        self.vocabulary = vocabulary
        self._texts = texts
        sizes = [len(text.ids) for text in texts]
        offsets = np.array([place for text in texts for place in text.offsets], np.int32).reshape(-1, 2)
        self.ids: Ints = np.array([id for text in texts for id in text.ids], np.int32)
        self.row: Ints = np.repeat(np.arange(len(texts), dtype=np.int32), sizes)
        self.starts: Longs = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.char_start: Ints = offsets[:, 0]
        self.char_end: Ints = offsets[:, 1]

    def text(self, row: int) -> str:
        """The text of a window."""
        return self._texts[row].text

    def touching(self, row: int, start: int, end: int) -> Longs:
        """Flat indices of the tokens of a text that overlap a range of its characters."""
        here = np.arange(self.starts[row], self.starts[row + 1])
        return here[(self.char_end[here] > start) & (self.char_start[here] < end)]
