"""Stretches of text: between two marks, and inside brackets that are inside brackets."""

from __future__ import annotations

import re

from dragoman.evals.benchmark.planted.idea import Draw, Idea
from dragoman.tools.programs import Term
from dragoman.tools.programs.logic import All, Not
from dragoman.tools.programs.spans import Between, Depth
from dragoman.tools.programs.tokens import Shape

MARKS = (
    ('"', '"'), ("“", "”"), ("(", ")"), ("[", "]"), ("{", "}"), ("<", ">"), ("`", "`"), ("*", "*"), ("=", "\n"), (":", "\n"),
    ("- ", "\n"), ("# ", "\n"), (",", "."), (";", "."), (": ", "."),
)  # fmt: skip
"""Opening and closing marks; those that the text has too seldom come to nothing."""
_SHAPES = {"any": ("any", "every token"), "long": ("alphabetic & long", "tokens of six letters or more")}


def inside(draw: Draw) -> Idea | None:
    """All tokens, or the long words, between two marks."""
    marks = draw.rng.choice(MARKS)
    shape = draw.rng.choice(tuple(_SHAPES))
    tokens, english = _SHAPES[shape]
    between: Term = Between(*marks)
    term = between if shape == "any" else All((Shape(shape), between))
    opening, closing = (_shown(mark) for mark in marks)
    ends = f"the next {opening}" if marks[0] == marks[1] else f"the next {closing}"
    text = f"on {english} between {opening} and {ends}, or the end of the text where there is none"
    return Idea("span", term, text, ((tokens, (regex(*marks),)),))


def regex(opening: str, closing: str) -> str:
    """The condition that a token lies between two marks; every text that a pattern reads ends with a form feed."""
    first, last = (re.escape(mark).replace("\n", "n").replace("/", r"\/").replace(r"\ ", " ") for mark in (opening, closing))
    return rf"/{first}([^\f]*?)(?:{last}|\f)/"


def nested(draw: Draw) -> Idea | None:
    """How deep inside brackets; a pattern sees only whether there is a bracket.

    Brackets in brackets are rare in most texts, brackets outside of others are not.
    """
    shape, deep = draw.rng.choice(("any", "letters")), draw.rng.choice((True, False))
    depth: tuple[Term, ...] = (Depth(2),) if deep else (Depth(1), Not(Depth(2)))
    parts = depth if shape == "any" else (Shape(shape), *depth)
    english = "every token" if shape == "any" else "tokens of letters"
    where = "that stand inside other brackets" if deep else "unless these stand inside other brackets"
    term = parts[0] if len(parts) == 1 else All(parts)
    return Idea("nesting", term, f"on {english} inside brackets (round, square or curly) {where}", None)


def _shown(mark: str) -> str:
    return "the end of the line" if mark == "\n" else f"a quotation mark {mark}" if mark in '"“”' else f'"{mark}"'
