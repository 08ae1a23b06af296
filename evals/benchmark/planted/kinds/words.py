"""Sets of words, and words of one form: the token alone decides."""

from __future__ import annotations

from collections import Counter

from dragoman.evals.benchmark.planted.idea import Draw, Idea, listed
from dragoman.tools.patterns.language import quote, quotes
from dragoman.tools.programs.tokens import Ending, OneOf


def word_set(draw: Draw) -> Idea | None:
    """One of some words."""
    words = draw.words(3, 6)
    return of(words) if len(words) > 1 else None


def of(words: tuple[str, ...], kind: str = "words") -> Idea:
    """The idea of a set of words."""
    return Idea(kind, OneOf(words), f"on the words {listed(words, 'and')}, wherever they stand", ((quotes(words), ()),))


def ending(draw: Draw) -> Idea | None:
    """Longer words with an end that several words of the text have."""
    known = draw.material.words(0.002, 0.3)
    ends = Counter(word[-size:] for word in known for size in (2, 3) if len(word) > size + 1)
    common = sorted(end for end, count in ends.items() if count >= 4)
    if not common:
        return None
    end = draw.rng.choice(common)
    text = f'on tokens that end in "{end}" and are longer than that'
    return Idea("ending", Ending(end), text, ((f"ending {quote(end)}", ()),))
