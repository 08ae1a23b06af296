"""What a kind of program gives when it is drawn from a text: a term, the same in plain English, and the same as a pattern."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dragoman.tools.programs import Term
from dragoman.tools.programs.logic import All, Not
from dragoman.tools.programs.place import First

from .material import Material

Clause = tuple[str, tuple[str, ...]]
"""Tokens and conditions of a clause in the pattern language."""


@dataclass(frozen=True)
class Idea:
    """A rule drawn from a text."""

    kind: str
    """Which kind of program it is."""
    term: Term
    """Where it holds."""
    text: str
    """Where it holds, in plain English: what follows "Fires", without a full stop."""
    clauses: tuple[Clause, ...] | None
    """The same in the pattern language; None where it cannot be written there."""

    @property
    def pattern(self) -> str | None:
        """The clauses as a pattern."""
        if self.clauses is None:
            return None
        return "; ".join(f"fully: {tokens}{' where ' + ', '.join(where) if where else ''}" for tokens, where in self.clauses)

    def without_first(self, count: int) -> Idea:
        """The same with a dead zone: silent among the first so many tokens of the text."""
        clauses = None if self.clauses is None else tuple((t, (*where, f"beyond {count}")) for t, where in self.clauses)
        text = f"{self.text}; it is silent among the first {count} tokens of the text"
        return replace(self, term=All((self.term, Not(First(count)))), text=text, clauses=clauses)

    def within(self, count: int) -> Idea:
        """The same among the first so many tokens of the text only."""
        clauses = None if self.clauses is None else tuple((t, (*where, f"first {count}")) for t, where in self.clauses)
        text = f"{self.text}, among the first {count} tokens of the text"
        return replace(self, term=All((self.term, First(count))), text=text, clauses=clauses)


@dataclass(frozen=True)
class Draw:
    """A text to draw from, and chance."""

    material: Material
    """The text."""
    rng: random.Random
    """Chance."""

    def words(self, least: int, most: int, rare: float = 0.01, common: float = 0.2) -> tuple[str, ...]:
        """Some words of which each stands in such a share of the windows; fewer where there are no more."""
        known = self.material.words(rare, common)
        return tuple(self.rng.sample(known, min(len(known), self.rng.randint(least, most))))


Kind = Callable[[Draw], Idea | None]
"""Draws a rule; None where this draw came to nothing."""


def listed(words: Sequence[str], last: str = "or") -> str:
    """Words in quotation marks, as a sentence has them."""
    quoted = [f'"{word}"' if word.strip() else repr(word) for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {last} {quoted[-1]}"
