"""Agreement and balance: two places of the text are compared."""

from __future__ import annotations

from dragoman.evals.benchmark.planted.idea import Draw, Idea, listed
from dragoman.tools.programs.agreement import SameStart
from dragoman.tools.programs.context import Earlier
from dragoman.tools.programs.counting import More
from dragoman.tools.programs.logic import All
from dragoman.tools.programs.tokens import OneOf, Shape

from .repeats import SHAPES


def same_start(draw: Draw) -> Idea | None:
    """Alliteration; a pattern would need a clause a letter."""
    shape = draw.rng.choice(tuple(SHAPES))
    text = f"on {SHAPES[shape]} that begins a word with the same first letter, large or small, as the word before it"
    idea = Idea("agreement", All((SameStart(), Shape(shape))), text, None)
    return idea.within(draw.rng.randint(16, 64)) if draw.rng.random() < 2 / 3 else idea


def balance(draw: Draw) -> Idea | None:
    """More of one word than of another so far; a pattern cannot count, let alone compare."""
    words, pair = draw.words(2, 5, 0.03, 0.6), draw.words(2, 2, 0.1, 0.95)
    marks = draw.rng.choice([(",", "."), (".", ","), pair])
    if not words or len(marks) < 2 or set(words) & set(marks):
        return None
    one, two = marks[0], marks[1]
    more = More(OneOf((one,)), OneOf((two,)))
    seen = All((OneOf(words), Earlier(OneOf((one,)))))
    if not 0.25 <= draw.material.share(more, OneOf(words)) <= 0.75 or draw.material.share(more, seen) > 0.7:
        return None  # otherwise it is nearly what a pattern can say: that the first stands earlier
    text = f'on {listed(words, "and")}, but only where the token "{one}" has stood more often in the text so far than "{two}"'
    return Idea("balance", All((OneOf(words), more)), text, None)
