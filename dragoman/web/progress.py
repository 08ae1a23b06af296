"""How far a run is: once, and as a stream of pieces of a page for as long as it goes on."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from statistics import median
from typing import NamedTuple

from dragoman.agents.runs import Line, kind_of, named
from dragoman.evals.summary import SCORERS
from dragoman.store.accounts import figures_so_far, outcomes
from dragoman.store.ranges import features_of

from .site import Site

EVERY = 1.0
"""Seconds between two looks."""
SILENCE = 15.0
"""Seconds after which something is sent, so that a connection that is gone is noticed."""
GOING = ("running", "paused", "stopping")
"""Of these more is to be expected."""
REASONS = 12
"""Reasons shown."""


class Progress(NamedTuple):
    """How far a run is."""

    line: Line
    """The run."""
    done: int
    """Features with an outcome."""
    total: int
    """Features of the run."""
    figures: tuple[tuple[str, float, int], ...]
    """What was measured so far: plain name, median, number of features."""
    failures: tuple[tuple[str, int], ...]
    """Reasons why features have no label or score, the most frequent first."""
    per_minute: float | None
    """Features a minute; None where it is not known."""
    left: str
    """Time left, in words; empty where it is not known."""
    in_flight: int | None
    """Features that are worked on; None where it is not known."""

    @property
    def going(self) -> bool:
        """Whether more is to be expected."""
        return self.line.status in GOING

    @property
    def share(self) -> float:
        """Of all features."""
        return min(1.0, self.done / self.total) if self.total else 0.0


def progress(site: Site, run: str, since: tuple[float, int] | None = None) -> Progress:
    """How far a run is. since: when one looked before, and how many features had an outcome then; from it follows the rate of
    runs that do not write one down.

    Raises UserError where there is no such run.
    """
    line = named(site.store, run)
    path, id, pulse = site.store.ledger.path, line.row.id, line.pulse
    done = outcomes(path, id)
    scores = figures_so_far(path, id) if line.row.kind == "score" else {}
    figures = [(SCORERS.get(name, name), float(median(values)), len(values)) for name, values in _ordered(scores).items()]
    if pulse is not None and pulse.validation is not None:
        figures.append(("on validation, median", pulse.validation, pulse.labeled))
    reasons = Counter(kind_of(reason) for _, _, reason in site.store.ledger.failures(id))
    going = line.status in GOING
    rate = pulse.per_minute if pulse is not None and going else None
    if rate is None and since is not None and going:
        rate = 60 * (done - since[1]) / max(1e-6, time.monotonic() - since[0])
    total = done if line.status == "done" else max(done, _asked(site, line))
    seconds = 60 * (total - done) / rate if rate and line.status == "running" else None
    return Progress(
        line,
        done,
        total,
        tuple(figures),
        tuple(reasons.most_common(REASONS)),
        rate if rate else None,
        "" if seconds is None else duration(seconds),
        min(pulse.in_flight, total - done) if pulse is not None and going else None,
    )


async def stream(site: Site, run: str) -> AsyncIterator[str]:
    """Server-sent events: `now` with a piece of the page whenever something has changed, and `over` at the end."""
    begun, shown, said = None, "", time.monotonic()
    while True:
        found = await site.read(progress, site, run, begun)
        begun = begun or (time.monotonic(), found.done)
        piece = site.pages.html("progress.html.j2", now=found)
        if piece != shown:
            shown, said = piece, time.monotonic()
            yield event("now", piece)
        elif time.monotonic() - said > SILENCE:
            said = time.monotonic()
            yield ": still here\n\n"
        if not found.going:
            yield event("over", found.line.status)
            return
        await asyncio.sleep(EVERY)


def event(kind: str, data: object) -> str:
    """One server-sent event; texts are sent as JSON, so that no line break in them ends it."""
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n"


def duration(seconds: float) -> str:
    """A time in words."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s" if seconds < 600 else f"{seconds // 60} min"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def _asked(site: Site, line: Line) -> int:
    """Features that will have an outcome: those of the run that are live, where no heartbeat says."""
    asked = json.loads(line.row.config).get("features")
    if line.pulse is not None or line.row.kind != "label" or not isinstance(asked, str):
        return line.features
    return len(site.live & set(features_of(asked)))


def _ordered(scores: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """In the order of display."""
    places = {name: place for place, name in enumerate(SCORERS)}
    return dict(sorted(scores.items(), key=lambda entry: places.get(entry[0], len(places))))
