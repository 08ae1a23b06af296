"""Terms made of terms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .reading import Mask, Reading
from .term import Term


@dataclass(frozen=True)
class All(Term):
    """All of these hold."""

    terms: tuple[Term, ...]

    def find(self, reading: Reading) -> Mask:
        return np.asarray(np.logical_and.reduce([term.on(reading) for term in self.terms]))


@dataclass(frozen=True)
class Either(Term):
    """At least one of these holds."""

    terms: tuple[Term, ...]

    def find(self, reading: Reading) -> Mask:
        return np.asarray(np.logical_or.reduce([term.on(reading) for term in self.terms]))


@dataclass(frozen=True)
class Not(Term):
    """This does not hold."""

    term: Term

    def find(self, reading: Reading) -> Mask:
        return ~self.term.on(reading)
