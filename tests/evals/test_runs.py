"""Run ids: the same configuration is the same run, wherever the store lies."""

from __future__ import annotations

from pathlib import Path

from dragoman.evals.runs import features_of, resolve, spec, store_hash
from dragoman.store.ledger import Ledger
from tests.support.synthetic import make_store


def test_a_store_is_known_by_its_content_and_not_by_its_place(tmp_path: Path) -> None:
    with make_store(tmp_path / "a") as one, make_store(tmp_path / "b") as two, make_store(tmp_path / "c", documents=160) as other:
        assert store_hash(one) == store_hash(two) != store_hash(other)


def test_fresh_makes_a_new_attempt_that_the_same_command_then_resumes(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    config = {"seed": 1, "features": "0:3"}
    first = resolve(ledger, "label", config, fresh=False)
    ledger.start_run(first)
    assert resolve(ledger, "label", config, fresh=False).id == first.id
    second = resolve(ledger, "label", config, fresh=True)
    assert second.id != first.id
    ledger.start_run(second)
    assert resolve(ledger, "label", config, fresh=False).id == second.id
    assert resolve(ledger, "score", config, fresh=False).id not in (first.id, second.id)
    assert resolve(ledger, "label", {**config, "seed": 2}, fresh=False).id not in (first.id, second.id)
    ledger.close()


def test_features_as_ranges() -> None:
    for features in ([], [0], [0, 1, 2, 7], [5, 3, 4], list(range(100))):
        assert features_of(spec(features)) == sorted(features)
    assert spec([0, 1, 2, 7]) == "0:3,7"
