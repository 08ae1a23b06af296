"""Terms that look at stretches of text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import re2

from .reading import SEPARATOR, Mask, Reading
from .term import Term

_FAR = 1_000_000
"""More brackets than a window can hold."""


@dataclass(frozen=True)
class Form(Term):
    """The token with the last character of a form of fixed length."""

    regex: str
    """A regular expression of fixed length whose first group is its last character."""

    def __post_init__(self) -> None:
        try:
            re2.compile(self.regex)
        except re2.error as error:
            raise ValueError(str(error)) from None

    def find(self, reading: Reading) -> Mask:
        found = [match.span(1) for match in re2.finditer(self.regex, reading.text)]
        return reading.overlapping(reading.covered(found))


@dataclass(frozen=True)
class Between(Term):
    """After an opening mark and before the next closing one; equal marks open and close in turn."""

    opening: str
    closing: str

    def find(self, reading: Reading) -> Mask:
        text, spans, at = reading.text, [], 0
        while (at := text.find(self.opening, at)) >= 0:
            first = at + len(self.opening)
            window = text.find(SEPARATOR, at)
            closing = text.find(self.closing, first, window)
            spans.append((first, closing if closing >= 0 else window))
            at = closing + len(self.closing) if closing >= 0 else window
        return reading.overlapping(reading.covered(spans))


@dataclass(frozen=True)
class Depth(Term):
    """Inside so many brackets at least, one in the other, round, square or curly."""

    depth: int

    def find(self, reading: Reading) -> Mask:
        codes = reading.codes
        step = np.isin(codes, _codes("([{")).astype(np.int64) - np.isin(codes, _codes(")]}"))
        step -= _FAR * (codes == ord(SEPARATOR))
        total = np.concatenate([[0], np.cumsum(step)])
        depth = total - np.minimum.accumulate(total)
        inside = np.minimum(depth[:-1], depth[1:]) >= self.depth
        return np.asarray(np.append(inside, False)[reading.begin])


def _codes(text: str) -> list[int]:
    return [ord(character) for character in text]
