"""From a pattern to ever shorter ones: at each step the clause, condition or listed token goes whose loss costs least
for its words, or a form takes the place of a list.

Which of them becomes the label is for validation to say (`induce.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from dragoman.tools.patterns.forms import FORMS
from dragoman.tools.patterns.language import (
    LEVELS,
    Clause,
    Condition,
    Earlier,
    Form,
    Like,
    Near,
    OneOf,
    Pattern,
    Tokens,
    Unless,
    Word,
)
from dragoman.tools.patterns.render import render

from .fit import Board, Fit
from .grow import Evidence

MAX_STEPS = 30
"""How many times a pattern is shortened at most."""

RETRIED = 6
"""How many of the known steps are judged again before each step."""

Body = tuple[Tokens, tuple[Condition, ...]]
Step = tuple[Body, Body | None]
"""A clause, its strength aside, and what becomes of it; None where it goes."""


@lru_cache(maxsize=4096)
def length(pattern: Pattern) -> int:
    """Words of the pattern in English."""
    return len(render(pattern).split())


def price(evidence: Evidence, pattern: Pattern) -> float:
    """Words of the pattern in English, pieces of words counting more."""
    return length(pattern) + sum(_scraps(evidence, clause) for clause in pattern.clauses)


def _scraps(evidence: Evidence, clause: Clause) -> float:
    inner = [condition.inner if isinstance(condition, Unless) else condition for condition in clause.conditions]
    sets = [clause.tokens, *(condition.tokens for condition in inner if isinstance(condition, Near | Earlier))]
    return sum(
        _extra(evidence, text)
        for tokens in sets
        for term in tokens.terms
        for factor in term
        if isinstance(factor, OneOf | Like)
        for text in (factor.texts if isinstance(factor, OneOf) else factor.names)
    )


def shortenings(evidence: Evidence, clauses: list[Clause]) -> list[tuple[Pattern, Fit]]:
    """The pattern of all clauses, then ever shorter ones, each with how well it does on train.

    What a step would cost changes little from one to the next: after the first, only new steps and the `RETRIED` cheapest of the
    known ones are judged again.
    """
    board = Board(evidence, clauses)
    pattern, fit = board.fit()
    path = [(pattern, fit)]
    known: dict[Step, float] = {}
    while len(path) <= MAX_STEPS:
        words = price(evidence, pattern)
        steps = dict(_steps(pattern.clauses))
        order = sorted((step for step in steps if step in known), key=lambda step: known[step])
        judged = [*(step for step in steps if step not in known), *order[:RETRIED]]
        if not judged:
            break
        board = Board(evidence, pattern.clauses)
        fitted = [board.fit_changed(*steps[step]) for step in judged]
        losses = [(fit.aim - other.aim) / max(1, words - price(evidence, fewer)) for fewer, other in fitted]
        known.update(zip(judged, losses, strict=True))
        pattern, fit = fitted[int(np.argmin(losses))]
        path.append((pattern, fit))
    return path


def tidied(pattern: Pattern) -> Pattern:
    """The same rule without the listed tokens for which a stronger clause holds in any case."""
    clauses = pattern.clauses
    order = sorted(range(len(clauses)), key=lambda place: (-LEVELS[clauses[place].level], len(clauses[place].conditions)))
    kept: dict[int, Clause] = {}
    for place in order:
        left: Clause | None = clauses[place]
        for stronger in kept.values():
            left = _less(left, stronger) if left else None
        if left:
            kept[place] = left
    return Pattern(tuple(kept[place] for place in sorted(kept)))


def _less(clause: Clause, stronger: Clause) -> Clause | None:
    """What is left to say of a clause beside a stronger one; None where that says it all."""
    own = clause.conditions
    new = [condition for condition in stronger.conditions if condition not in own]
    if not new:
        return Clause(clause.level, tokens, own) if (tokens := _rest(clause.tokens, stronger.tokens)) else None
    if len(new) > 1 or clause.tokens != stronger.tokens:
        return clause
    for place, condition in enumerate(own):
        if isinstance(condition, Near | Word) and isinstance(new[0], Near | Word) and _same_place(condition, new[0]):
            listed = _rest(_listed(condition), _listed(new[0]))
            if listed is None:
                return None
            return Clause(clause.level, clause.tokens, (*own[:place], _with(condition, listed), *own[place + 1 :]))
    return clause


def _rest(tokens: Tokens, others: Tokens) -> Tokens | None:
    """A list without what stands in another list; None where nothing is left, the set as it is where either is no list."""
    if tokens == others:
        return None
    (mine, *more), (theirs, *further) = ([factor for term in one.terms for factor in term] for one in (tokens, others))
    if more or further or not isinstance(mine, OneOf) or not isinstance(theirs, OneOf):
        return tokens
    texts = tuple(text for text in mine.texts if text not in theirs.texts)
    return Tokens(((OneOf(texts),),)) if texts else None


def _same_place(one: Near | Word, other: Near | Word) -> bool:
    if isinstance(one, Near):
        return isinstance(other, Near) and one.offset == other.offset
    return isinstance(other, Word) and one.place == other.place


def _listed(condition: Near | Earlier | Word) -> Tokens:
    return condition.words if isinstance(condition, Word) else condition.tokens


def _steps(clauses: tuple[Clause, ...]) -> Iterator[tuple[Step, tuple[int, Clause | None]]]:
    """What can be left out, or said by a form: the clause's place, and what takes its place."""
    for place, clause in enumerate(clauses):
        others = (*clauses[:place], *clauses[place + 1 :])
        same = (clause.tokens, clause.conditions)
        if others:
            yield (same, None), (place, None)
        for fewer in _slimmer(clause):
            if fewer not in others:
                yield (same, (fewer.tokens, fewer.conditions)), (place, fewer)


