"""Forms of single tokens: character classes, case, length. Each looks at the token's text without its leading space."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenForm:
    """One form."""

    test: Callable[[str], bool]
    """Whether a token's text, its leading space stripped, has the form."""
    noun: str
    """What such tokens are called; empty for a form that is an adjective."""
    single: str = ""
    """One such token, with its article."""
    adjective: str = ""
    """How the form is put before another noun; empty where it is a noun only."""


def _capitalised(text: str) -> bool:
    return len(text) > 1 and text[0].isupper() and text[1:].islower()


FORMS: dict[str, TokenForm] = {
    "any": TokenForm(lambda text: True, "any token", "any token"),
    "digit": TokenForm(lambda text: text.isdigit(), "digits", "a digit"),
    "letter": TokenForm(lambda text: len(text) == 1 and text.isalpha(), "single letters", "a single letter"),
    "alphabetic": TokenForm(str.isalpha, "tokens of letters", "a token of letters"),
    "punctuation": TokenForm(
        lambda text: bool(text.strip()) and not any(c.isalnum() or c.isspace() for c in text),
        "punctuation marks",
        "a punctuation mark",
    ),
    "bracket": TokenForm(lambda text: bool(text) and all(c in "()[]{}<>" for c in text), "brackets", "a bracket"),
    "whitespace": TokenForm(lambda text: not text.strip(), "white space", "a white-space token"),
    "line-break": TokenForm(lambda text: "\n" in text, "line breaks", "a line break token"),
    "capitalised": TokenForm(_capitalised, "", "", "capitalised"),
    "uppercase": TokenForm(lambda text: any(c.isalpha() for c in text) and text.isupper(), "", "", "upper-case"),
    "lowercase": TokenForm(lambda text: any(c.isalpha() for c in text) and text.islower(), "", "", "lower-case"),
    "non-ascii": TokenForm(lambda text: not text.isascii(), "", "", "non-ASCII"),
    "one-char": TokenForm(lambda text: len(text) == 1, "", "", "one-character"),
    "two-char": TokenForm(lambda text: len(text) == 2, "", "", "two-character"),
    "short": TokenForm(lambda text: 0 < len(text) <= 3, "", "", "short (up to 3 characters)"),
    "long": TokenForm(lambda text: len(text) >= 6, "", "", "long (6 characters or more)"),
}
"""All forms by their name in the language."""


def bare(text: str) -> str:
    """A token's text without its leading space; a token that is a single space keeps it."""
    return text[1:] if len(text) > 1 and text[0] == " " else text
