"""SQL for people: one read-only SELECT over the store's tables and the ledger's, cut off from everything else.

The query runs in a DuckDB of its own, in which the sealed database is attached read-only and the ledger's tables are Arrow
tables. Before it runs it is parsed, and only the tables in TABLES and table functions that read nothing are let through. No
files, no network, no settings; rows, seconds and memory are bounded. Not covered: a query may still keep both cores busy
until its time is up.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from . import ledger as ledger_module
from .database import interruptible
from .display import table_html, table_text
from .errors import UserError

MAX_ROWS = 10_000
MAX_SECONDS = 60.0
MEMORY = "2GB"
TABLES = (
    "dictionary", "vocabulary", "document", "context", "activation", "active_context", "feature", "top_token", "logit_effect",
    "neighbour", "coactivation", "meta",
)  # fmt: skip
"""Tables of the sealed database that a query may name."""
_SPLIT = "* REPLACE (['train', 'validation', 'test'][split + 1] AS split)"
VIEWS = {name: f"SELECT {_SPLIT} FROM store.{name}" for name in ("activation", "active_context")}
"""Tables that are shown otherwise than they are stored: splits by name."""
FUNCTIONS = ("range", "generate_series", "unnest")
"""Table functions that a query may call."""


@dataclass(frozen=True)
class QueryResult:
    """The rows of a query."""

    table: pa.Table
    """The rows as Arrow."""
    truncated: bool
    """There were more rows than asked for."""

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.table.to_pylist())

    def __repr__(self) -> str:
        return table_text(self.table.column_names, self.table.slice(0, 40).to_pylist(), self._note())

    def _repr_html_(self) -> str:
        return table_html(self.table.column_names, self.table.slice(0, 200).to_pylist(), self._note())

    def _note(self) -> str:
        return f"{len(self):,} rows" + (", cut off here" if self.truncated else "")


def run_query(features: Path, ledger: ledger_module.Ledger, query: str, *, max_rows: int, max_seconds: float) -> QueryResult:
    """Run one SELECT. Raises `UserError` for anything else, and for a query that is wrong, too large or too slow."""
    connection = duckdb.connect(
        config={"python_enable_replacements": "false", "memory_limit": MEMORY, "autoinstall_known_extensions": "false"}
    )
    try:
        names = tables_named(parsed(connection, query), (*TABLES, *ledger_module.TABLES))
        path = str(features).replace("'", "''")
        connection.execute(f"ATTACH '{path}' AS store (READ_ONLY)")
        for name in names:
            if name in TABLES:
                connection.execute(f'CREATE VIEW "{name}" AS {VIEWS.get(name, f"FROM store.{name}")}')
            else:
                connection.register(name, ledger.arrow(name))
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        return bounded(connection, query, max_rows, max_seconds)
    except duckdb.Error as error:
        raise UserError(f"The query failed: {str(error).strip()}") from error
    finally:
        connection.close()


def parsed(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    """The parse tree of a SELECT. Raises `UserError` when it is no single SELECT."""
    ((text,),) = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchall()
    tree = json.loads(text)
    if tree["error"]:
        raise UserError(f"Only a single SELECT can be run here: {tree['error_message']}")
    if len(tree["statements"]) != 1:
        raise UserError("Only a single SELECT can be run here: run one statement at a time.")
    return tree


def tables_named(tree: Any, known: Sequence[str]) -> list[str]:
    """The tables a parsed SELECT names. Raises `UserError` when it names something that is not known."""
    local = {name for node in _nodes(tree) for name in _common_tables(node)}
    named: set[str] = set()
    for node in _nodes(tree):
        kind = node.get("type")
        if kind == "TABLE_FUNCTION":
            function = node["function"]["function_name"].lower()
            if function not in FUNCTIONS:
                raise UserError(f"The function {function} cannot be used here; table functions are {', '.join(FUNCTIONS)}.")
        if kind == "BASE_TABLE":
            name = node["table_name"].lower()
            if node.get("schema_name") or node.get("catalog_name") or name not in (*known, *local):
                raise UserError(f"There is no table {node['table_name']} here; the tables are {', '.join(known)}.")
            named.add(name)
    return sorted(name for name in named if name in known)


def bounded(connection: duckdb.DuckDBPyConnection, query: str, max_rows: int, max_seconds: float) -> QueryResult:
    """The first rows of a query, interrupted when its time is up."""
    timer = threading.Timer(max_seconds, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        with interruptible():
            table = connection.sql(f"SELECT * FROM ({query.strip().rstrip(';')}\n) LIMIT {max_rows + 1}").to_arrow_table()
    except duckdb.InterruptException as error:
        raise UserError(
            f"The query took longer than {max_seconds:g} seconds: narrow it down, for example to one feature."
        ) from error
    finally:
        timer.cancel()
    return QueryResult(table.slice(0, max_rows), table.num_rows > max_rows)


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a parse tree."""
    if isinstance(tree, dict):
        yield tree
        for child in tree.values():
            yield from _nodes(child)
    elif isinstance(tree, list):
        for child in tree:
            yield from _nodes(child)


def _common_tables(node: dict[str, Any]) -> list[str]:
    """Names that a WITH clause defines."""
    entries = node.get("cte_map", {}).get("map", []) if isinstance(node.get("cte_map"), dict) else []
    return [str(entry["key"]).lower() for entry in entries]
