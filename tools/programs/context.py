"""Terms that look at what stands before the token."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .reading import Mask, Reading
from .term import Term


@dataclass(frozen=True)
class After(Term):
    """The token directly before is one of these."""

    term: Term

    def find(self, reading: Reading) -> Mask:
        before = np.concatenate([[False], self.term.on(reading)[:-1]]) if len(reading) else self.term.on(reading)
        return np.asarray(before & (reading.position > 0))


@dataclass(frozen=True)
class Earlier(Term):
    """One of these stands earlier in the same text, line or sentence."""

    term: Term
    scope: str = "text"
    """`text` (the window), `line` or `sentence`."""

    def find(self, reading: Reading) -> Mask:
        return np.asarray(reading.last_before(self.term.on(reading)) >= reading.start_of(self.scope))
