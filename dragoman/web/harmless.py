"""Untrusted text made fit to be shown: nothing in it acts (controls, escapes, direction overrides), and it has an end."""

from __future__ import annotations

from dragoman.store.display import visible

MOST = 20_000
"""Characters of one text on a page."""


def harmless(text: str, most: int = MOST) -> str:
    """A text whose characters show as what they are; line breaks and tabs stay. What is left out of a long one is counted."""
    text = shortened(text, most)
    if text.isprintable():
        return text
    return "\n".join(
        "\t".join(part if part.isprintable() else visible(part) for part in line.split("\t")) for line in _lines(text)
    )


def shortened(text: str, most: int = 300) -> str:
    """A text of bounded length that says what was cut."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more characters)"


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").split("\n")
