"""What a run left in a ledger, for comparisons: every row of its trails, without times."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

TABLES = {
    "label": "SELECT * FROM label WHERE run = ? ORDER BY id",
    "failure": "SELECT * FROM failure WHERE run = ? ORDER BY id",
    "hypothesis": "SELECT * FROM hypothesis WHERE run = ? ORDER BY id",
    "experiment": "SELECT * FROM experiment WHERE run = ? ORDER BY id",
    "prediction": "SELECT p.* FROM prediction p JOIN experiment e ON e.id = p.experiment WHERE e.run = ? ORDER BY p.id",
    "step": "SELECT id, run, feature, ordinal, node, content FROM step WHERE run = ? ORDER BY id",
    "note": "SELECT * FROM note WHERE run = ? ORDER BY id",
}
"""Queries by table; a run's id is what they are given."""


def rows(path: Path, query: str, *given: Any) -> list[tuple[Any, ...]]:
    """Of a store's ledger; none where it does not exist yet."""
    try:
        with closing(sqlite3.connect(f"file:{path / 'ledger.sqlite'}?mode=ro", uri=True, timeout=60)) as connection:
            return connection.execute(query, given).fetchall()
    except sqlite3.OperationalError:
        return []


def left_by(path: Path, run: str) -> dict[str, list[tuple[Any, ...]]]:
    """Everything a run said and did."""
    return {table: rows(path, query, run) for table, query in TABLES.items()}


def outcomes(path: Path, run: str) -> int:
    """Features with a label or the reason why they have none."""
    counted = "SELECT (SELECT count(*) FROM label WHERE run = ?) + (SELECT count(*) FROM failure WHERE run = ?)"
    (found,) = rows(path, counted, run, run) or [(0,)]
    return int(found[0])


def spent(path: Path) -> int:
    """Tokens that count against the budget of a store's one run: settled ones, and the worst of calls that never settled."""
    (found,) = rows(path, "SELECT coalesce(sum(tokens), 0) FROM model_call WHERE hit = 0") or [(0,)]
    return int(found[0])
