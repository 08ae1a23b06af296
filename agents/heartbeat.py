"""How a campaign is going: a line on stderr, and a file that anybody can watch."""

from __future__ import annotations

import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Literal

from dragoman.store.disk import write_atomically
from dragoman.store.records import Label

log = logging.getLogger(__name__)

EVERY = 2.0
"""Seconds between two writings of the file."""
RECENT = 200
"""Features over which the rate is taken."""
FIGURES = 10_000
"""Figures on validation of which the median is taken, the latest."""
FOLDER = "runs"
"""Folder inside the store."""

Going = Literal["running", "paused", "stopping", "done", "stopped"]


@dataclass(frozen=True)
class Pulse:
    """What the file says."""

    run: str
    """The run."""
    pid: int
    """The process that works on it."""
    going: Going
    """What it does."""
    time: str
    """UTC time of writing; one that is minutes old means that the process is gone."""
    features: int
    """Features of the run."""
    done: int
    """Those that have a label, or the reason why they have none."""
    labeled: int
    """Those that have a label."""
    in_flight: int
    """Those that are worked on."""
    per_minute: float
    """Features finished a minute, lately."""
    tokens: int
    """Model tokens spent, over all processes."""
    dollars: float
    """US dollars likewise."""
    validation: float | None
    """Median figure of the labels on validation."""
    seconds_left: float | None
    """At the present rate."""
    reason: str | None = None
    """Why it stopped, where it did."""


class Heartbeat:
    """Counts what is done, and writes it down every few seconds."""

    def __init__(
        self,
        folder: Path,
        run: str,
        features: int,
        done: int,
        figures: Iterable[float | None],
        spent: Callable[[], tuple[int, float]],
    ) -> None:
        """done: features with an outcome. figures: on validation, one for each label there is. spent: tokens and dollars."""
        self.path = heartbeat_of(folder, run)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        known = list(figures)
        self.run, self.features, self.done, self.labeled, self.spent = run, features, done, len(known), spent
        self.in_flight = 0
        self.going: Going = "running"
        self.reason: str | None = None
        self._figures = deque((figure for figure in known if figure is not None), maxlen=FIGURES)
        self._finished: deque[float] = deque(maxlen=RECENT)
        self._begun = time.monotonic()
        self._written = 0.0

    def finished(self, labeled: bool, figure: float | None) -> None:
        """One more feature is done."""
        self.done += 1
        self.labeled += labeled
        self._finished.append(time.monotonic())
        if figure is not None:
            self._figures.append(figure)
        self.beat()

    def beat(self, going: Going | None = None, reason: str | None = None) -> None:
        """Write the file if it is due, or if something else happens now."""
        now = time.monotonic()
        if going is None and now - self._written < EVERY:
            return
        self.going, self.reason = going or self.going, reason
        self._written = now
        try:
            write_atomically(self.path, json.dumps(asdict(self.pulse()), indent=1).encode())
        except OSError as error:  # a full disk stops the run where something is lost by it, not here
            log.warning("the heartbeat could not be written: %s", error)

    def pulse(self) -> Pulse:
        """How it is going."""
        rate = self._per_second()
        tokens, dollars = self.spent()
        return Pulse(
            run=self.run,
            pid=os.getpid(),
            going=self.going,
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            features=self.features,
            done=self.done,
            labeled=self.labeled,
            in_flight=self.in_flight,
            per_minute=round(60 * rate, 2),
            tokens=tokens,
            dollars=round(dollars, 6),
            validation=round(median(self._figures), 4) if self._figures else None,
            seconds_left=round((self.features - self.done) / rate, 1) if rate else None,
            reason=self.reason,
        )

    def remark(self) -> str:
        """Spend and figures, for the progress line."""
        pulse = self.pulse()
        spent = f"{pulse.tokens:,} tokens" + (f", ${pulse.dollars:,.4f}" if pulse.dollars else "")
        spent = f"{pulse.per_minute:,.0f} a minute, {spent}"
        return spent + (f", median on validation {pulse.validation:.2f}" if pulse.validation is not None else "")

    def _per_second(self) -> float:
        if not self._finished:
            return 0.0
        first = self._begun if len(self._finished) < RECENT else self._finished[0]
        return len(self._finished) / max(1e-9, time.monotonic() - first)


def heartbeat_of(folder: Path, run: str) -> Path:
    """Where the heartbeat of a run of this store lies."""
    return folder / FOLDER / run / "heartbeat.json"


def pulse_of(folder: Path, run: str) -> Pulse | None:
    """What the heartbeat of a run says; None where it has none that can be read."""
    try:
        return Pulse(**json.loads(heartbeat_of(folder, run).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def figure_of(label: Label) -> float | None:
    """What the labeler measured on validation of a label."""
    validation = json.loads(label.notes).get("validation")
    return validation.get("value") if isinstance(validation, dict) else None
