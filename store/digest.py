"""A hash of everything a store holds, to compare stores that were made in different ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .hashing import row_id
from .manifest import Manifest
from .reading import Database

if TYPE_CHECKING:
    from .ledger import Ledger

_TIMES = ("started", "finished", "latency", "given")


def digest_tables(database: Database, manifest: Manifest, ledger: Ledger) -> dict[str, str]:
    """Name and hash of every table and of the manifest.

    A table's hash is the sum of its rows' hashes and their number, so it does not depend on the order of rows; the activation
    table's rows are hashed together with their place, because their order is part of what the store promises. Times are left
    out.
    """
    found = {"manifest": row_id(manifest.model_dump(mode="json", exclude={"made_by"}))}
    for (table,) in database.rows("SELECT table_name FROM duckdb_tables() WHERE NOT internal ORDER BY table_name"):
        row = "hash(t, rowid)" if table == "activation" else "hash(t)"
        ((total, count),) = database.rows(f'SELECT sum({row}::HUGEINT)::VARCHAR, count(*) FROM "{table}" t')
        found[table] = row_id(total, count)
    for table in ledger.tables():
        rows = ledger.arrow(table).to_pylist()
        found[f"ledger.{table}"] = row_id(sorted(row_id({k: v for k, v in row.items() if k not in _TIMES}) for row in rows))
    return found
