"""What the ledger says of whole runs: labels, spend by step, failures by reason, tools used."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from .database import open_ledger


class RunRow(NamedTuple):
    """One run in figures."""

    id: str
    """Its id."""
    kind: str
    """label or score."""
    config: str
    """Its resolved configuration, as JSON."""
    status: str
    """running, done or stopped, as it was written last."""
    started: str
    """UTC time of its first start."""
    finished: str | None
    """UTC time at which it ended last; None where it never did."""
    labels: int
    """Labels made."""
    scores: int
    """Scores made."""
    failures: int
    """Features with a reason instead."""
    tokens: int
    """Model tokens spent; calls that never settled count at their worst."""
    dollars: float
    """US dollars, likewise."""


class StepRow(NamedTuple):
    """What the model calls of one step came to."""

    step: str
    """Where they stand, for example labeler/design/1."""
    model: str
    """The model that was called."""
    calls: int
    """Calls that were answered."""
    hits: int
    """Those of them that were answered from another run."""
    failed: int
    """Calls that failed, were stopped by a budget, or never settled."""
    prompt: int
    """Tokens of prompts."""
    cached: int
    """Those of them that the server had in its cache."""
    completion: int
    """Tokens of replies."""
    tokens: int
    """Tokens that count against the budget."""
    dollars: float | None
    """US dollars likewise; None where a price is not known."""


class ToolRow(NamedTuple):
    """What one tool was used for in experiments."""

    tool: str
    """The tool."""
    kind: str
    """write, edit, steer, ablate or look."""
    calls: int
    """Times it was called."""
    failed: int
    """Those of them that could not be run."""
    forwarded: int
    """Tokens run through the subject."""
    read: int
    """Contexts read."""


class OutcomeRow(NamedTuple):
    """What came of one feature in a run."""

    feature: int
    """Global id of the feature."""
    label: str | None
    """Id of its label; None where it has none."""
    name: str | None
    """Name of the label."""
    confidence: float | None
    """The score that its maker expects of it."""
    reason: str | None
    """Why there is no label."""
    trail: bool
    """Whether an agent left a trail on it."""


class DebateRow(NamedTuple):
    """A debate about a feature."""

    run: str
    """The run it was held in."""
    feature: int
    """Global id of the feature."""
    over: bool
    """Whether it has a verdict."""
    content: str
    """The verdict's step, or else its latest one, as JSON."""


def outcome_rows(ledger: Path, run: str, start: int, most: int, first: int = 0, last: int = 2**62) -> list[OutcomeRow]:
    """What came of the features of a run, ascending: at most so many, from number `start` on, of those from `first` to `last`."""
    with _open(ledger) as connection:
        query = (
            "SELECT feature, max(label), max(name), max(confidence), max(reason), "
            "EXISTS (SELECT 1 FROM step s WHERE s.run = ?1 AND s.feature = o.feature) FROM ("
            "SELECT feature, id AS label, name, confidence, NULL AS reason FROM label WHERE run = ?1 UNION ALL "
            "SELECT feature, NULL, NULL, NULL, reason FROM failure WHERE run = ?1) o WHERE feature BETWEEN ?4 AND ?5 "
            "GROUP BY feature ORDER BY feature LIMIT ?2 OFFSET ?3"
        )
        return [OutcomeRow._make((*row[:5], bool(row[5]))) for row in connection.execute(query, (run, most, start, first, last))]


def outcomes(ledger: Path, run: str) -> int:
    """How many features of a run have a label, a score, or a reason why not."""
    with _open(ledger) as connection:
        query = " UNION ".join(f"SELECT feature FROM {table} WHERE run = ?1" for table in ("label", "score", "failure"))
        (count,) = connection.execute(f"SELECT count(*) FROM ({query})", (run,)).fetchone()
    return int(count)


def figures_so_far(ledger: Path, run: str) -> dict[str, list[float]]:
    """Scores of the labels in a scoring run that may be going on, by what was measured."""
    found: dict[str, list[float]] = {}
    with _open(ledger) as connection:
        query = "SELECT scorer, value FROM score WHERE run = ? AND contestant = 'label' AND value IS NOT NULL"
        for scorer, value in connection.execute(query, (run,)):
            found.setdefault(scorer, []).append(value)
    return found


def debate_rows(ledger: Path) -> list[DebateRow]:
    """All debates, the latest first."""
    with _open(ledger) as connection:
        query = (
            "SELECT run, feature, json_extract(content, '$.debate') = 'verdict', content FROM step WHERE rowid IN "
            "(SELECT max(rowid) FROM step WHERE node = 'debate' AND json_extract(content, '$.debate') <> 'none' "
            "GROUP BY run, feature) ORDER BY rowid DESC"
        )
        return [DebateRow(run, feature, bool(over), text) for run, feature, over, text in connection.execute(query)]


def run_rows(ledger: Path) -> list[RunRow]:
    """All runs, the oldest first."""
    counts = ", ".join(f"(SELECT count(*) FROM {table} WHERE run = r.id)" for table in ("label", "score", "failure"))
    spent = ", ".join(
        f"(SELECT coalesce(sum({what}), 0) FROM model_call WHERE run = r.id AND hit = 0)" for what in ("tokens", "cost")
    )
    with _open(ledger) as connection:
        query = f"SELECT r.id, kind, config, status, started, finished, {counts}, {spent} FROM run r ORDER BY r.rowid"
        return [RunRow(*row) for row in connection.execute(query).fetchall()]


def labeled_features(ledger: Path) -> int:
    """How many features have a label."""
    with _open(ledger) as connection:
        (count,) = connection.execute("SELECT count(DISTINCT feature) FROM label").fetchone()
    return int(count)


def step_rows(ledger: Path, run: str) -> list[StepRow]:
    """Model calls of a run by step and model, in their order."""
    sums = ", ".join(f"coalesce(sum({name}), 0)" for name in ("prompt_tokens", "cached_tokens", "completion_tokens", "tokens"))
    with _open(ledger) as connection:
        query = (
            "SELECT step, model, sum(status = 'settled'), sum(hit), sum(status <> 'settled'), "
            f"{sums}, CASE WHEN count(cost) = count(*) THEN sum(cost) END "
            "FROM model_call WHERE run = ? GROUP BY step, model ORDER BY min(rowid)"
        )
        return [StepRow(*row) for row in connection.execute(query, (run,)).fetchall()]


def tool_rows(ledger: Path, run: str) -> list[ToolRow]:
    """Tool calls of a run's experiments, by tool and kind."""
    with _open(ledger) as connection:
        query = (
            "SELECT tool, kind, count(*), sum(reason IS NOT NULL), sum(forwarded), sum(read) FROM experiment "
            "WHERE run = ? AND (result IS NOT NULL OR reason IS NOT NULL) GROUP BY tool, kind ORDER BY tool, kind"
        )
        return [ToolRow(*row) for row in connection.execute(query, (run,)).fetchall()]


def nodes_reached(ledger: Path, run: str) -> dict[int, frozenset[str]]:
    """By feature the kinds of steps that its trail has."""
    with _open(ledger) as connection:
        query = "SELECT feature, group_concat(DISTINCT node) FROM step WHERE run = ? GROUP BY feature"
        return {feature: frozenset(nodes.split(",")) for feature, nodes in connection.execute(query, (run,)).fetchall()}


@contextmanager
def _open(ledger: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_ledger(ledger)) as connection:
        yield connection
