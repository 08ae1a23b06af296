"""What a vague or slightly wrong label would take a rule for: the same rule with exactly one of its conditions broken."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dragoman.tools.programs import Term
from dragoman.tools.programs.agreement import Copies, Recent
from dragoman.tools.programs.context import After, Earlier
from dragoman.tools.programs.counting import EveryOther, Number, Time
from dragoman.tools.programs.logic import All, Either, Not
from dragoman.tools.programs.place import EvenPlace
from dragoman.tools.programs.spans import Between, Depth, Form
from dragoman.tools.programs.tokens import Ending, OneOf

_ELEMENT = re.compile(r"\[[^\]]*\]|\\.|[^()]", re.S)


def relaxed(term: Term) -> Iterator[Term]:
    """Rules that hold more widely than a term, or beside it: the second number for the third, the words without what must come
    before them, one character of a form left open."""
    if isinstance(term, All):
        for n, one in enumerate(term.terms):
            others = term.terms[:n] + term.terms[n + 1 :]
            yield others[0] if len(others) == 1 else All(others)
            yield from (All((*others, wider)) for wider in relaxed(one))
    elif isinstance(term, Either):
        for one in term.terms:
            yield from relaxed(one)
    elif isinstance(term, Number | Time):
        yield from (type(term)(which) for which in (term.which - 1, term.which + 1) if which > 0)
    elif isinstance(term, EveryOther | EvenPlace):
        yield Not(term)
    elif isinstance(term, Recent):
        yield Recent(3 * term.within)
    elif isinstance(term, Depth):
        yield Depth(term.depth - 1)
    elif isinstance(term, Ending) and len(term.end) > 1:
        yield Ending(term.end[1:])
    elif isinstance(term, Form):
        yield from map(Form, _open(term.regex))


def atoms(term: Term) -> Iterator[str]:
    """Pieces of text that a term is about: put in, they make or break it."""
    if isinstance(term, All | Either):
        for one in term.terms:
            yield from atoms(one)
    elif isinstance(term, Not | After | Earlier):
        yield from atoms(term.term)
    elif isinstance(term, OneOf):
        yield from (f" {word}" if word.isalnum() else word for word in term.words)
    elif isinstance(term, Between):
        yield from (term.opening, term.closing)
    elif isinstance(term, Depth):
        yield from "()"
    elif isinstance(term, Number):
        yield " 7"
    elif isinstance(term, Copies):
        yield ","


def _open(regex: str) -> Iterator[str]:
    """The regular expression with one of its characters left open."""
    for match in _ELEMENT.finditer(regex):
        yield f"{regex[: match.start()]}[^\\n\\f]{regex[match.end() :]}"
