"""Words in one place of the text: at its beginning, at the start of a line, at every second token."""

from __future__ import annotations

from dragoman.evals.benchmark.planted.idea import Draw, Idea, listed
from dragoman.tools.patterns.language import quotes
from dragoman.tools.programs.logic import All, Not
from dragoman.tools.programs.place import EvenPlace, First, LineStart
from dragoman.tools.programs.tokens import OneOf


def beginning(draw: Draw) -> Idea | None:
    """Words among the first tokens of the text, or after them."""
    words, count = draw.words(2, 4, 0.05, 0.8), draw.rng.choice((8, 12, 16, 24, 32))
    if not words:
        return None
    late = draw.rng.random() < 0.4
    term = All((OneOf(words), Not(First(count)) if late else First(count)))
    if not 0.25 <= draw.material.share(term, OneOf(words)) <= 0.75:
        return None
    where = f"after the first {count} tokens of the text" if late else f"among the first {count} tokens of the text"
    text = f"on {listed(words, 'and')}, but only {where}"
    return Idea("place", term, text, ((quotes(words), (f"{'beyond' if late else 'first'} {count}",)),))


def line_start(draw: Draw) -> Idea | None:
    """Words at the start of a line, as the tokens have them."""
    words = draw.words(2, 5, 0.01, 0.8)
    term = All((OneOf(words), LineStart()))
    if not words or draw.material.share(term, OneOf(words)) > 0.75:
        return None
    return Idea("place", term, f"on {listed(words, 'and')} as the first token of a line", ((quotes(words), ("line-start",)),))


def even(draw: Draw) -> Idea | None:
    """Words at even places; no pattern can tell, for the places are too many to list."""
    words = draw.words(2, 4, 0.05, 0.8)
    if not words:
        return None
    text = f"on {listed(words, 'and')} where they are an even-numbered token of the text: the second, fourth, sixth and so on"
    return Idea("parity", All((OneOf(words), EvenPlace())), text, None)
