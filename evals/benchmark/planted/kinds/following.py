"""Whatever comes directly after some words."""

from __future__ import annotations

from dragoman.evals.benchmark.planted.idea import Draw, Idea, listed
from dragoman.tools.patterns.language import quotes
from dragoman.tools.programs.context import After
from dragoman.tools.programs.logic import All
from dragoman.tools.programs.tokens import OneOf, Shape


def following(draw: Draw) -> Idea | None:
    """Any token, or a token of letters, right after one of two or three words."""
    words = draw.words(2, 3, 0.02, 0.3)
    if len(words) < 2:
        return None
    after, where = After(OneOf(words)), f"prev {quotes(words)}"
    if draw.rng.random() < 0.5:
        return Idea("following", after, f"on whatever token comes directly after {listed(words)}", (("any", (where,)),))
    text = f"on a token of six letters or more directly after {listed(words)}"
    return Idea("following", All((Shape("long"), after)), text, (("alphabetic & long", (where,)),))
