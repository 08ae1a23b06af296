"""The ledger: runs, labels, scores, failures and calls to models, appended while people read.

SQLite in WAL mode: one writer at a time, readers never wait. What a call wrote is there when it returns, also after kill -9.
Ids are hashes of what a row says or of where it belongs, and a row that is there already is left as it is, so that repeating
work changes nothing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import pyarrow as pa

from .hashing import row_id
from .opened import OpenedLedger
from .pages import Labels, Scores
from .records import Failure, JudgeAnswer, Label, Run, Score

_AGENTS = ("hypothesis", "experiment", "prediction", "step", "note", "event")
_CHATS = ("chat_thread", "chat_entry", "chat_step", "finding")
TABLES = (
    *("run", "label", "score", "failure", "model_call", "answer", "model_batch", "batch_call", "verdict"),
    *_AGENTS,
    *_CHATS,
)
_JSON = ("facets", "evidence", "experiments", "flags")


class Ledger(OpenedLedger):
    """An open ledger; safe to use from several threads."""

    def __repr__(self) -> str:
        counts = ", ".join(f"{self._count(table):,} {table.replace('_', ' ')}s" for table in TABLES)
        return f"Ledger({counts})"

    def start_run(self, run: Run) -> None:
        """Record that a run has begun, or goes on."""
        with self._transaction("writing a run") as connection:
            connection.execute(
                "INSERT OR IGNORE INTO run VALUES (?, ?, ?, ?, ?, NULL)", (run.id, run.kind, run.config, run.status, _now())
            )
            connection.execute("UPDATE run SET status = ? WHERE id = ?", (run.status, run.id))

    def finish_run(self, run: str, status: Literal["done", "stopped"] = "done") -> None:
        """Record that a run has ended."""
        with self._transaction("writing a run") as connection:
            connection.execute("UPDATE run SET status = ?, finished = ? WHERE id = ?", (status, _now(), run))

    def record(
        self,
        *,
        labels: Sequence[Label] = (),
        scores: Sequence[Score] = (),
        failures: Sequence[Failure] = (),
        answers: Sequence[JudgeAnswer] = (),
        runs: Sequence[Run] = (),
    ) -> None:
        """Append rows in one transaction: all of them are there when this returns, or none. `runs` are over already."""
        with self._transaction("writing labels and scores") as connection:
            ended = _now()
            _insert(connection, "run", [{**run.model_dump(), "started": ended, "finished": ended} for run in runs])
            _insert(connection, "label", [_plain(label) for label in labels])
            _insert(connection, "score", [{"id": score_id(score), **_plain(score)} for score in scores])
            _insert(connection, "failure", [{"id": row_id(f.run, f.feature, f.step), **_plain(f)} for f in failures])
            named = [(a, row_id("answer", a.run, a.feature, a.contestant, a.score, a.item)) for a in answers]
            _insert(connection, "answer", [{"id": name, **_plain(a)} for a, name in named])

    def add_label(self, label: Label) -> None:
        """Append a label."""
        self.record(labels=[label])

    def add_scores(self, scores: Sequence[Score]) -> None:
        """Append scores, in one transaction."""
        self.record(scores=scores)

    def add_failure(self, run: str, feature: int, step: str, reason: str) -> None:
        """Record that a step failed on a feature."""
        self.record(failures=[Failure(run=run, feature=feature, step=step, reason=reason)])

    def runs(self) -> list[Run]:
        """All runs, in the order of their first start."""
        return [
            Run(id=i, kind=kind, config=config, status=status)
            for i, kind, config, status in self._rows("SELECT id, kind, config, status FROM run ORDER BY rowid")
        ]

    def labels(self, feature: int | None = None, run: str | None = None) -> Labels:
        """Labels, of one feature or run where asked, by feature and then in the order they were written."""
        return Labels(Label(**_rich(row)) for row in self._select("label", "feature, rowid", feature=feature, run=run))

    def label(self, id: str) -> Label | None:
        """A label by its id."""
        return next((Label(**_rich(row)) for row in self._select("label", "rowid", id=id)), None)

    def names(self, after: int = -1, most: int = 100, without: str = "") -> list[tuple[int, str]]:
        """At most so many labeled features whose ids come after `after`, ascending, each with the name of its newest label;
        without those of an agent.
        """
        newest = "SELECT max(rowid) FROM label WHERE feature > ? AND agent <> ? GROUP BY feature ORDER BY feature LIMIT ?"
        rows = self._rows(f"SELECT feature, name FROM label WHERE rowid IN ({newest}) ORDER BY feature", after, without, most)
        return [(int(feature), str(name)) for feature, name in rows]

    def scores(
        self,
        feature: int | None = None,
        run: str | None = None,
        label: str | None = None,
        scorer: str | None = None,
        judge: str | None = None,
        contestant: str | None = None,
        split: str | None = None,
    ) -> Scores:
        """Scores, narrowed down where asked, by feature and then in the order they were written."""
        rows = self._select(
            "score",
            "feature, rowid",
            feature=feature,
            run=run,
            label=label,
            scorer=scorer,
            judge=judge,
            contestant=contestant,
            split=split,
        )
        return Scores(Score(**{name: value for name, value in _rich(row).items() if name != "id"}) for row in rows)

    def last(self, table: Literal["label", "score"]) -> int:
        """The row of a table that was written last; 0 where there is none."""
        return int(self._rows(f"SELECT coalesce(max(rowid), 0) FROM {table}")[0][0])

    def labels_since(self, after: int, run: str | None, most: int) -> list[tuple[int, str, int, str, str, str, str]]:
        """Labels written after row `after`, of one run where asked, at most so many:
        row, id, feature, agent, name, description, and the descriptions of its facets.
        """
        where = "" if run is None else "AND run = ?"
        rows = self._rows(
            "SELECT rowid, id, feature, agent, name, substr(description, 1, 1000), CASE WHEN facets = '[]' THEN '' ELSE "
            "(SELECT group_concat(json_extract(value, '$.description'), ' ') FROM json_each(facets)) END "
            f"FROM label WHERE rowid > ? {where} ORDER BY rowid LIMIT ?",
            *((after, most) if run is None else (after, run, most)),
        )
        return [(*row[:6], row[6] or "") for row in rows]

    def scores_since(self, after: int, until: int, judge: str | None, most: int) -> list[tuple[int, str, int, str, float | None]]:
        """Test scores of labels written after row `after` and up to row `until`, by one judge where asked, at most so many:
        row, label, feature, scorer, value.
        """
        where = "" if judge is None else "AND judge = ?"
        return self._rows(
            "SELECT rowid, label, feature, scorer, value FROM score WHERE rowid > ? AND rowid <= ? AND contestant = 'label' "
            f"AND split = 'test' {where} ORDER BY rowid LIMIT ?",
            *((after, until, most) if judge is None else (after, until, judge, most)),
        )

    def answers(
        self, run: str, contestant: str | None = None, score: str | None = None, feature: int | None = None
    ) -> list[JudgeAnswer]:
        """A judge's answers in one run, narrowed down where asked, by feature and question."""
        wanted = {"run": run, "contestant": contestant, "score": score, "feature": feature}
        rows = self._select("answer", "feature, score, contestant, item", **wanted)
        return [JudgeAnswer(**{name: value for name, value in row.items() if name != "id"}) for row in rows]

    def failures(self, run: str | None = None, feature: int | None = None) -> list[tuple[int, str, str]]:
        """Feature, step and reason of every failure, of one run or feature where asked."""
        rows = self._select("failure", "feature, rowid", run=run, feature=feature)
        return [(row["feature"], row["step"], row["reason"]) for row in rows]

    def labeled_features(self, run: str) -> set[int]:
        """Features that have a label of this run."""
        return {feature for (feature,) in self._rows("SELECT DISTINCT feature FROM label WHERE run = ?", run)}

    def scored_features(self, run: str) -> set[int]:
        """Features that have a score of this run."""
        return {feature for (feature,) in self._rows("SELECT DISTINCT feature FROM score WHERE run = ?", run)}

    def tables(self) -> tuple[str, ...]:
        """Names of the tables."""
        return TABLES

    def arrow(self, table: str) -> pa.Table:
        """A whole table as Arrow, lists as JSON text."""
        if table not in TABLES:
            raise ValueError(f"the ledger has no table {table}")
        info = self._rows(f"SELECT name, type FROM pragma_table_info('{table}')")
        rows = self._rows(f"SELECT * FROM {table} ORDER BY rowid")
        kinds = {"TEXT": pa.large_string(), "INTEGER": pa.int64(), "REAL": pa.float64()}
        columns = list(zip(*rows, strict=True)) or [()] * len(info)
        return pa.table({name: pa.array(column, kinds[kind]) for (name, kind), column in zip(info, columns, strict=True)})

    def _select(self, table: str, order: str, **wanted: Any) -> Iterator[dict[str, Any]]:
        """Rows of a table as dictionaries, narrowed down by the columns that are not None."""
        given = {name: value for name, value in wanted.items() if value is not None}
        where = " AND ".join(f"{name} = ?" for name in given) or "1"
        return iter(self._records(f"SELECT * FROM {table} WHERE {where} ORDER BY {order}", *given.values()))

    def _rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(query, parameters).fetchall()

    def _count(self, table: str) -> int:
        return int(self._rows(f"SELECT count(*) FROM {table}")[0][0])


