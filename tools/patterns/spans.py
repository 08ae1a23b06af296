"""Spans of text that a token can lie inside: brackets, quotations, and runs that a regular expression finds.

Everything works on the windows of one split joined into one string, each followed by a form feed; no span crosses a window.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import re2
from numpy.typing import NDArray

Characters = NDArray[np.uint32]
Mask = NDArray[np.bool_]

SEPARATOR = "\f"
"""Stands after every window in the joined text; a form feed inside a window is read as a space."""
_FAR = 1_000_000
"""More brackets than a window can hold: a window's end closes whatever is open."""


@dataclass(frozen=True, slots=True)
class SpanKind:
    """One kind of span."""

    english: str
    """How it follows the word "inside"."""
    find: Callable[[str, Characters], Mask]
    """Which characters of the joined text lie in such a span."""


def brackets(opening: str, closing: str) -> Callable[[str, Characters], Mask]:
    """Characters between an opening bracket and its closing one (or the end of the window), nesting counted; the
    brackets excluded."""

    def find(text: str, codes: Characters) -> Mask:
        step = (codes == ord(opening)).astype(np.int64) - (codes == ord(closing)) - _FAR * (codes == ord(SEPARATOR))
        total = np.concatenate(([0], np.cumsum(step)))
        depth = total - np.minimum.accumulate(total)
        return cast(Mask, np.minimum(depth[:-1], depth[1:]) > 0)

    return find


def between(mark: str) -> Callable[[str, Characters], Mask]:
    """Characters between two equal marks on one line (or after the first, to the end of the line); the marks excluded."""

    def find(text: str, codes: Characters) -> Mask:
        marks = codes == ord(mark)
        breaks = (codes == ord("\n")) | (codes == ord(SEPARATOR))
        count = np.cumsum(marks)
        at_break = np.maximum.accumulate(np.where(breaks, count, 0))
        return cast(Mask, ((count - at_break) % 2 == 1) & ~marks & ~breaks)

    return find


def matching(source: str) -> Callable[[str, Characters], Mask]:
    """Characters in a match of the regular expression, or in its first group where it has one."""
    compiled = re2.compile(source)
    group = 1 if compiled.groups else 0

    def find(text: str, codes: Characters) -> Mask:
        edges = np.zeros(len(text) + 1, np.int32)
        for match in compiled.finditer(text):
            start, end = match.span(group)
            if end > start:
                edges[start] += 1
                edges[end] -= 1
        return np.cumsum(edges[:-1]) > 0

    return find


SPANS: dict[str, SpanKind] = {
    "quotes": SpanKind("double quotes", between('"')),
    "backticks": SpanKind("backticks", between("`")),
    "parentheses": SpanKind("parentheses", brackets("(", ")")),
    "square-brackets": SpanKind("square brackets", brackets("[", "]")),
    "braces": SpanKind("braces", brackets("{", "}")),
    "tag": SpanKind("an HTML tag", matching(r"<[/!]?[A-Za-z][^<>\n\f]*>")),
    "url": SpanKind("a URL", matching(r"(?:https?://|www\.)[^\s\f]+")),
    "email": SpanKind("an e-mail address", matching(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+\.[A-Za-z0-9.-]+")),
    "date": SpanKind("a numeric date", matching(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}")),
    "number": SpanKind("a number of two or more digits", matching(r"\d[\d.,]*\d")),
    "base64": SpanKind(
        "a Base64 string", matching(r"[A-Za-z0-9+/_-]*(?:[a-z][A-Z0-9+/]|[0-9][A-Za-z])[A-Za-z0-9+/_-]{10,}={0,2}")
    ),
    "long-run": SpanKind("a run of 12 or more characters without a space", matching(r"[^\s\f]{12,}")),
    "code-name": SpanKind(
        "a name with underscores or inner capitals", matching(r"[A-Za-z0-9]*(?:[a-z][A-Z]|[A-Za-z0-9]_)[A-Za-z0-9_]+")
    ),
    "capitals": SpanKind("a run of capital letters", matching(r"[A-Z]{2,}")),
    "title": SpanKind("a run of capitalised words", matching(r"(?:[A-Z][a-z]+ ){1,}[A-Z][a-z]+")),
    "indented-line": SpanKind("an indented line", matching(r"(?:^|[\n\f])[ \t]+([^\n\f]*)")),
    "comment": SpanKind("a code comment", matching(r"(?:#|//) [^\n\f]*")),
}
"""All kinds of spans by their name in the language. A few are approximate by design: their rule is the one written here."""
