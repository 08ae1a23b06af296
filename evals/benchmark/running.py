"""A benchmark: every contestant in every trial, one file each, so that it goes on where it was stopped.

    OUT/trials/SUITE-SEED-N/            what the suite makes, the store among it
    OUT/entries/SUITE-SEED-N-NAME.json  what one contestant said there, what came out, and what it took

An entry depends on its configuration alone; one of another configuration is made again.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from dragoman.store.disk import disk_errors, write_atomically
from dragoman.store.errors import UserError

from .entrants import Entrant, Entry, Spent
from .examine import TEXTS, Examined, Room
from .reading import Read
from .suite import Suite, Trial

FORM = 2
"""Raised when what an entry holds or means changes, so that older ones are made again."""


@dataclass(frozen=True)
class Row:
    """One feature of one contestant."""

    feature: int
    """Global id in the trial's store."""
    figures: Mapping[str, float]
    """What came out, by name."""
    unscored: str | None
    """Why its label was not executed, or why there is none."""
    labeled: bool
    """Whether there is a label."""
    said: Mapping[str, Any]
    """The label: name, description, pattern."""
    truth: str | None
    """The truth in words; None where it is not known."""
    level: int | None
    """Difficulty, where the suite has levels."""
    kind: str
    """Family of concepts or kind of program."""
    hard: bool
    """A hard case."""
    written: bool
    """Whether the truth can be written in the pattern language."""
    related: bool
    """Whether there are siblings that a vague label takes for it."""


@dataclass(frozen=True)
class Result:
    """One contestant in one trial."""

    suite: str
    """Name of the suite."""
    seed: int
    """Seed of the trial."""
    contestant: str
    """Name of the contestant."""
    config: Mapping[str, Any]
    """What it depends on."""
    rows: Sequence[Row]
    """A row for each feature."""
    spent: Spent
    """What it took."""
    seconds: float
    """How long labeling took."""
    whole: bool
    """Whether the seconds are those of all of it; no longer so when it was stopped on the way."""
    endless: bool = False
    """Whether the features of every seed are new ones; else the same feature of several seeds counts as one."""
    judged: Spent | None = None
    """What the judge that reads words took; None where there was none."""

    def unit(self, row: Row) -> str:
        """What intervals resample."""
        return f"{self.suite}/{self.seed}/{row.feature}" if self.endless else f"{self.suite}/{row.feature}"


class Reads(Protocol):
    """A judge that reads the words of labels on fresh texts."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    def read(self, room: Room, contestant: str, entry: Entry) -> Read:
        """What it makes of the labels, and what that took."""
        ...


@dataclass(frozen=True)
class Plan:
    """A benchmark."""

    out: Path
    """Folder of everything."""
    suites: Sequence[Suite]
    """Where the features come from."""
    entrants: Sequence[Entrant]
    """Who labels them."""
    seeds: Sequence[int]
    """A trial of every suite for each."""
    features: int
    """Features of a trial at most."""
    texts: int = TEXTS
    """Fresh texts of each kind."""
    judge: Reads | None = None
    """Reads words beside the execution of patterns."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What else entries depend on."""


def run(plan: Plan, say: Callable[[str], None] = lambda line: None) -> list[Result]:
    """All entries, those that are there already as they are. Raises what suites and contestants raise, and UserError where a
    suite has no contestant."""
    results = []
    lonely = next((suite.name for suite in plan.suites if not _entering(plan, suite)), None)
    if lonely:
        raise UserError(f"The oracle is the truth itself, and nothing is known in the suite {lonely}: name other contestants.")
    with disk_errors("writing the benchmark", plan.out):
        (plan.out / "entries").mkdir(parents=True, exist_ok=True)
        for suite in plan.suites:
            for seed in plan.seeds:
                results += _trial(plan, suite, seed, say)
    return results


def _entering(plan: Plan, suite: Suite) -> list[Entrant]:
    """The contestants of a suite: not those of another one, and where nothing is known, not the truth."""
    here = [one for one in plan.entrants if getattr(one, "suite", suite.name) == suite.name]
    return [one for one in here if getattr(suite, "known", True) or not getattr(one, "knows", False)]


