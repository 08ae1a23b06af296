"""Two conditions at once."""

from __future__ import annotations

from dragoman.evals.benchmark.planted.idea import Draw, Idea, Kind, listed
from dragoman.tools.patterns.language import quotes
from dragoman.tools.programs.context import After, Earlier
from dragoman.tools.programs.logic import All, Not
from dragoman.tools.programs.tokens import OneOf

from .conditions import only_after, unless
from .following import following
from .forms import form
from .repeats import every_other, recent, so_manieth
from .unions import joined
from .words import ending


def two_conditions(draw: Draw) -> Idea | None:
    """Words only after others, and not directly behind a third sort."""
    kind: Kind = draw.rng.choice((only_after, unless))
    base = kind(draw)
    words = draw.words(1, 3, 0.1, 0.95)
    if base is None or base.clauses is None or not words:
        return None
    after = After(OneOf(words))
    if not 0.15 <= draw.material.share(after, base.term) <= 0.7:
        return None
    ((tokens, where),) = base.clauses
    text = f"{base.text}, and not directly after {listed(words)}"
    return Idea("two conditions", All((base.term, Not(after))), text, ((tokens, (*where, f"not prev {quotes(words)}")),))


def conditional_union(draw: Draw) -> Idea | None:
    """Words under a condition, and something that has nothing to do with them."""
    conditioned: Kind = draw.rng.choice((only_after, unless))
    other: Kind = draw.rng.choice((ending, following, form))
    return joined(draw, conditioned(draw), other(draw), "conditional union")


def repeated_if(draw: Draw) -> Idea | None:
    """A repetition that counts only where a word stands earlier."""
    base = draw.rng.choice((every_other, recent, so_manieth))(draw)
    words = draw.words(1, 3, 0.1, 0.95)
    if base is None or not words:
        return None
    earlier = Earlier(OneOf(words))
    if not 0.25 <= draw.material.share(earlier, base.term) <= 0.75:
        return None
    text = f"{base.text}, but only if {listed(words)} stands earlier in the text"
    return Idea("conditional repetition", All((base.term, earlier)), text, None)
