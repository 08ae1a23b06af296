"""Store.sql: one SELECT over the documented tables, and nothing else."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from dragoman.store import query
from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.ledger import TABLES as LEDGER_TABLES
from tests.store.test_ledger import label, score
from tests.support.synthetic import make_store


def test_the_store_and_the_ledger_in_one_query(tmp_path: Path) -> None:
    with make_store(tmp_path / "store", documents=60) as store:
        store.ledger.record(labels=[label(3)], scores=[score(3)])
        rows = list(
            store.sql(
                "WITH best AS (SELECT feature, max(value) AS top FROM activation WHERE split = 'train' GROUP BY feature) "
                "SELECT name, score.value AS r, top, liveness FROM label JOIN score ON score.label = label.id "
                "JOIN best ON best.feature = label.feature JOIN feature ON feature.feature = label.feature;"
            )
        )
        assert rows == [
            {"name": "park", "r": 0.5, "top": store.feature(3).stats.max, "liveness": store.feature(3).stats.liveness}
        ]
        store.ledger.add_label(label(4))
        assert len(store.sql("SELECT * FROM label")) == 2, "the ledger is read anew every time"


def test_every_documented_table_can_be_read(synthetic_store: Store) -> None:
    for table in (*query.TABLES, *LEDGER_TABLES):
        assert synthetic_store.sql(f"SELECT * FROM {table}").table.column_names
    assert len(synthetic_store.sql("SELECT * FROM range(5) r, unnest([1, 2]) u")) == 10


def test_every_table_and_column_of_the_store_is_explained(synthetic_path: Path) -> None:
    with duckdb.connect(str(synthetic_path / "features.duckdb"), read_only=True) as connection:
        rows = connection.execute(
            "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal AND table_name != 'migration'"
        ).fetchall()
        assert {table for table, _, _ in rows} == set(query.TABLES)
        assert [(table, column) for table, column, comment in rows if not comment] == []
        assert all(
            comment for (comment,) in connection.execute("SELECT comment FROM duckdb_tables() WHERE NOT internal").fetchall()
        )


@pytest.mark.parametrize(
    "attempt",
    [
        "CREATE TABLE x (a INTEGER)",
        "INSERT INTO feature SELECT * FROM feature",
        "DELETE FROM activation",
        "DROP TABLE activation",
        "UPDATE feature SET max = 0",
        "ATTACH 'x.duckdb'",
        "COPY feature TO '/tmp/stolen.csv'",
        "COPY (SELECT 1) TO '/tmp/stolen.csv'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE feature",
        "EXPORT DATABASE '/tmp/stolen'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM 'https://example.com/x.parquet'",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM duckdb_secrets()",
        "SELECT * FROM query('SELECT * FROM store.main.meta')",
        "SELECT * FROM query_table('feature')",
        "SELECT * FROM store.main.feature",
        "SELECT * FROM main.feature",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM migration",
        "SELECT (SELECT max(content) FROM read_text('/etc/passwd'))",
        "WITH x AS (SELECT * FROM read_text('/etc/passwd')) SELECT * FROM x",
        "SELECT * FROM feature WHERE feature IN (SELECT feature FROM secret_variable)",
        "SELECT nothing FROM feature",
        "SELECT",
        "",
        "not sql at all",
    ],
)
def test_everything_else_is_refused(synthetic_store: Store, attempt: str) -> None:
    secret_variable = synthetic_store.stats_table()  # a Python variable must not be found by its name
    with pytest.raises(UserError):
        synthetic_store.sql(attempt)
    assert secret_variable.num_rows == 24


def test_functions_that_reach_outside_fail(synthetic_store: Store) -> None:
    for expression in ("getenv('HOME')", "read_blob('/etc/passwd')", "current_setting('secret_directory') || getvariable('x')"):
        try:
            rows = list(synthetic_store.sql(f"SELECT {expression} AS leaked"))
        except UserError:
            continue
        assert all(value is None or "/" not in str(value) for row in rows for value in row.values()), expression


def test_rows_time_and_memory_are_bounded(synthetic_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    result = synthetic_store.sql("SELECT * FROM range(1000000)", max_rows=100)
    assert len(result) == 100 and result.truncated and "cut off" in repr(result)
    assert not synthetic_store.sql("SELECT * FROM range(100)", max_rows=100).truncated
    with pytest.raises(UserError, match=r"longer than 0.3 seconds"):  # by itself it would take hours
        synthetic_store.sql(
            "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE hash(a.range, b.range) % 7 = 0", max_seconds=0.3
        )
    monkeypatch.setattr(query, "MEMORY", "50MB")
    with pytest.raises(UserError, match="Out of Memory"):
        synthetic_store.sql("SELECT list(a.range) FROM range(100000000) a, range(100) b", max_seconds=600)


def test_results_read_well(synthetic_store: Store) -> None:
    result = synthetic_store.sql("SELECT 1 AS number, 'a<b>' || chr(8238) || chr(10) AS text, NULL AS nothing, 1.0 / 3 AS third")
    assert repr(result).splitlines()[0].split() == ["number", "text", "nothing", "third"]
    assert "⟨U+202E⟩" in repr(result) and "\u202e" not in repr(result)
    assert "0.333333" in repr(result) and repr(result).endswith("(1 rows)")
    assert "a&lt;b&gt;" in result._repr_html_() and "<b>" not in result._repr_html_()


def test_the_store_is_not_changed_by_queries(synthetic_store: Store) -> None:
    before = synthetic_store.digest()
    synthetic_store.sql("SELECT * FROM activation")
    assert synthetic_store.digest() == before
