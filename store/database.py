"""Open and migrate the two databases of a store: features.duckdb (sealed, read-only) and ledger.sqlite (grows)."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import duckdb

from .errors import UserError

ROW_GROUP = 491_520
"""Rows a row group of DuckDB;
four times its default, because columns then fill their blocks: 6 bytes an activation instead of 7.
"""


def create_features(path: Path, *, memory_limit: str, threads: int | None) -> duckdb.DuckDBPyConnection:
    """A new features database at `path`, its tables made, set as the connection's default."""
    connection = duckdb.connect()
    connection.execute(f"SET memory_limit = {_quoted(memory_limit)}")
    if threads is not None:
        connection.execute(f"SET threads = {int(threads)}")
    connection.execute(f"ATTACH {_quoted(str(path))} AS features (STORAGE_VERSION 'latest', ROW_GROUP_SIZE {ROW_GROUP})")
    connection.execute("USE features")
    connection.execute("CREATE TABLE migration (name VARCHAR PRIMARY KEY, hash VARCHAR NOT NULL)")
    connection.execute("COMMENT ON TABLE migration IS 'Migrations this database has been through'")
    for name, text in migrations("features"):
        connection.execute("BEGIN")
        connection.execute(text)
        connection.execute("INSERT INTO migration VALUES (?, ?)", [name, _hash(text)])
        connection.execute("COMMIT")
    return connection


def open_features(path: Path) -> duckdb.DuckDBPyConnection:
    """The sealed features database, read-only; any number of processes may have it open."""
    try:
        connection = duckdb.connect(str(path), read_only=True)
        connection.execute("SET threads = 1")  # reads are small, and workers read side by side
        return connection
    except duckdb.IOException as error:
        if "lock" in str(error).lower():
            raise UserError(f"Another process is writing {path}: wait until it has ended, then run this again.") from error
        raise UserError(f"{path} cannot be read as a feature store ({_first_line(error)}): harvest it again.") from error
    except duckdb.Error as error:
        raise UserError(f"{path} cannot be read as a feature store ({_first_line(error)}): harvest it again.") from error


def open_ledger(path: Path) -> sqlite3.Connection:
    """The ledger, made or migrated when needed: WAL, synchronous=NORMAL, explicit transactions.

    A kill loses nothing that was committed; a power cut may lose the last commits but never corrupts.
    """
    try:
        connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        _migrate_ledger(connection, path)
    except sqlite3.DatabaseError as error:
        if "not a database" in str(error) or "malformed" in str(error):
            raise UserError(
                f"{path} is not a ledger or is damaged ({error}): move it away, or restore it from a copy."
            ) from error
        raise
    return connection


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C during a query comes out as `KeyboardInterrupt`; DuckDB turns it into a RuntimeError of its own."""
    try:
        yield
    except RuntimeError as error:
        if type(error) is RuntimeError and "interrupted" in str(error):
            raise KeyboardInterrupt from None
        raise


def _migrate_ledger(connection: sqlite3.Connection, path: Path) -> None:
    """Run the migrations that are missing, each in one transaction with its record."""
    known = migrations("ledger")
    if _applied(connection) == {name: _hash(text) for name, text in known}:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY, hash TEXT NOT NULL) STRICT")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    newer = set(_applied(connection)) - {name for name, _ in known}
    if newer:
        raise UserError(f"{path} was written by a newer Dragoman (it knows the migration {max(newer)}): use that version.")
    for name, text in known:
        connection.execute("BEGIN IMMEDIATE")
        try:
            if name not in _applied(connection):  # another process may have been quicker
                for statement in statements(text):
                    connection.execute(statement)
                connection.execute("INSERT INTO migration VALUES (?, ?)", (name, _hash(text)))
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def _applied(connection: sqlite3.Connection) -> dict[str, str]:
    """Name and hash of every migration the ledger has been through."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'migration'").fetchall():
        return {}
    return dict(connection.execute("SELECT name, hash FROM migration").fetchall())


def migrations(database: str) -> list[tuple[str, str]]:
    """Name and text of every migration of a database (`features` or `ledger`), in order."""
    folder = resources.files("dragoman.store.migrations")
    found = [file for file in folder.iterdir() if file.name.startswith(f"{database}_") and file.name.endswith(".sql")]
    return [(file.name.removesuffix(".sql"), file.read_text("utf-8")) for file in sorted(found, key=lambda file: file.name)]


def statements(text: str) -> list[str]:
    """The single statements of a migration, comments kept: sqlite3 runs a script only outside a transaction."""
    found, pending = [], ""
    for line in text.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            found.append(pending)
            pending = ""
    return found


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200]
