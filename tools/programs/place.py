"""Terms that look at where the token stands in its text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .reading import Mask, Reading
from .term import Term


@dataclass(frozen=True)
class First(Term):
    """Among the first so many tokens of the text."""

    count: int

    def find(self, reading: Reading) -> Mask:
        return np.asarray(reading.position < self.count)


@dataclass(frozen=True)
class LineStart(Term):
    """The first token of a line."""

    def find(self, reading: Reading) -> Mask:
        return np.asarray(reading.start_of("line") == reading.index)


@dataclass(frozen=True)
class EvenPlace(Term):
    """The second, fourth, sixth … token of the text."""

    def find(self, reading: Reading) -> Mask:
        return np.asarray(reading.position % 2 == 1)
