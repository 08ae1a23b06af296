"""Short names for patterns, made of form and rule only."""

from __future__ import annotations

from .language import ANY, Clause, Condition, Near, OneOf, Tokens
from .render import clause_phrase, condition_phrase, literal, tokens_phrase

MAX_WORDS = 8


def name_of(clause: Clause) -> str:
    """A name of at most eight words for what a clause says; long lists are cut, conditions left out from the last."""
    for count in range(len(clause.conditions), -1, -1):
        for cut in (False, True):
            tokens = _cut(clause.tokens) if cut else clause.tokens
            conditions = tuple(_cut_condition(c) if cut else c for c in clause.conditions[:count])
            if tokens == ANY and not conditions and clause.conditions:
                continue
            phrase = clause_phrase(Clause(clause.level, tokens, conditions))
            if len(phrase.split()) <= MAX_WORDS:
                return _capital(phrase)
    words = clause_phrase(clause).split()
    return _capital(" ".join(words[:MAX_WORDS]).rstrip(","))


def _cut(tokens: Tokens) -> Tokens:
    term = tokens.terms[0]
    first = tuple(OneOf(factor.texts[:2]) if isinstance(factor, OneOf) else factor for factor in term)
    return Tokens((first,))


def _cut_condition(condition: Condition) -> Condition:
    return Near(condition.offset, _cut(condition.tokens)) if isinstance(condition, Near) else condition


def _capital(phrase: str) -> str:
    return phrase[:1].upper() + phrase[1:]


__all__ = ["condition_phrase", "literal", "name_of", "tokens_phrase"]
