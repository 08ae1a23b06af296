"""Forms of text: a regular expression of fixed length, made from a piece of the text."""

from __future__ import annotations

import re

from dragoman.evals.benchmark.planted.idea import Draw, Idea
from dragoman.tools.programs.spans import Form

_CLASSES = {"d": (r"\d", "digit"), "a": ("[a-z]", "small letter"), "A": ("[A-Z]", "capital letter")}
_NAMES = {
    ".": "a full stop",
    ",": "a comma",
    ":": "a colon",
    ";": "a semicolon",
    "-": "a hyphen",
    "/": "a slash",
    "(": "an opening bracket",
    ")": "a closing bracket",
    '"': "a quotation mark",
    "'": "an apostrophe",
    " ": "a space",
    "\n": "a line break",
    "=": "an equals sign",
    "+": "a plus sign",
    "_": "an underscore",
    "#": "a hash sign",
    "@": "an at sign",
    "%": "a percent sign",
    "?": "a question mark",
    "!": "an exclamation mark",
    "&": "an ampersand",
    "<": "a less-than sign",
    ">": "a greater-than sign",
    "*": "an asterisk",
}


def form(draw: Draw) -> Idea | None:
    """The last character of a piece of text like one that was seen: digits, letters and a mark or two."""
    text, size = draw.material.reading.text, draw.rng.randint(3, 5)
    for _ in range(200):
        at = draw.rng.randrange(max(1, len(text) - size))
        piece = text[at : at + size]
        if "\f" in piece or not piece.isascii() or not (piece[-1].isdigit() or piece[-1].isupper()):
            continue
        marks = [c for c in piece if not c.isalnum()]
        if not 1 <= len(marks) <= 2 or any(mark not in _NAMES for mark in marks) or piece[0].isspace():
            continue
        kinds = "".join("d" if c.isdigit() else "A" if c.isupper() else "a" if c.isalpha() else c for c in piece)
        return of(kinds)
    return None


def of(kinds: str) -> Idea:
    """The idea of a form, written with d for a digit, a and A for letters, and marks as they are."""
    parts = [_CLASSES[c][0] if c in _CLASSES else re.escape(c).replace("/", r"\/") for c in kinds]
    regex = f"{''.join(parts[:-1])}({parts[-1]})"
    pattern = regex.replace("\n", "n")
    return Idea(
        "form",
        Form(regex.replace(r"\/", "/")),
        f"on the token with the last character of {_said(kinds)}",
        (("any", (f"/{pattern}/",)),),
    )


def _said(kinds: str) -> str:
    """The form in English: runs of one class are counted."""
    runs = [match[0] for match in re.finditer(r"(d+|a+|A+|.)", kinds, re.S)]
    said = []
    for run in runs:
        if run[0] in _CLASSES:
            name = _CLASSES[run[0]][1]
            said.append(f"{('a', 'two', 'three', 'four', 'five')[len(run) - 1]} {name}{'s' if len(run) > 1 else ''}")
        else:
            said.append(_NAMES[run])
    return f"{', '.join(said[:-1])} and {said[-1]}, side by side in this order" if len(said) > 1 else said[0]
