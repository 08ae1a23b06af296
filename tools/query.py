"""SQL for agents: one read-only SELECT over the store's train rows, cut off from everything else.

As `store/query.py`, but narrower: agents name views in which only train rows and train figures are, never the tables themselves.
What a running query says when it fails is not passed on, since it may quote a row; what is wrong with the query's text is.
Functions whose answer is not always the same are refused, so that the same question has the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import duckdb
import pyarrow as pa

from dragoman.store.errors import UserError
from dragoman.store.query import QueryResult, bounded, parsed, tables_named
from dragoman.store.records import Label

MAX_ROWS = 100
"""Rows of a result."""
MAX_SECONDS = 10.0
MEMORY = "512MB"
_COLUMNS: dict[str, tuple[str, str, str]] = {
    "activation": ("feature, context, position, value", "activation", "split = 0"),
    "context": ("context, document, ids", "context", "split = 'train'"),
    "document": ("document, tokens, text", "document", "split = 'train'"),
    "feature": (
        "feature, dictionary, index, max, mean, active, density, firing, firing_density, threshold, quantiles, histogram, "
        "firing_contexts, sampled",
        "feature",
        "true",
    ),
    "top_token": ("feature, rank, token, mean_value, count", "top_token", "true"),
    "logit_effect": ("feature, side, rank, token, value", "logit_effect", "true"),
    "neighbour": ("feature, rank, other, cosine", "neighbour", "true"),
    "coactivation": ("feature, rank, other, jaccard, shared", "coactivation", "true"),
    "vocabulary": ("token, text", "vocabulary", "true"),
    "dictionary": ("dictionary, name, first_feature, width, hook_in, hook_out", "dictionary", "true"),
}
"""The views: columns, the sealed table they come from, and which of its rows."""
_LABEL = ("feature", "run", "name", "description", "pattern", "output_claim", "agent")
TABLES: Mapping[str, str] = {**{name: columns for name, (columns, _, _) in _COLUMNS.items()}, "label": ", ".join(_LABEL)}
"""What agents may name, with the columns. `ids` are tokens from 1 in SQL; activation.position counts from 0."""
Labels = Callable[[], Sequence[Label]]


def train_query(
    features: Path, query: str, labels: Labels, *, max_rows: int = MAX_ROWS, max_seconds: float = MAX_SECONDS
) -> QueryResult:
    """Run one SELECT over train rows.

    Args:
        features: the sealed database.
        query: the SELECT.
        labels: gives the labels that may be seen.
        max_rows: rows of the result.
        max_seconds: time it may take.

    Raises:
        UserError: it is no SELECT, names something else, is wrong, too large or too slow.
    """
    connection = duckdb.connect(
        config={
            "python_enable_replacements": "false",
            "memory_limit": MEMORY,
            "threads": "1",
            "temp_directory": "",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
    )
    try:
        tree = parsed(connection, query)
        names = tables_named(tree, tuple(TABLES))
        _check(tree)
        path = str(features).replace("'", "''")
        connection.execute(f"ATTACH '{path}' AS store (READ_ONLY)")
        for name in names:
            if name == "label":
                connection.register("label", _table(labels()))
            else:
                columns, table, rows = _COLUMNS[name]
                connection.execute(f'CREATE VIEW "{name}" AS SELECT {columns} FROM store.{table} WHERE {rows}')
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        try:
            connection.execute(f"PREPARE asked AS SELECT * FROM ({query.strip().rstrip(';')}\n)")
        except duckdb.Error as error:
            raise UserError(f"The query is wrong: {_first(error)}") from None
        return bounded(connection, query, max_rows, max_seconds)
    except duckdb.OutOfMemoryException:
        raise UserError(f"The query needs more than {MEMORY} of memory: narrow it down, for example to one feature.") from None
    except duckdb.Error as error:
        raise UserError(
            f"The query failed while it ran ({type(error).__name__}): a value does not fit what is done with it."
        ) from None
    finally:
        connection.close()


def _check(tree: object) -> None:
    """Raises `UserError` for what is no SELECT of rows, functions whose answer is not always the same, and samples."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            if node.get("type") == "SHOW_REF":
                raise UserError(f"Only a SELECT can be run here; the tables are {', '.join(TABLES)}.")
            name = str(node.get("function_name", "")).lower()
            if name in _changing():
                raise UserError(f"The function {name} cannot be used here: it is no function of the rows alone.")
            if node.get("sample"):
                raise UserError("Samples cannot be drawn here: the same question has the same answer; order by hash(…) instead.")
            stack += node.values()
        elif isinstance(node, list):
            stack += node


@cache
def _changing() -> frozenset[str]:
    """Functions that depend on more than their arguments, or raise what they are given."""
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT DISTINCT lower(function_name) FROM duckdb_functions() "
            "WHERE stability IN ('VOLATILE', 'CONSISTENT_WITHIN_QUERY') OR function_name = 'error'"
        ).fetchall()
    return frozenset(str(name) for (name,) in rows)


def _table(labels: Sequence[Label]) -> pa.Table:
    kinds = {"feature": pa.int64()}
    return pa.table({name: pa.array([getattr(label, name) for label in labels], kinds.get(name, pa.string())) for name in _LABEL})


def _first(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:300]
