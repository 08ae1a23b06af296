"""Which tokens a condition holds for, and how strongly a pattern predicts that they fire. Vectorised over a whole split."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
from numpy.typing import NDArray

from .language import (
    ANY,
    LEVELS,
    Begins,
    Clause,
    Condition,
    Earlier,
    Flag,
    Inside,
    Match,
    Near,
    Pattern,
    Position,
    Unless,
    Word,
)
from .spans import SPANS, matching
from .text import PatternText

Mask = NDArray[np.bool_]


def predict(pattern: Pattern, text: PatternText) -> NDArray[np.float32]:
    """Predicted strength of every token as a share of the train maximum: the strongest clause that holds, else 0.
    Shape: (tokens,)."""
    strength = np.zeros(len(text), np.float32)
    for clause in pattern.clauses:
        found = where(clause, text)
        strength[found] = np.maximum(strength[found], np.float32(LEVELS[clause.level]))
    return strength


def where(clause: Clause, text: PatternText) -> NDArray[np.int64]:
    """Indices of the tokens for which a clause holds, ascending. Shape: (found,)."""
    rest = list(clause.conditions)
    near = next((condition for condition in rest if isinstance(condition, Near)), None)
    word = next((condition for condition in rest if isinstance(condition, Word)), None)
    if clause.tokens == ANY and near is not None:
        rest.remove(near)
        found = _beside(near, text)
    elif clause.tokens == ANY and word is not None:
        rest.remove(word)
        found = _within(word, text)
    else:
        found = text.places_of(clause.tokens)
    for condition in rest:
        found = found[holds(condition, text, found)]
    return found


def _beside(near: Near, text: PatternText) -> NDArray[np.int64]:
    """Indices of the tokens that have a token of the set so many places away in their window. Shape: (found,)."""
    there = text.places_of(near.tokens)
    if near.offset > 0:
        return there[text.position.take(there) >= near.offset] - near.offset
    here = there - near.offset
    here = here[: np.searchsorted(here, len(text))]
    return here[text.position.take(here) >= -near.offset]


def _within(word: Word, text: PatternText) -> NDArray[np.int64]:
    """Indices of the tokens whose word at the place is in the set. Shape: (found,)."""
    return np.flatnonzero(text.word_mask(word.words).take(text.words_at(word.place)))


def holds(condition: Condition, text: PatternText, at: NDArray[np.int64]) -> Mask:
    """Whether the condition holds at the given tokens. Shape: (at,)."""
    if isinstance(condition, Unless):
        return ~holds(condition.inner, text, at)
    if isinstance(condition, Near):
        return text.vocabulary_mask(condition.tokens).take(text.shifted(condition.offset).take(at))
    if isinstance(condition, Earlier):
        return reaches(condition.scope, text.last_before(condition.tokens, at), text, at)
    if isinstance(condition, Begins):
        return text.vocabulary_mask(condition.tokens).take(text.ids.take(text.starts_of(condition.unit).take(at)))
    if isinstance(condition, Word):
        return text.word_mask(condition.words).take(text.words_at(condition.place).take(at))
    if isinstance(condition, Position):
        place = text.position.take(at)
        return place < condition.count if condition.side == "first" else place >= condition.count
    return everywhere(condition, text).take(at)


def everywhere(condition: Condition, text: PatternText) -> Mask:
    """Whether the condition holds, for every token; remembered. Shape: (tokens,)."""
    mask = text.cached(condition)
    if mask is not None:
        return mask
    if isinstance(condition, Inside):
        mask = _in_span(SPANS[condition.span].find(text.joined, text.codes), text)
    elif isinstance(condition, Match):
        mask = _overlaps(matching(condition.source)(text.joined, text.codes), text)
    elif isinstance(condition, Flag):
        mask = FLAGS[condition.name](text)
    else:
        mask = holds(condition, text, text.index)
    return text.remember(condition, mask)


def reaches(scope: str | int, last: NDArray[np.int64], text: PatternText, at: NDArray[np.int64]) -> Mask:
    """Whether the place `last` before each of the tokens `at` (or -1) lies in its scope. Shape: (at,)."""
    if isinstance(scope, int):
        return (last >= text.row_start.take(at)) & (at - last <= scope)
    return last >= text.starts_of(scope).take(at)


def _in_span(characters: Mask, text: PatternText) -> Mask:
    """Tokens whose first character (leading spaces skipped) lies in a span."""
    return np.append(characters, False)[text.begin]


def _overlaps(characters: Mask, text: PatternText) -> Mask:
    """Tokens with at least one marked character."""
    total = np.concatenate(([0], np.cumsum(characters)))
    return total[text.end] > total[np.minimum(text.begin, text.end)]


def _repeated(text: PatternText) -> Mask:
    return text.previous_same >= 0


def _copying(text: PatternText) -> Mask:
    """The token before stood here earlier and was followed by this very token the last time."""
    before = np.where(text.position > 0, text.index - 1, 0)
    earlier = np.where(text.position > 0, text.previous_same[before], -1)
    follower = np.minimum(earlier + 1, len(text) - 1)
    return cast(Mask, (earlier >= 0) & (text.symbol_of[text.ids[follower]] == text.symbol_of[text.ids]))


FLAGS: dict[str, Callable[[PatternText], Mask]] = {
    "word-start": lambda text: ~text.continues,
    "word-inside": lambda text: text.continues,
    "line-start": lambda text: text.starts_of("line") == text.index,
    "sentence-start": lambda text: text.starts_of("sentence") == text.index,
    "text-start": lambda text: text.position == 0,
    "repeated": _repeated,
    "copying": _copying,
}
"""Properties of a token's place by their name in the language; their English is in `render.FLAG_PHRASES`."""
