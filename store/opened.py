"""The ledger's file, open: what all classes that read and write its tables share."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .database import open_ledger
from .disk import disk_errors


class OpenedLedger:
    """A connection of its own to a ledger; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        """Open the ledger at `path`; it is made when there is none.

        Raises `UserError` when the file is no ledger, is damaged, or was written by a newer version.
        """
        self.path = path
        self._lock = threading.RLock()
        with disk_errors("opening the ledger", path.parent):
            self._connection = open_ledger(path)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def _transaction(self, doing: str) -> Iterator[sqlite3.Connection]:
        """All or nothing, and durable against a kill once left."""
        with self._lock, disk_errors(doing, self.path.parent):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _records(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """The rows of a query by the names of their columns."""
        with self._lock:
            cursor = self._connection.execute(query, parameters)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
