"""Calls to models in the ledger: whole or not at all, found by key, summed by run, shown by SQL."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from dragoman.store import database
from dragoman.store.calls import Calls, Settled
from dragoman.store.features import Store
from dragoman.store.ledger import Ledger
from dragoman.store.records import Run
from dragoman.store.traffic import ModelCall


def call(name: str, run: str = "run", tokens: int = 100, cost: float | None = 0.5, hit: bool = False) -> ModelCall:
    return ModelCall(
        id=name, run=run, feature=-1, step="s", ordinal=0, attempt=0, key=f"key of {name}", model="vllm:judge", request="{}",
        status="reserved", tokens=tokens, cost=cost, hit=hit, started="2026-01-01T00:00:00",
    )  # fmt: skip


def settled(name: str, tokens: int = 10, reply: str = '"\ud800"') -> Settled:
    return Settled(name, "settled", None, reply, tokens, 0.1, 8, 4, 2, 0.25)


def test_reserved_settled_found_and_summed(tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger.sqlite").close()
    calls = Calls(tmp_path / "ledger.sqlite")
    calls.write([call("a"), call("b"), call("c", run="other"), call("d", hit=True), call("e", cost=None, tokens=1)])
    assert calls.spent("run") == (201, 1.0), "what is reserved counts, hits and other runs do not, unknown prices are 0"
    calls.write([settled("a")])
    assert calls.spent("run") == (111, 0.6) and calls.spent("nobody") == (0, 0.0)
    (found,) = calls.find("key of a")
    assert (found.status, found.reply, found.tokens, found.cached_tokens, found.latency) == ("settled", '"?"', 10, 4, 0.25)
    with pytest.raises(sqlite3.IntegrityError):
        calls.write([call("f"), call("a")])
    assert calls.find("key of f") == [], "all rows of a batch, or none"
    calls.write([call("f"), settled("f")])
    assert calls.find("key of f")[0].status == "settled"
    calls.close()


def test_an_older_ledger_gets_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.sqlite"
    known = database.migrations
    monkeypatch.setattr(database, "migrations", lambda name: known(name)[:1])
    database.open_ledger(path).close()
    monkeypatch.undo()
    ledger = Ledger(path)
    ledger.start_run(Run(id="run", kind="score", config="{}", status="running"))
    calls = Calls(path)
    calls.write([call("a")])
    assert ledger.arrow("model_call").to_pylist()[0]["tokens"] == 100 and "1 model calls" in repr(ledger)
    calls.close()
    ledger.close()


def test_calls_are_shown_by_sql(synthetic_store: Store) -> None:
    found = synthetic_store.sql("SELECT * FROM model_call WHERE status = 'reserved'")
    assert found.table.column_names == list(ModelCall.model_fields)
