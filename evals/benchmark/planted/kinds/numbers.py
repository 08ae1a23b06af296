"""The so-manieth number of a text."""

from __future__ import annotations

from dragoman.evals.benchmark.planted.idea import Draw, Idea
from dragoman.tools.programs.counting import Number

_ORDINALS = {2: "second", 3: "third", 4: "fourth"}


def nth_number(draw: Draw) -> Idea | None:
    """Counting to a fixed number is within reach of a regular expression that begins where the text does."""
    which = draw.rng.choice(tuple(_ORDINALS))
    regex = rf"(?:^|\f)[^0-9\f]*(?:[0-9]+[^0-9\f]+){{{which - 1}}}([0-9]+)"
    text = f"on the digits of the {_ORDINALS[which]} number of the text, a number being a run of digits"
    return Idea("count", Number(which), text, (("any", (f"/{regex}/",)),))
