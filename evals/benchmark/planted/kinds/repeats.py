"""Words that stood in the text before: how often, how long ago, after what."""

from __future__ import annotations

from dragoman.evals.benchmark.planted.idea import Draw, Idea
from dragoman.tools.programs import Term
from dragoman.tools.programs.agreement import Copies, Recent
from dragoman.tools.programs.counting import EveryOther, Time
from dragoman.tools.programs.logic import All, Not
from dragoman.tools.programs.place import First
from dragoman.tools.programs.tokens import Shape

SHAPES = {
    "word": "a token of four letters or more",
    "long": "a token of six letters or more",
    "capitalised": "a capitalised token",
    "letters": "a token of letters",
}
"""Open classes of tokens: a pattern has no counter, let alone one for each of them."""

_PLAIN = 0.72
"""Share of the repeated tokens on which a rule about repetition may hold."""
_HALF = 0.82
"""The same for every other time: second times are the commonest."""


def recent(draw: Draw) -> Idea | None:
    """A word that stood a short while ago."""
    shape, within = draw.rng.choice(tuple(SHAPES)), draw.rng.randint(4, 20)
    text = f"on {SHAPES[shape]} if the same token is among the {within} tokens before it"
    return _told(draw, Idea("recent", All((Shape(shape), Recent(within))), text, None), shape)


def so_manieth(draw: Draw) -> Idea | None:
    """A word's own second or third time."""
    shape, which = draw.rng.choice(tuple(SHAPES)), draw.rng.choice((2, 3, 4))
    ordinal = {2: "second", 3: "third", 4: "fourth"}[which]
    text = f"on {SHAPES[shape]} when it stands in the text for exactly the {ordinal} time"
    return _told(draw, _early(draw, Idea("so-manieth time", All((Shape(shape), Time(which))), text, None)), shape)


def every_other(draw: Draw) -> Idea | None:
    """Every second time of a word."""
    shape = draw.rng.choice(tuple(SHAPES))
    text = f"on {SHAPES[shape]} every other time that it stands in the text: its second, fourth, sixth time and so on"
    return _told(draw, _early(draw, Idea("every other time", All((Shape(shape), EveryOther())), text, None)), shape, _HALF)


def copied(draw: Draw) -> Idea | None:
    """A word that follows the same token as the last time."""
    text = "on a token of six letters or more that follows the same token as the last time that token stood in the text"
    return Idea("copy", All((Shape("long"), Copies())), text, (("alphabetic & long", ("copying",)),))


def _early(draw: Draw, idea: Idea) -> Idea:
    """Two times of three, the beginning of the text only: in long texts most words come back."""
    return idea.within(draw.rng.randint(16, 80)) if draw.rng.random() < 2 / 3 else idea


def _told(draw: Draw, idea: Idea, shape: str, most: float = _PLAIN) -> Idea | None:
    """The idea if it is not nearly what a pattern can say: such a token that stands anywhere earlier in the text."""
    terms: list[Term] = [Shape(shape), Not(Time(1))]
    terms += idea.term.terms[1:] if isinstance(idea.term, All) and isinstance(idea.term.terms[-1], First) else []
    return idea if draw.material.share(idea.term, All(tuple(terms))) <= most else None
