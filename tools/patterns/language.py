"""The nouns of the pattern language and their canonical text. What each one means is in `evaluate.py`, what it reads
like in `render.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .text import PatternText

LEVELS: dict[str, float] = {"sometimes": 0.04, "faintly": 0.1, "weakly": 0.3, "moderately": 0.5, "strongly": 0.7, "fully": 0.9}
"""Strength words and the share of the feature's train maximum that each of them predicts."""

MAX_TEXT = 4000
"""Longest pattern, in characters."""
MAX_CLAUSES = 12
"""Most clauses in a pattern."""
MAX_CONDITIONS = 6
"""Most conditions of one clause."""
MAX_LITERALS = 8
"""Most tokens in one list: a longer list needs a rule."""
MAX_NAMES = 4
"""Most tokens that one "used like" names."""
MAX_REGEX = 200
"""Longest regular expression, in characters."""

Closeness = Literal["loosely-like", "like", "much-like"]


WORD_PLACES = {-1: "prev-word", 0: "word", 1: "next-word"}
"""Conditions on whole words, by which word they look at."""


def quote(text: str) -> str:
    """The text as a string literal of the language."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return f'"{escaped}"'


def quotes(texts: Sequence[str]) -> str:
    """String literals side by side."""
    return " ".join(quote(text) for text in texts)


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of the listed tokens. "robin" stands for the token with or without a space before it, " robin" only for the
    one with it."""

    texts: tuple[str, ...]

    def __str__(self) -> str:
        return quotes(self.texts)


@dataclass(frozen=True, slots=True)
class Form:
    """Tokens of one form, for example digits; the names are in `forms.FORMS`."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Affix:
    """Tokens that start with, end with or contain one of the texts (a leading space aside)."""

    kind: Literal["starting", "ending", "containing"]
    texts: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind} {quotes(self.texts)}"


@dataclass(frozen=True, slots=True)
class Like:
    """Tokens used like the named ones: found among the same neighbours in the train text (`usage.py`)."""

    closeness: Closeness
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.closeness} {quotes(self.names)}"


@dataclass(frozen=True, slots=True)
class But:
    """Tokens other than these."""

    inner: OneOf | Form | Affix | Like

    def __str__(self) -> str:
        return f"!{self.inner}"


Factor = OneOf | Form | Affix | Like | But
Term = tuple[Factor, ...]


@dataclass(frozen=True, slots=True)
class Tokens:
    """A set of tokens: a union of terms, each of which is an intersection of factors."""

    terms: tuple[Term, ...]

    def __str__(self) -> str:
        return " | ".join(" & ".join(str(factor) for factor in term) for term in self.terms)


ANY = Tokens(((Form("any"),),))
"""Every token."""


@dataclass(frozen=True, slots=True)
class Near:
    """The token so many places before (negative) or after it is one of these."""

    offset: int
    tokens: Tokens

    def __str__(self) -> str:
        word = "prev" if self.offset < 0 else "next"
        return f"{word}{'' if abs(self.offset) == 1 else abs(self.offset)} {self.tokens}"


Scope = Literal["text", "line", "sentence", "word"]


@dataclass(frozen=True, slots=True)
class Earlier:
    """One of these tokens stands earlier: in the same text, line, sentence or word, or at most so many tokens before."""

    scope: Scope | int
    tokens: Tokens

    def __str__(self) -> str:
        if isinstance(self.scope, int):
            return f"within {self.scope} {self.tokens}"
        return f"{'earlier' if self.scope == 'text' else 'in-' + self.scope} {self.tokens}"


@dataclass(frozen=True, slots=True)
class Begins:
    """The word, line or text to which the token belongs begins with one of these tokens."""

    unit: Literal["word", "line", "sentence", "text"]
    tokens: Tokens

    def __str__(self) -> str:
        return f"{self.unit}-begins {self.tokens}"


@dataclass(frozen=True, slots=True)
class Word:
    """The whole word that the token lies in (place 0), the word before it (-1) or after it (1) is in the set.

    A word is a run of letters, digits and underscores; how it is cut into tokens does not matter."""

    place: Literal[-1, 0, 1]
    words: Tokens

    def __str__(self) -> str:
        return f"{WORD_PLACES[self.place]} {self.words}"


@dataclass(frozen=True, slots=True)
class Inside:
    """The token lies inside a span of this kind; the names are in `spans.SPANS`."""

    span: str

    def __str__(self) -> str:
        return f"inside {self.span}"


@dataclass(frozen=True, slots=True)
class Flag:
    """A property of the token's place; the names are in `evaluate.FLAGS`."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Position:
    """Among the first so many tokens of the text, or after them."""

    side: Literal["first", "beyond"]
    count: int

    def __str__(self) -> str:
        return f"{self.side} {self.count}"


@dataclass(frozen=True, slots=True)
class Match:
    """The token overlaps a match of the regular expression, or of its first group where it has one: the mark."""

    source: str

    def __str__(self) -> str:
        return f"/{self.source}/"


@dataclass(frozen=True, slots=True)
class Unless:
    """The condition does not hold."""

    inner: Near | Earlier | Begins | Word | Inside | Flag | Position | Match

    def __str__(self) -> str:
        return f"not {self.inner}"


Condition = Near | Earlier | Begins | Word | Inside | Flag | Position | Match | Unless


@dataclass(frozen=True, slots=True)
class Clause:
    """These tokens, where all the conditions hold, fire this strongly."""

    level: str
    tokens: Tokens
    conditions: tuple[Condition, ...] = ()

    def __str__(self) -> str:
        where = " where " + ", ".join(str(condition) for condition in self.conditions) if self.conditions else ""
        return f"{self.level}: {self.tokens}{where}"


@dataclass(frozen=True, slots=True)
class Pattern:
    """An executable explanation: where several clauses hold for a token, the strongest counts; where none does, the
    feature is silent."""

    clauses: tuple[Clause, ...]

    def __str__(self) -> str:
        return "; ".join(str(clause) for clause in self.clauses)

    def predict(self, text: PatternText) -> NDArray[np.float32]:
        """Predicted strength of every token as a share of the train maximum. Shape: (tokens,)."""
        from .evaluate import predict

        return predict(self, text)

    def render(self) -> str:
        """The same in plain English, in at most two sentences."""
        from .render import render

        return render(self)
