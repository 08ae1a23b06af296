"""Small figures as pictures and words."""

from __future__ import annotations

from markupsafe import Markup


def gauge(value: float) -> Markup:
    """A share as a bar; below zero it is empty."""
    width = round(100 * min(1.0, max(0.0, value)))
    return Markup(
        f'<svg class="gauge" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true"><rect width="100" height="4"/>'
        f'<rect class="filled" width="{width}" height="4"/></svg>'
    )


def percent(share: float) -> str:
    """A share that may be tiny."""
    if not share:
        return "never"
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def chance(probability: float) -> str:
    """A probability of a token, most of which are next to nothing."""
    return "< 0.01 %" if probability < 1e-4 else f"{100 * probability:.2g} %"
