"""Words under a condition on what stands earlier: only after others, unless others, the first of them only."""

from __future__ import annotations

from dataclasses import replace

from dragoman.evals.benchmark.planted.idea import Draw, Idea, listed
from dragoman.tools.patterns.language import quotes
from dragoman.tools.programs import Term
from dragoman.tools.programs.context import Earlier
from dragoman.tools.programs.logic import All, Not
from dragoman.tools.programs.tokens import OneOf

_SCOPES = {"text": ("earlier", "earlier in the text"), "line": ("in-line", "earlier in the same line"),
           "sentence": ("in-sentence", "earlier in the same sentence")}  # fmt: skip

_TOGETHER = 0.8
"""Share of the places after either of two words that are also after the other."""
_MATTERS = 0.05
"""Share of the words that must depend on each of several others."""


def condition(draw: Draw) -> tuple[tuple[str, ...], tuple[str, ...], str] | None:
    """Words, other words that stand before about half of them, and in which scope."""
    words, others = draw.words(2, 5, 0.03, 0.5), draw.words(1, 3, 0.05, 0.8)
    scope = draw.rng.choice(tuple(_SCOPES))
    if not words or not others or set(words) & set(others):
        return None
    those = OneOf(words)
    held = draw.material.share(Earlier(OneOf(others), scope), those)
    if not 0.3 <= held <= 0.7:
        return None
    # Each of the others must matter, else the sentence says what the text does not show.
    for other in others if len(others) > 1 else ():
        rest = OneOf(tuple(word for word in others if word != other))
        alone = draw.material.share(Earlier(rest, scope), those)
        if held - alone < _MATTERS:
            return None
    return words, others, scope


def only_after(draw: Draw) -> Idea | None:
    """Words that fire only where others stand earlier."""
    found = condition(draw)
    return None if found is None else of(*found)


def unless(draw: Draw) -> Idea | None:
    """Words that fire unless others stand earlier."""
    found = condition(draw)
    return None if found is None else of(*found, negated=True)


def of(words: tuple[str, ...], others: tuple[str, ...], scope: str, negated: bool = False, kind: str = "") -> Idea:
    """The idea of words under such a condition."""
    code, english = _SCOPES[scope]
    earlier: Term = Earlier(OneOf(others), scope)
    where = f"{'not ' if negated else ''}{code} {quotes(others)}"
    said = f"on {listed(words, 'and')}, {'unless' if negated else 'but only if'} {listed(others)} stands {english}"
    term = All((OneOf(words), Not(earlier) if negated else earlier))
    return Idea(kind or ("unless" if negated else "only after"), term, said, ((quotes(words), (where,)),))


def confounded(draw: Draw) -> Idea | None:
    """Words that fire only after another one, which nearly always comes together with a third: text alone hardly tells the two
    apart, an experiment does at once."""
    words, others = draw.words(2, 5, 0.03, 0.5), draw.words(1, 1, 0.05, 0.8)
    if not words or not others or set(words) & set(others):
        return None
    those, earlier = OneOf(words), Earlier(OneOf(others))
    if not 0.25 <= draw.material.share(earlier, those) <= 0.75:
        return None
    for word in draw.material.companions(words, others[0]):
        decoy = Earlier(OneOf((word,)))
        with_both = draw.material.share(decoy, All((those, earlier)))
        if with_both >= _TOGETHER and draw.material.share(earlier, All((those, decoy))) >= _TOGETHER:
            idea = of(words, others, "text")
            text = f'{idea.text} (it does not matter whether "{word}" does, though the two often come together)'
            return replace(idea, kind="confounded", text=text)
    return None


def first_of(draw: Draw) -> Idea | None:
    """The first of some words in the text or sentence."""
    words, scope = draw.words(3, 6, 0.02, 0.6), draw.rng.choice(("text", "sentence"))
    term = All((OneOf(words), Not(Earlier(OneOf(words), scope))))
    if not words or draw.material.share(term, OneOf(words)) > 0.85:
        return None
    text = f"on the first of the words {listed(words, 'and')} in each {scope}, and on none of them after that"
    return Idea("first", term, text, ((quotes(words), (f"not {_SCOPES[scope][0]} {quotes(words)}",)),))
