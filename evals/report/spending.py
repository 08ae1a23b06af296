"""What a labeling run spent, in all and for each label."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import NamedTuple

from dragoman.store.trail import Cost

from .material import Material


class Line(NamedTuple):
    """One kind of expense."""

    name: str
    """What was spent."""
    total: str
    """In all."""
    label: str
    """In all, divided by the labels."""
    feature: str
    """Median over features."""


KINDS: tuple[tuple[str, Callable[[Cost], float | None], str], ...] = (
    ("calls to models", lambda cost: cost.calls, ",.0f"),
    ("model tokens", lambda cost: cost.tokens, ",.0f"),
    ("US dollars", lambda cost: cost.dollars, ",.4f"),
    ("tokens run through the subject", lambda cost: cost.forwarded, ",.0f"),
    ("stored examples read", lambda cost: cost.read, ",.0f"),
)


def spending(material: Material) -> list[Line]:
    """A line for everything that was spent; none where the run left no trails."""
    if not material.trails:
        return []
    lines = []
    for name, kind, form in KINDS:
        values = [kind(cost) for cost in material.costs.values()]
        if any(value is None for value in values):
            lines.append(Line(name, "not known: a price is missing", "", ""))
            continue
        known = [value for value in values if value is not None]
        if not any(known):
            continue
        per = f"{sum(known) / len(material.labels):{form}}" if material.labels else "–"
        lines.append(Line(name, f"{sum(known):{form}}", per, f"{median(known):{form}}"))
    return lines
