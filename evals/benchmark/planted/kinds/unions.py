"""Two unrelated things in one feature."""

from __future__ import annotations

from dragoman.evals.benchmark.planted.idea import Draw, Idea, Kind
from dragoman.tools.programs.logic import Either

from .following import following
from .forms import form
from .words import ending, word_set


def union(draw: Draw) -> Idea | None:
    """Two rules of different kinds; each holds where the other mostly does not."""
    kinds: tuple[Kind, ...] = (word_set, ending, following, form)
    one, two = draw.rng.sample(kinds, 2)
    return joined(draw, one(draw), two(draw))


def joined(draw: Draw, one: Idea | None, two: Idea | None, kind: str = "union") -> Idea | None:
    """Both in one, if each is a feature of its own and neither is a few cases of the other."""
    if one is None or two is None or one.clauses is None or two.clauses is None:
        return None
    if not (draw.material.usable(one.term) and draw.material.usable(two.term)):
        return None
    shares = sorted(draw.material.rate(idea.term) for idea in (one, two))
    if shares[1] > 6 * shares[0] or draw.material.share(one.term, two.term) > 0.1:
        return None
    text = f"on two unrelated things: {one.text}; and {two.text}"
    return Idea(kind, Either((one.term, two.term)), text, (*one.clauses, *two.clauses))
