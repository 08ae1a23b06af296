"""From a pattern to ever shorter ones: at each step the clause, condition or listed token goes whose loss costs least
for its words.

Which of them becomes the label is for validation to say (`induce.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dragoman.tools.patterns.language import Clause, Earlier, Near, OneOf, Pattern, Tokens, Unless
from dragoman.tools.patterns.render import render

from .fit import fit_levels
from .grow import Evidence

MAX_STEPS = 30
"""How many times a pattern is shortened at most."""


def length(pattern: Pattern) -> int:
    """Words of the pattern in English."""
    return len(render(pattern).split())


def shortenings(evidence: Evidence, clauses: list[Clause]) -> list[tuple[Pattern, float]]:
    """The pattern of all clauses, then ever shorter ones, each with its correlation on train."""
    pattern, r = fit_levels(evidence, clauses)
    path = [(pattern, r)]
    while len(path) <= MAX_STEPS:
        words = length(pattern)
        shorter = [fit_levels(evidence, list(fewer)) for fewer in _steps(pattern.clauses)]
        if not shorter:
            break
        losses = [(r - fewer_r) / max(1, words - length(fewer)) for fewer, fewer_r in shorter]
        pattern, r = shorter[int(np.argmin(losses))]
        path.append((pattern, r))
    return path


def _steps(clauses: tuple[Clause, ...]) -> Iterator[tuple[Clause, ...]]:
    """The clauses with one thing left out."""
    for place, clause in enumerate(clauses):
        before, after = clauses[:place], clauses[place + 1 :]
        if len(clauses) > 1:
            yield (*before, *after)
        for fewer in _slimmer(clause):
            if fewer not in before and fewer not in after:
                yield (*before, fewer, *after)


def _slimmer(clause: Clause) -> Iterator[Clause]:
    """The clause without one condition, or without the last token of one of its lists."""
    for place, condition in enumerate(clause.conditions):
        others = (*clause.conditions[:place], *clause.conditions[place + 1 :])
        if others or str(clause.tokens) != "any":
            yield Clause(clause.level, clause.tokens, others)
        inner = condition.inner if isinstance(condition, Unless) else condition
        if isinstance(inner, Near | Earlier):
            for tokens in _shorter_list(inner.tokens):
                slim = Near(inner.offset, tokens) if isinstance(inner, Near) else Earlier(inner.scope, tokens)
                kept = Unless(slim) if isinstance(condition, Unless) else slim
                yield Clause(clause.level, clause.tokens, (*clause.conditions[:place], kept, *clause.conditions[place + 1 :]))
    for tokens in _shorter_list(clause.tokens):
        yield Clause(clause.level, tokens, clause.conditions)


def _shorter_list(tokens: Tokens) -> Iterator[Tokens]:
    term = tokens.terms[0]
    if len(term) == 1 and isinstance(term[0], OneOf) and len(term[0].texts) > 1:
        yield Tokens(((OneOf(term[0].texts[:-1]),),))
