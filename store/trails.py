"""The ledger's tables of what agents thought and did.

Rows are inserted or ignored by ids that hash their content, so that a step that is repeated after a kill changes nothing. The
database itself refuses a prediction that comes after its experiment's result, and a result that changes.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from .findings import Event, EventKind, Experiment, Hypothesis, Prediction, Status, TrailStep
from .hashing import row_id
from .ledger import clean
from .opened import OpenedLedger
from .records import Facet


class Spent(NamedTuple):
    """What the calls of one step cost."""

    feature: int
    """Global id of the feature; -1 for calls that belong to none."""
    step: str
    """Where they stand, for example labeler/design/1."""
    calls: int
    """How many."""
    hits: int
    """Those of them that were answered from another run; counted at their original price."""
    tokens: int
    """Tokens of prompts and replies."""
    dollars: float | None
    """US dollars; None where a price is not known."""


class Trails(OpenedLedger):
    """Reads and writes the trails of a ledger over a connection of its own; safe to use from several threads."""

    def __init__(self, ledger: Path) -> None:
        """Open the ledger's file. Raises UserError as `Ledger` does."""
        super().__init__(ledger)
        self._events: dict[str, int] = {}
        """Events of a run so far."""

    # Writing

    def propose(self, hypotheses: Sequence[Hypothesis]) -> None:
        """Append hypotheses."""
        rows = [
            {
                **_columns(hypothesis, "facets", "parents"),
                "facets": _json([facet.model_dump() for facet in hypothesis.facets]),
                "parents": _json(list(hypothesis.parents)),
            }
            for hypothesis in hypotheses
        ]
        with self._transaction("writing hypotheses") as connection:
            _insert(connection, "hypothesis", rows)

    def plan(self, experiments: Sequence[Experiment], predictions: Sequence[Prediction]) -> None:
        """Append experiments that are not run yet together with all that is predicted of them, in one transaction.

        Raises sqlite3.IntegrityError for a prediction of an experiment whose result is known.
        """
        with self._transaction("writing experiments") as connection:
            for experiment in experiments:
                row = {**_columns(experiment, "arguments", "result"), "arguments": _json(experiment.arguments), "result": None}
                _insert(connection, "experiment", [row])
            _insert(connection, "prediction", [{"id": one.id, **_columns(one)} for one in predictions])

    def settle(self, experiment: Experiment, verdicts: Sequence[Prediction]) -> None:
        """Write what came out of an experiment, and what that says of its predictions, in one transaction."""
        if not experiment.settled:
            raise ValueError(f"{experiment.called} was not run")
        with self._transaction("writing a result") as connection:
            connection.execute(
                "UPDATE experiment SET result = ?, reason = ?, forwarded = ?, read = ? WHERE id = ? AND result IS NULL "
                "AND reason IS NULL",
                (
                    None if experiment.result is None else _json(experiment.result),
                    None if experiment.reason is None else clean(experiment.reason),
                    experiment.forwarded,
                    experiment.read,
                    experiment.id,
                ),
            )
            for one in verdicts:
                connection.execute(
                    "UPDATE prediction SET verdict = ?, because = ? WHERE id = ?", (one.verdict, one.because, one.id)
                )

    def judge(self, statuses: Mapping[str, Status]) -> None:
        """Write where hypotheses stand."""
        with self._transaction("writing verdicts") as connection:
            for hypothesis, status in statuses.items():
                connection.execute("UPDATE hypothesis SET status = ? WHERE id = ?", (status, hypothesis))

    def add_step(self, step: TrailStep) -> None:
        """Append a step; the same place is written once."""
        row = {
            "id": row_id("step", step.run, step.feature, step.ordinal),
            **_columns(step, "content"),
            "content": _json(step.content),
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with self._transaction("writing a trail") as connection:
            _insert(connection, "step", [row])

    def add_note(self, run: str, feature: int, text: str) -> None:
        """Append an agent's note."""
        row = {"id": row_id("note", run, feature, text), "run": run, "feature": feature, "text": clean(text)}
        with self._transaction("writing a note") as connection:
            _insert(connection, "note", [row])

    def happened(self, run: str, kind: EventKind, feature: int = -1, content: Mapping[str, Any] | None = None) -> None:
        """Append an event to those of a run."""
        with self._transaction("writing an event") as connection:
            if run not in self._events:  # a run has one writer
                (self._events[run],) = connection.execute("SELECT count(*) FROM event WHERE run = ?", (run,)).fetchone()
            ordinal = self._events[run]
            one = Event(run=run, ordinal=ordinal, kind=kind, feature=feature, content=content or {})
            row = {"id": row_id("event", run, ordinal), **_columns(one, "content"), "content": _json(one.content)}
            _insert(connection, "event", [row])
        self._events[run] += 1

    # Reading

    def hypotheses(self, run: str, feature: int) -> list[Hypothesis]:
        """Those of a feature, in their order."""
        return [
            Hypothesis(
                **{
                    **row,
                    "facets": tuple(Facet(**facet) for facet in json.loads(row["facets"])),
                    "parents": tuple(json.loads(row["parents"])),
                }
            )
            for row in self._select("hypothesis", run, feature)
        ]

    def experiments(self, run: str, feature: int) -> list[Experiment]:
        """Those of a feature, in their order."""
        return [_experiment(row) for row in self._select("experiment", run, feature)]

    def experiment(self, id: str) -> tuple[Experiment, list[Prediction]]:
        """One experiment, and what was predicted of it in the order of the hypotheses. Raises KeyError where there is none."""
        for row in self._records("SELECT * FROM experiment WHERE id = ?", id):
            said = self._records(
                "SELECT p.experiment, p.hypothesis, p.outcome, p.verdict, p.because FROM prediction p LEFT JOIN hypothesis h "
                "ON h.id = p.hypothesis WHERE p.experiment = ? ORDER BY h.ordinal",
                id,
            )
            return _experiment(row), [Prediction(**one) for one in said]
        raise KeyError(id)

    def predictions(self, run: str, feature: int) -> list[Prediction]:
        """All that was predicted of a feature's experiments, in the order of the experiments and hypotheses."""
        rows = self._records(
            "SELECT p.experiment, p.hypothesis, p.outcome, p.verdict, p.because FROM prediction p JOIN experiment e "
            "ON e.id = p.experiment LEFT JOIN hypothesis h ON h.id = p.hypothesis WHERE e.run = ? AND e.feature = ? "
            "ORDER BY e.ordinal, h.ordinal",
            run,
            feature,
        )
        return [Prediction(**row) for row in rows]

    def steps(self, run: str, feature: int) -> list[TrailStep]:
        """The trail of a feature."""
        return [
            TrailStep(**{**{k: v for k, v in row.items() if k not in ("id", "written")}, "content": json.loads(row["content"])})
            for row in self._select("step", run, feature)
        ]

    def notes(self, run: str, feature: int) -> list[str]:
        """Notes on a feature."""
        rows = self._records("SELECT text FROM note WHERE run = ? AND feature = ? ORDER BY rowid", run, feature)
        return [row["text"] for row in rows]

    def events(self, run: str) -> list[Event]:
        """What happened to a run."""
        rows = self._records("SELECT run, ordinal, kind, feature, content FROM event WHERE run = ? ORDER BY ordinal", run)
        return [Event(**{**row, "content": json.loads(row["content"])}) for row in rows]

    def features(self, run: str) -> list[int]:
        """Features on which a run left a trail, ascending."""
        return [row["feature"] for row in self._records("SELECT DISTINCT feature FROM step WHERE run = ? ORDER BY feature", run)]

    def runs(self, feature: int) -> list[str]:
        """Runs that left a trail on a feature, the oldest first."""
        rows = self._records("SELECT run FROM step WHERE feature = ? GROUP BY run ORDER BY min(rowid)", feature)
        return [row["run"] for row in rows]

    def spending(self, run: str, feature: int | None = None) -> list[Spent]:
        """What calls to models cost in a run, by feature and step, in the order of the calls; of one feature if asked."""
        rows = self._records(
            "SELECT feature, step, count(*) AS calls, sum(hit) AS hits, sum(tokens) AS tokens, "
            "CASE WHEN count(cost) = count(*) THEN sum(cost) END AS dollars FROM model_call "
            f"WHERE run = ? {'' if feature is None else 'AND feature = ?'} AND status NOT IN ('feature_spent', 'stopped') "
            "GROUP BY feature, step ORDER BY min(rowid)",
            *((run,) if feature is None else (run, feature)),
        )
        return [Spent(**row) for row in rows]

    def seen(self, run: str) -> dict[int, int]:
        """Stored examples that steps read besides experiments, by feature."""
        found: dict[int, int] = {}
        for row in self._records("SELECT feature, content FROM step WHERE run = ? AND content LIKE '%\"read\":%'", run):
            found[row["feature"]] = found.get(row["feature"], 0) + int(json.loads(row["content"]).get("read", 0))
        return found

    def work(self, run: str) -> dict[int, tuple[int, int]]:
        """Tokens that a run's experiments ran through the subject, and contexts they read, by feature."""
        rows = self._records(
            "SELECT feature, sum(forwarded) AS f, sum(read) AS r FROM experiment WHERE run = ? GROUP BY feature", run
        )
        return {row["feature"]: (row["f"], row["r"]) for row in rows}

    def _select(self, table: str, run: str, feature: int) -> list[dict[str, Any]]:
        return self._records(f"SELECT * FROM {table} WHERE run = ? AND feature = ? ORDER BY ordinal, rowid", run, feature)


def _columns(record: Hypothesis | Experiment | Prediction | TrailStep | Event, *without: str) -> dict[str, Any]:
    """A record's plain fields as columns."""
    row = record.model_dump(mode="python", exclude=set(without))
    return {name: clean(value) if isinstance(value, str) else value for name, value in row.items()}


def _experiment(row: dict[str, Any]) -> Experiment:
    read = {name: None if row[name] is None else json.loads(row[name]) for name in ("arguments", "result")}
    return Experiment(**{**row, **read})


def _insert(connection: sqlite3.Connection, table: str, rows: Sequence[dict[str, Any]]) -> None:
    """Append rows that are not there yet."""
    for row in rows:
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        connection.execute(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
