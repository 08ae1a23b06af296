"""Terms that compare two places of the text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .reading import Mask, Reading
from .term import Term


@dataclass(frozen=True)
class SameStart(Term):
    """The token with the first letter of a word that begins with the same letter, large or small, as the word before it.

    A word is a run of letters.
    """

    def find(self, reading: Reading) -> Mask:
        letters, codes = reading.letters, reading.codes
        first = np.flatnonzero(letters & ~np.concatenate([[False], letters[:-1]])) if len(letters) else np.zeros(0, np.int64)
        windows = np.cumsum(codes == ord("\f"))[first]
        values, inverse = np.unique(codes[first], return_inverse=True)
        small = np.array([ord(chr(value).lower()[0]) for value in values] or [0])[inverse] if len(first) else first
        agrees = np.zeros(len(codes), bool)
        agrees[first[1:]] = (small[1:] == small[:-1]) & (windows[1:] == windows[:-1])
        return reading.overlapping(agrees)


@dataclass(frozen=True)
class Recent(Term):
    """The same token is among the so many tokens before."""

    within: int

    def find(self, reading: Reading) -> Mask:
        before = reading.same_before
        return np.asarray((before >= 0) & (reading.index - before <= self.within))


@dataclass(frozen=True)
class Copies(Term):
    """The token before stands earlier in the text too, and this token followed it there the last time."""

    def find(self, reading: Reading) -> Mask:
        if not len(reading):
            return np.zeros(0, bool)
        before = np.where(reading.position > 0, reading.same_before[np.maximum(reading.index - 1, 0)], -1)
        return np.asarray((before >= 0) & (reading.symbol[before + 1] == reading.symbol))
