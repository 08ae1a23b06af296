"""The trail of a feature as HTML: collapsed, escaped, and of a bounded size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from jinja2 import Environment
from markupsafe import Markup

from dragoman.store.features import Store
from dragoman.store.trail import Trail

from . import telling
from .highlight import highlight
from .tried import Tried, shortened

MOST = 40
"""Hypotheses, experiments or facts shown of one step."""
EXAMPLES = 3
"""Examples shown of each stratum."""
T = TypeVar("T")


class Shown(NamedTuple):
    """A piece of evidence."""

    what: str
    """The stratum."""
    n: int
    """Examples that the agent was shown."""
    examples: list[Markup]
    """The first of them, highlighted."""


class Step(NamedTuple):
    """A step, ready for the page."""

    told: telling.Told
    """What is said of it."""
    seen: list[Shown]
    """Evidence."""
    tools: list[str]
    """Tools that were asked besides."""
    tried: list[tuple[Tried, Markup | None]]
    """Experiments, each with its highlighted text where it has one."""
    left_out: str
    """What is not shown; empty where everything is."""


def trail_html(environment: Environment, trail: Trail, store: Store, largest: float, opened: bool = False) -> Markup:
    """A trail as one element, collapsed or opened. largest: the feature's train maximum."""
    told = telling.tell(trail, store)
    return Markup(
        environment.get_template("trail.html.j2").render(
            opened=opened,
            anchor=f"f{trail.feature}",
            heading=telling.heading(trail),
            scale=telling.SCALE,
            outcome=telling.outcome(trail),
            said=summary(trail),
            steps=[_step(step, trail, store, largest) for step in told],
            notes=[shortened(note) for note in trail.notes[:MOST]],
        )
    )


def summary(trail: Trail) -> str:
    """A trail in one line."""
    run = [one for one in trail.experiments.values() if one.kind != "look"]
    parts = [f"{len(trail.parts)} steps", _count(len(trail.hypotheses), "hypothesis", "hypotheses")]
    parts.append(_count(len(run), "experiment", "experiments"))
    spent = telling.spent(trail.cost)
    return ", ".join(parts) + (f"; {spent}" if spent else "")


def _step(told: telling.Told, trail: Trail, store: Store, largest: float) -> Step:
    left = [
        _count(len(all) - MOST, one, several)
        for all, one, several in (
            (told.claims, "hypothesis", "hypotheses"),
            (told.tried, "experiment", "experiments"),
            (told.facts, "line", "lines"),
        )
        if len(all) > MOST
    ]
    return Step(
        told=told._replace(claims=_first(told.claims), facts=_first(told.facts)),
        seen=[_seen(piece, trail, store) for piece in told.seen if piece.contexts],
        tools=[piece.what for piece in told.seen if not piece.contexts],
        tried=[(one, _text(one, largest)) for one in _first(told.tried)],
        left_out=f"{', '.join(left)} more are left out here" if left else "",
    )


def _seen(piece: telling.Seen, trail: Trail, store: Store) -> Shown:
    examples = telling.evidence(store, trail.feature, piece.contexts[:EXAMPLES], piece.what.replace(" ", "_"))
    return Shown(
        piece.what,
        len(piece.contexts),
        [highlight(one.context.strings, one.values, one.scale, one.threshold) for one in examples],
    )


def _text(one: Tried, largest: float) -> Markup | None:
    return highlight(one.tokens, one.values, largest, one.threshold) if one.tokens else None


def _first(values: Sequence[T]) -> tuple[T, ...]:
    return tuple(values[:MOST])


def _count(n: int, one: str, several: str) -> str:
    return f"{n:,} {one if n == 1 else several}"
