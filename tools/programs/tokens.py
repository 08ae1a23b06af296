"""Terms that look at the token alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .reading import Mask, Reading
from .term import Term


@dataclass(frozen=True)
class OneOf(Term):
    """One of these tokens, with or without a space before it."""

    words: tuple[str, ...]
    """Their texts without that space."""

    def find(self, reading: Reading) -> Mask:
        known = [reading.lexicon.numbers[word] for word in self.words if word in reading.lexicon.numbers]
        chosen = np.zeros(len(reading.lexicon.numbers), bool)
        chosen[known] = True
        return np.asarray(chosen[reading.symbol])


@dataclass(frozen=True)
class Ending(Term):
    """Longer tokens that end so."""

    end: str
    """The last characters."""

    def find(self, reading: Reading) -> Mask:
        longer = reading.lexicon.having(self, lambda text: len(text) > len(self.end) and text.endswith(self.end))
        return np.asarray(longer[reading.ids])


SHAPES: dict[str, Callable[[str], bool]] = {
    "any": lambda text: True,
    "letters": str.isalpha,
    "word": lambda text: text.isalpha() and len(text) >= 4,
    "long": lambda text: text.isalpha() and len(text) >= 6,
    "capitalised": lambda text: len(text) > 1 and text[0].isupper() and text[1:].islower(),
    "digit": str.isdigit,
}
"""Shapes of tokens by name."""


@dataclass(frozen=True)
class Shape(Term):
    """Tokens whose text, without a leading space, has a shape."""

    name: str
    """A key of `SHAPES`."""

    def __post_init__(self) -> None:
        if self.name not in SHAPES:
            raise ValueError(f"no shape {self.name}")

    def find(self, reading: Reading) -> Mask:
        return np.asarray(reading.lexicon.having(self, SHAPES[self.name])[reading.ids])
