"""What runs came to: a line each, or everything about one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

from dragoman.evals.runs import LOCKS, features_of
from dragoman.store.accounts import RunRow, StepRow, ToolRow, nodes_reached, run_rows, step_rows, tool_rows
from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.locking import is_locked

from .heartbeat import Pulse, figure_of, pulse_of


class Line(NamedTuple):
    """One run in a table."""

    row: RunRow
    """What the ledger says of it."""
    explainer: str
    """Who explained; a dash for scores."""
    judge: str
    """Who judged; a dash where nobody did."""
    features: int
    """Features that were asked for, or the live ones of them where that is known."""
    status: str
    """running, paused, stopping, stopped, killed or done."""
    pulse: Pulse | None
    """Its heartbeat, where it has one."""


@dataclass(frozen=True)
class Report:
    """Everything about one run."""

    line: Line
    """The run in a table."""
    config: Mapping[str, Any]
    """Its resolved configuration."""
    steps: Sequence[StepRow]
    """Model calls by kind of step."""
    failures: Mapping[str, int]
    """Reasons why features have no label, the most frequent first."""
    tools: Sequence[ToolRow]
    """Tool calls of experiments."""
    rungs: Mapping[str, int]
    """Features by the highest rung they reached."""
    validation: float | None
    """Median figure of the labels on validation, where the run measured one."""


def lines(store: Store) -> list[Line]:
    """All runs of a store, the oldest first."""
    return [_line(store, row) for row in run_rows(store.ledger.path)]


def report(store: Store, run: str) -> Report:
    """Everything about a run; the beginning of its id is enough. Raises UserError where there is none, or several."""
    line = named(store, run)
    path, id = store.ledger.path, line.row.id
    figures = [figure for label in store.ledger.labels(run=id) if (figure := figure_of(label)) is not None]
    reasons = Counter(kind_of(reason) for _, _, reason in store.ledger.failures(id))
    return Report(
        line=line,
        config=json.loads(line.row.config),
        steps=by_kind(step_rows(path, id)),
        failures=dict(reasons.most_common()),
        tools=tool_rows(path, id),
        rungs=dict(Counter(rung_of(nodes) for nodes in nodes_reached(path, id).values())),
        validation=median(figures) if figures else None,
    )


def named(store: Store, run: str) -> Line:
    """The run of this id, or whose id begins so. Raises UserError where there is none, or several."""
    rows = [row for row in run_rows(store.ledger.path) if row.id.startswith(run)]
    if not run or not rows:
        raise UserError(f"There is no run {run!r} in {store.path}: dragoman runs {store.path} lists them.")
    if len(rows) > 1:
        raise UserError(f"{len(rows)} runs begin with {run!r}: {', '.join(row.id for row in rows[:5])}; say more of it.")
    return _line(store, rows[0])


def _line(store: Store, row: RunRow) -> Line:
    config, pulse = json.loads(row.config), pulse_of(store.path, row.id)
    asked = config.get("features")
    features = pulse.features if pulse else len(features_of(asked)) if isinstance(asked, str) else store.width
    return Line(row, _said(config.get("explainer")), _said(config.get("judge")), features, _status(store, row, pulse), pulse)


def _status(store: Store, row: RunRow, pulse: Pulse | None) -> str:
    """What a run does now: a process that is killed cannot write it down, but its lock is gone."""
    if is_locked(store.path / LOCKS, f"{row.id}.lock"):
        return pulse.going if pulse and pulse.going in ("paused", "stopping") else "running"
    return "killed" if row.status == "running" else row.status


def _said(value: Any) -> str:
    return value if isinstance(value, str) and value else "-"


def kind_of(reason: str) -> str:
    """A reason without what differs from feature to feature."""
    body = reason.removeprefix("unscored: ")
    return body.partition(": ")[0].partition(" (")[0]


def rung_of(nodes: Iterable[str]) -> str:
    """The highest rung of the ladder, by the steps that a trail has."""
    for node, rung in (("debate", "debate"), ("design", "experiments"), ("propose", "one-shot")):
        if node in nodes:
            return rung
    return "not begun"


def by_kind(rows: Sequence[StepRow]) -> list[StepRow]:
    """Steps summed up over rounds and hypotheses: gauge/revise/2/H3 belongs to gauge/revise."""
    found: dict[tuple[str, str], list[StepRow]] = {}
    for row in rows:
        found.setdefault(("/".join(row.step.split("/")[:2]), row.model), []).append(row)
    summed = []
    for (step, model), parts in found.items():
        dollars = [part.dollars for part in parts]
        counts = [sum(int(part[at] or 0) for part in parts) for at in range(2, 9)]
        cost = None if any(one is None for one in dollars) else sum(one or 0.0 for one in dollars)
        summed.append(StepRow._make((step, model, *counts, cost)))
    return summed
