"""An example as HTML: tokens coloured by activation, underlined where the label predicts one, cut to what is worth reading."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from markupsafe import Markup

REACH = 20
"""Tokens shown on either side of the strongest one."""
CHARACTERS = 70
"""Where tokens are short, as many more are shown as make about so many characters on either side."""
LONG = 200
"""Characters of one token that are shown."""
SHADES = 20
"""Strengths of the colour; the style sheet has a class for each, because some pages allow no inline styles."""
FAINT = 0.05
"""Activations below this share of the train maximum stay plain text, so that dense features can be read."""


def excerpt(strings: Sequence[str], values: Sequence[float], predicted: Sequence[float] | None) -> tuple[int, int]:
    """First and end token of the part to show: around the strongest activation, else the strongest prediction, else the start."""
    length = sum(map(len, strings)) / max(1, len(strings))
    reach = max(REACH, round(CHARACTERS / max(length, 1.0)))
    weights = values if any(values) else (predicted or values)
    middle = max(range(len(weights)), key=weights.__getitem__) if any(weights) else 0
    start = max(0, min(middle - reach, len(values) - 2 * reach - 1))
    return start, min(len(values), start + 2 * reach + 1)


def highlight(
    strings: Sequence[str],
    values: Sequence[float],
    largest: float,
    threshold: float,
    predicted: Sequence[float] | None = None,
) -> Markup:
    """The excerpt as HTML. `largest` is the train maximum; `predicted` are shares of it.

    A coloured token says its exact value on hover. Silent and faint tokens that the label does not predict stay plain text.
    """
    start, end = excerpt(strings, values, predicted)
    parts = ["<q>… </q>" if start else ""]
    plain: list[str] = []
    for at in range(start, end):
        value, guess = values[at], predicted[at] if predicted is not None else 0.0
        if value <= FAINT * largest and guess <= 0:
            plain.append(_cut(strings[at]))
            continue
        parts.append(visible("".join(plain)))
        plain = []
        parts.append(_token(_cut(strings[at]), value, largest, threshold, guess if predicted is not None else None))
    parts.append(visible("".join(plain)))
    parts.append("<q> …</q>" if end < len(strings) else "")
    return Markup("".join(parts))


def visible(text: str) -> str:
    """Escaped text in which line breaks, tabs and other control characters can be seen."""
    return escape(readable(text))


def readable(text: str) -> str:
    """The text with marks for line breaks, tabs, and characters that do not print (or would turn the text around)."""
    shown = text.replace("\n", "↵").replace("\t", "⇥")
    return "".join(c if c.isprintable() else "·" for c in shown)


def _token(text: str, value: float, largest: float, threshold: float, guess: float | None) -> str:
    share = min(1.0, value / largest) if largest else 0.0
    says = f"{value:.3g} ({share:.0%} of max)" if value > 0 else "silent"
    if guess is not None:
        says += f"; predicted {guess:.0%}"
    kind = ("f" if value > threshold else "w" if value > 0 else "") + ("p" if guess else "")
    shade = f" s{max(1, round(SHADES * share))}" if value > 0 else ""
    return f'<b class="{kind}{shade}" title="{says}">{visible(text)}</b>'


def _cut(text: str) -> str:
    return text if len(text) <= LONG else text[:LONG] + "…"
