"""Short names for patterns, made of form and rule only."""

from __future__ import annotations

from collections.abc import Iterator

from .language import ANY, Clause, Condition, Earlier, Factor, Like, Near, OneOf, Tokens, Word
from .render import clause_phrase, condition_phrase

MAX_WORDS = 8
"""Longest name, in words."""


def name_of(clause: Clause) -> str:
    """A name of at most eight words for what a clause says: lists are cut, then conditions left out from the last."""
    phrase = next((phrase for phrase in _phrases(clause) if len(phrase.split()) <= MAX_WORDS), None)
    if phrase is None:
        words = clause_phrase(clause).split()
        phrase = " ".join(words[:MAX_WORDS]).rstrip(",;")
    return phrase[:1].upper() + phrase[1:]


def _phrases(clause: Clause) -> Iterator[str]:
    """Ever shorter ways to say what the clause is about."""
    for count in range(len(clause.conditions), -1, -1):
        for most in (8, 2, 1):
            tokens = _cut(clause.tokens, most)
            conditions = tuple(_cut_condition(condition, most) for condition in clause.conditions[:count])
            own = any(isinstance(condition, Word) and condition.place == 0 for condition in conditions)
            if tokens == ANY and not own:
                if conditions:
                    yield " and ".join(condition_phrase(condition) for condition in conditions)
                elif not clause.conditions:
                    yield "any token"
            else:
                yield clause_phrase(Clause(clause.level, tokens, conditions))


def _cut(tokens: Tokens, most: int) -> Tokens:
    """The first term only, with at most so many tokens in each list."""
    term: list[Factor] = []
    for factor in tokens.terms[0]:
        if isinstance(factor, OneOf):
            term.append(OneOf(factor.texts[:most]))
        elif isinstance(factor, Like):
            term.append(Like(factor.closeness, factor.names[:most]))
        else:
            term.append(factor)
    return Tokens((tuple(term),))


def _cut_condition(condition: Condition, most: int) -> Condition:
    if isinstance(condition, Near):
        return Near(condition.offset, _cut(condition.tokens, most))
    if isinstance(condition, Earlier):
        return Earlier(condition.scope, _cut(condition.tokens, most))
    if isinstance(condition, Word):
        return Word(condition.place, _cut(condition.words, most))
    return condition