def label_id(run: str, feature: int, *content: Any) -> str:
    """Id of a label: the hash of its run, its feature and what it says (JSON values)."""
    return row_id("label", run, feature, *content)


def score_id(score: Score) -> str:
    """Id of a score: the hash of what was measured, not of the value, so that measuring again adds nothing."""
    return row_id("score", score.run, score.feature, score.label, score.scorer, score.judge, score.contestant, score.split)


def _insert(connection: sqlite3.Connection, table: str, rows: Sequence[dict[str, Any]]) -> None:
    """Append rows that are not there yet."""
    for row in rows:
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        connection.execute(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))


def _plain(record: Label | Score | Failure | JudgeAnswer) -> dict[str, Any]:
    """A record as columns: lists as JSON, lone surrogates replaced, which no database takes."""
    row = record.model_dump(mode="python")
    for name in _JSON:
        if name in row:
            row[name] = json.dumps(row[name], ensure_ascii=True)
    return {name: clean(value) if isinstance(value, str) else value for name, value in row.items()}


def _rich(row: dict[str, Any]) -> dict[str, Any]:
    """Columns as fields of a record."""
    return {name: tuple(json.loads(value)) if name in _JSON else value for name, value in row.items()}


def clean(text: str) -> str:
    """Text that every database takes: lone surrogates become the replacement character."""
    return (
        text.encode("utf-8", "replace").decode("utf-8")
        if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)
        else text
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
