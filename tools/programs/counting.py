"""Terms that count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .reading import SEPARATOR, Mask, Reading
from .term import Term


@dataclass(frozen=True)
class Number(Term):
    """Any digit of the so-manieth number of the text; a number is a run of the digits 0 to 9."""

    which: int
    """From 1."""

    def find(self, reading: Reading) -> Mask:
        codes = reading.codes
        digit = (codes >= ord("0")) & (codes <= ord("9"))
        begins = digit & ~np.concatenate([[False], digit[:-1]]) if len(digit) else digit
        total = np.cumsum(begins)
        before = np.maximum.accumulate(np.where(codes == ord(SEPARATOR), total, 0)) if len(total) else total
        return reading.overlapping(digit & (total - before == self.which))


@dataclass(frozen=True)
class Time(Term):
    """The same token stands exactly so many times, less one, earlier in the text: its so-manieth time."""

    which: int
    """From 1."""

    def find(self, reading: Reading) -> Mask:
        return np.asarray(reading.times_before == self.which - 1)


@dataclass(frozen=True)
class EveryOther(Term):
    """The second, fourth, sixth … time of the token in the text."""

    def find(self, reading: Reading) -> Mask:
        return np.asarray(reading.times_before % 2 == 1)


@dataclass(frozen=True)
class More(Term):
    """More of the first than of the second stand earlier in the text."""

    first: Term
    second: Term

    def find(self, reading: Reading) -> Mask:
        return np.asarray(reading.count_before(self.first.on(reading)) > reading.count_before(self.second.on(reading)))