def _slimmer(clause: Clause) -> Iterator[Clause]:
    """The clause without one condition, or without the last token of one of its lists."""
    for tokens in forms_of(clause.tokens):
        yield Clause(clause.level, tokens, clause.conditions)
    for place, condition in enumerate(clause.conditions):
        others = (*clause.conditions[:place], *clause.conditions[place + 1 :])
        if others or str(clause.tokens) != "any":
            yield Clause(clause.level, clause.tokens, others)
        inner = condition.inner if isinstance(condition, Unless) else condition
        if isinstance(inner, Near | Earlier | Word):
            listed = _listed(inner)
            for tokens in (*_shorter_list(listed), *forms_of(listed)):
                slim = _with(inner, tokens)
                kept = Unless(slim) if isinstance(condition, Unless) else slim
                yield Clause(clause.level, clause.tokens, (*clause.conditions[:place], kept, *clause.conditions[place + 1 :]))
    for tokens in _shorter_list(clause.tokens):
        yield Clause(clause.level, tokens, clause.conditions)


def _with(condition: Near | Earlier | Word, tokens: Tokens) -> Near | Earlier | Word:
    """The condition about other tokens."""
    if isinstance(condition, Near):
        return Near(condition.offset, tokens)
    return Earlier(condition.scope, tokens) if isinstance(condition, Earlier) else Word(condition.place, tokens)


def _extra(evidence: Evidence, text: str) -> float:
    """What a token costs in a label beyond its one word."""
    lexicon = evidence.bank.tokens
    place = lexicon.places.get(text)
    return float(lexicon.price[place]) - 1 if place is not None else 0.0


def _shorter_list(tokens: Tokens) -> Iterator[Tokens]:
    term = tokens.terms[0]
    if len(term) == 1 and isinstance(term[0], OneOf) and len(term[0].texts) > 1:
        yield Tokens(((OneOf(term[0].texts[:-1]),),))


def forms_of(tokens: Tokens) -> Iterator[Tokens]:
    """Forms that most tokens of a list have, which say the list in a word."""
    term = tokens.terms[0]
    if len(term) == 1 and isinstance(term[0], OneOf) and len(term[0].texts) >= 3:
        texts = term[0].texts
        for name, form in FORMS.items():
            if form.noun and name != "any" and sum(form.test(text) for text in texts) >= 0.6 * len(texts):
                yield Tokens(((Form(name),),))
