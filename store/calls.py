"""The ledger's table of calls to language models, for those who make thousands of them at once.

Rows are written in batches by one thread and found by another, over two connections to the ledger's file, so that neither
waits for the other.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .database import open_ledger
from .disk import disk_errors
from .ledger import clean
from .traffic import ModelBatch, ModelCall


class Settled(NamedTuple):
    """How a call ended: columns of its row that change."""

    id: str
    """Of the row."""
    status: str
    """settled, failed, stopped or feature_spent."""
    reason: str | None
    """Why it failed."""
    reply: str | None
    """What came back, as JSON."""
    tokens: int
    """Counted against the budget."""
    cost: float | None
    """US dollars, likewise."""
    prompt_tokens: int | None
    """Tokens of the prompt."""
    cached_tokens: int | None
    """Those read from the server's cache."""
    completion_tokens: int | None
    """Tokens of the reply."""
    latency: float | None
    """Seconds."""


class Batched(NamedTuple):
    """That a call is in a batch."""

    call: str
    """Id of the call."""
    batch: str
    """Id of the batch."""


class Handed(NamedTuple):
    """What became of a batch: columns of its row that change."""

    id: str
    """Of the batch."""
    remote: str | None
    """The service's id for it."""
    status: str
    """submitted, read or refused."""


Row = ModelCall | Settled | ModelBatch | Batched | Handed
"""What can be written."""

_COLUMNS = tuple(ModelCall.model_fields)
_BATCH = tuple(ModelBatch.model_fields)
_INSERT_BATCH = f"INSERT INTO model_batch ({', '.join(_BATCH)}) VALUES ({', '.join('?' * len(_BATCH))})"
_INSERT = f"INSERT INTO model_call ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_UPDATE = (
    "UPDATE model_call SET status = ?, reason = ?, reply = ?, tokens = ?, cost = ?, prompt_tokens = ?, cached_tokens = ?, "
    "completion_tokens = ?, latency = ? WHERE id = ?"
)


class Calls:
    """The table `model_call` of a ledger: `write` belongs to one thread, everything else to another."""

    def __init__(self, ledger: Path) -> None:
        """Open the ledger's file twice. Raises UserError as `Ledger` does."""
        self._folder = ledger.parent
        self._writing = open_ledger(ledger)
        self._reading = open_ledger(ledger)

    def write(self, rows: Iterable[Row]) -> None:
        """Append new calls and batches and change earlier ones, in the order given and in one transaction.

        All are there when this returns. Raises UserError when the disk is full.
        """
        with disk_errors("writing calls to models", self._folder):
            self._writing.execute("BEGIN IMMEDIATE")
            try:
                for row in rows:
                    self._write(row)
                self._writing.execute("COMMIT")
            except BaseException:
                if self._writing.in_transaction:
                    self._writing.execute("ROLLBACK")
                raise

    def _write(self, row: Row) -> None:
        if isinstance(row, ModelCall):
            self._writing.execute(_INSERT, tuple(_plain(getattr(row, name)) for name in _COLUMNS))
        elif isinstance(row, Settled):
            self._writing.execute(_UPDATE, (*(_plain(value) for value in row[1:]), row.id))
        elif isinstance(row, ModelBatch):
            self._writing.execute(_INSERT_BATCH, tuple(_plain(getattr(row, name)) for name in _BATCH))
        elif isinstance(row, Batched):
            self._writing.execute("INSERT INTO batch_call (call, batch) VALUES (?, ?)", row)
        else:
            update = "UPDATE model_batch SET remote = ?, status = ? WHERE id = ?"
            self._writing.execute(update, (row.remote, row.status, row.id))

    def find(self, key: str) -> list[ModelCall]:
        """All calls with this key, of every run, in the order they were reserved."""
        rows = self._reading.execute(f"SELECT {', '.join(_COLUMNS)} FROM model_call WHERE key = ? ORDER BY rowid", (key,))
        return [ModelCall.model_construct(**dict(zip(_COLUMNS, row, strict=True))) for row in rows.fetchall()]

    def spent(self, run: str, hits: bool = False) -> tuple[int, float]:
        """Tokens and dollars that a run has spent or, where a call never settled, may have spent.

        hits: count also what came from another run, which cost nothing again.
        """
        return self._spent("run = ?", (run,), hits)

    def spent_on(self, run: str, feature: int, hits: bool = False) -> tuple[int, float]:
        """The same of one feature of the run."""
        return self._spent("run = ? AND feature = ?", (run, feature), hits)

    def models(self, run: str) -> list[str]:
        """Names of the models that a run called."""
        rows = self._reading.execute("SELECT DISTINCT model FROM model_call WHERE run = ? ORDER BY model", (run,))
        return [name for (name,) in rows.fetchall()]

    def _spent(self, where: str, values: tuple[str | int, ...], hits: bool) -> tuple[int, float]:
        counted = "" if hits else " AND hit = 0"
        query = f"SELECT coalesce(sum(tokens), 0), coalesce(sum(cost), 0.0) FROM model_call WHERE {where}{counted}"
        ((tokens, dollars),) = self._reading.execute(query, values).fetchall()
        return int(tokens), float(dollars)

    def batches(self, run: str, model: str) -> list[ModelBatch]:
        """Batches of a run and a model that have not been read yet, the oldest first."""
        query = (
            f"SELECT {', '.join(_BATCH)} FROM model_batch WHERE run = ? AND model = ? AND status IN ('prepared', 'submitted') "
            "ORDER BY rowid"
        )
        rows = self._reading.execute(query, (run, model)).fetchall()
        return [ModelBatch(**dict(zip(_BATCH, row, strict=True))) for row in rows]

    def in_batch(self, batch: str) -> list[ModelCall]:
        """The calls of a batch, in the order they were reserved."""
        columns = ", ".join(f"model_call.{name}" for name in _COLUMNS)
        query = (
            f"SELECT {columns} FROM model_call JOIN batch_call ON call = model_call.id WHERE batch = ? ORDER BY model_call.rowid"
        )
        rows = self._reading.execute(query, (batch,)).fetchall()
        return [ModelCall.model_construct(**dict(zip(_COLUMNS, row, strict=True))) for row in rows]

    def is_batched(self, call: str) -> bool:
        """Whether a call is in a batch."""
        return bool(self._reading.execute("SELECT 1 FROM batch_call WHERE call = ?", (call,)).fetchall())

    def remotes(self, server: str) -> set[str]:
        """What a service calls the batches that the ledger knows."""
        query = "SELECT remote FROM model_batch WHERE server = ? AND remote IS NOT NULL"
        return {remote for (remote,) in self._reading.execute(query, (server,)).fetchall()}

    def close(self) -> None:
        """Close both connections."""
        self._reading.close()
        self._writing.close()


def _plain(value: object) -> sqlite3._AdaptedInputData:
    """A value as SQLite takes it."""
    return clean(value) if isinstance(value, str) else value  # type: ignore[return-value]