def _trial(plan: Plan, suite: Suite, seed: int, say: Callable[[str], None]) -> list[Result]:
    found: list[Result] = []
    trial: Trial | None = None
    room: Room | None = None
    try:
        for entrant in _entering(plan, suite):
            file, config = (
                plan.out / "entries" / _file(plan, suite, seed, entrant.name),
                config_of(plan, suite, seed, entrant.name),
            )
            known = read(file)
            if known is None or known.config != config:
                if trial is None or room is None:
                    began = time.monotonic()
                    trial = suite.prepare(plan.out / "trials" / f"{suite.name}-{seed}-{plan.features}", seed, plan.features)
                    room = Room(trial, seed, plan.texts)
                    say(f"{suite.name} {seed}: {len(trial.features)} features, ready in {time.monotonic() - began:.0f} s")
                known = _enter(plan, suite, seed, entrant, trial, room, file, config, say)
                say(f"{suite.name} {seed}: {entrant.name} took {known.seconds:.1f} s")
            found.append(known)
    finally:
        if room is not None:
            room.close()
    return found


def _enter(
    plan: Plan,
    suite: Suite,
    seed: int,
    entrant: Entrant,
    trial: Trial,
    room: Room,
    file: Path,
    config: Mapping[str, Any],
    say: Callable[[str], None],
) -> Result:
    begun = file.with_suffix(".begun")
    whole = not begun.exists()
    begun.touch()
    start = time.monotonic()
    entry = entrant.enter(trial, seed)
    seconds = time.monotonic() - start if entry.seconds is None else entry.seconds
    examined = room.examine(entry)
    reading = plan.judge.read(room, entrant.name, entry) if plan.judge else None
    if plan.judge and reading:
        took = f"{reading.spent.requests:,} requests, {reading.spent.tokens:,} tokens"
        say(f"{suite.name} {seed}: {plan.judge.name} read the labels of {entrant.name}, {took}")
    told = reading.figures if reading else {}
    rows = [_row(trial, feature, examined[feature], told.get(feature, {})) for feature in trial.features]
    made = Result(
        suite.name,
        seed,
        entrant.name,
        config,
        rows,
        entry.spent,
        round(seconds, 3),
        whole,
        bool(getattr(suite, "endless", False)),
        reading.spent if reading else None,
    )
    write_atomically(file, json.dumps(asdict(made), indent=1).encode())
    begun.unlink()
    return made


def _row(trial: Trial, feature: int, one: Examined, more: Mapping[str, float]) -> Row:
    truth = trial.truths.get(feature)
    return Row(
        feature=feature,
        figures={name: round(figure, 6) for name, figure in {**one.figures, **more}.items()},
        unscored=one.unscored,
        labeled=one.labeled,
        said=one.said,
        truth=truth.text if truth else None,
        level=truth.level if truth else None,
        kind=truth.kind if truth else "",
        hard=truth.hard if truth else False,
        written=truth is not None and truth.pattern is not None,
        related=truth is not None and any(other in trial.truths for other in truth.siblings),
    )


def config_of(plan: Plan, suite: Suite, seed: int, contestant: str) -> dict[str, Any]:
    """What an entry depends on."""
    return {
        "form": FORM,
        "suite": suite.name,
        "seed": seed,
        "contestant": contestant,
        "features": plan.features,
        "texts": plan.texts,
        "judge": plan.judge.name if plan.judge else None,
        **plan.settings,
    }


def read(file: Path) -> Result | None:
    """An entry from disk; None where there is none that can be read."""
    try:
        held = json.loads(file.read_text("utf-8"))
        bills = {name: Spent(**held[name]) if held[name] else None for name in ("spent", "judged")}
        return Result(**{**held, **bills, "rows": [Row(**row) for row in held["rows"]]})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _file(plan: Plan, suite: Suite, seed: int, contestant: str) -> str:
    return f"{suite.name}-{seed}-{plan.features}-{re.sub(r'[^A-Za-z0-9.-]+', '_', contestant)}.json"
