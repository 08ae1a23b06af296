"""Tokens in a row, coloured by activation, as HTML without inline styles: the policy of our pages allows none."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from dragoman.store.display import visible

from .harmless import shortened

STEPS = 10
"""Shades; the style sheet has a class for each."""
LONG = 200
"""Characters of one token that are shown."""
SILENT = 20_000
"""Characters of the plain text between two active tokens that are shown."""


def strip(strings: Sequence[str], values: Sequence[float], largest: float, threshold: float, around: int | None = None) -> Markup:
    """Tokens with their activations; a coloured one says its exact value on hover and to the keyboard's focus.

    Args:
        strings: the tokens.
        values: the activation on each.
        largest: the value in full colour, the feature's train maximum.
        threshold: the feature fires above this; such tokens are underlined.
        around: show at most so many tokens on either side of the strongest one.
    """
    start, stop = _reach(values, around)
    parts = ['<q class="cut">…</q>' if start else ""]
    plain: list[str] = []
    for at in range(start, stop):
        value = values[at]
        if not value > 0:
            plain.append(strings[at])
            continue
        parts.append(_plain(plain))
        plain = []
        shade = min(STEPS, max(1, round(STEPS * value / largest))) if largest > 0 else 1
        fires = " fires" if value > threshold else ""
        share = f" ({value / largest:.0%} of its maximum)" if largest > 0 else ""
        text = escape(shortened(visible(strings[at], spaces=not strings[at].strip(" ")), LONG))
        parts.append(f'<b class="a{shade}{fires}" title="{value:.6g}{share}">{text}</b>')
    parts.append(_plain(plain))
    parts.append('<q class="cut">…</q>' if stop < len(strings) else "")
    return Markup(f'<span class="strip">{"".join(parts)}</span>')


def _plain(strings: Sequence[str]) -> str:
    return escape(shortened(visible("".join(shortened(one, LONG) for one in strings)), SILENT))


def _reach(values: Sequence[float], around: int | None) -> tuple[int, int]:
    if around is None or not len(values):
        return 0, len(values)
    middle = max(range(len(values)), key=values.__getitem__)
    start = max(0, min(middle - around, len(values) - 2 * around - 1))
    return start, min(len(values), start + 2 * around + 1)
