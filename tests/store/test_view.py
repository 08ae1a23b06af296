"""TrainView: nothing but train rows, and no way to others."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dragoman.store.errors import UserError
from dragoman.store.examples import STRATA, Strata
from dragoman.store.features import Store
from dragoman.store.held import HeldActivations
from dragoman.store.reading import Database, SplitReader
from dragoman.store.records import TrainStats
from dragoman.store.view import TrainView
from tests.support.synthetic import make_rows, seal_shards, write_shards


def test_no_method_takes_a_split() -> None:
    for name, member in inspect.getmembers(TrainView):
        if not name.startswith("_") and callable(member):
            assert "split" not in inspect.signature(member).parameters, name


def public_values(value: Any, depth: int) -> list[Any]:
    """Everything reachable through public attributes that are no methods."""
    if depth == 0 or isinstance(value, str | int | float | tuple | list | dict | np.ndarray):
        return []
    found = []
    for name in dir(value):
        if not name.startswith("_"):
            child = getattr(value, name)
            if not callable(child):
                found += [child, *public_values(child, depth - 1)]
    return found


def test_nothing_public_leads_back_to_the_store(synthetic_store: Store) -> None:
    for value in public_values(synthetic_store.train_view(), 3):
        assert not isinstance(value, Store | Database | SplitReader)


def test_everything_comes_from_train(synthetic_store: Store) -> None:
    view = synthetic_store.train_view()
    train = set(synthetic_store.tokens("train").context_ids.tolist())
    assert view.tokens.split == "train" and set(view.tokens.context_ids.tolist()) == train
    for feature in (3, 15):
        for stratum in STRATA:
            examples = view.examples(feature, stratum, 500)
            assert examples and {example.context.id for example in examples} <= train
        flat, values = view.activations(feature)
        expected = synthetic_store.activations(feature, "train")
        assert flat.tolist() == expected[0].tolist() and values.tolist() == expected[1].tolist()
    assert [context.id for context in view.contexts(sorted(train)[:3])] == sorted(train)[:3]
    for split in ("validation", "test"):
        outside = int(synthetic_store.tokens(split).context_ids[0])
        with pytest.raises(UserError, match="train contexts"):
            view.contexts([outside])


def test_statistics_for_agents_have_no_corpus_figures(synthetic_store: Store) -> None:
    stats = synthetic_store.train_view().stats(3)
    assert type(stats) is TrainStats
    assert not {name for name in TrainStats.model_fields if name.startswith("corpus") or name in ("liveness", "dense")}
    full = synthetic_store.feature(3).stats
    assert stats.model_dump() == {name: value for name, value in full.model_dump().items() if name in TrainStats.model_fields}


def test_what_a_view_says_does_not_change_with_the_other_splits(tmp_path: Path) -> None:
    """The strongest form: other activations on validation and test, the same answers."""
    answers = []
    for name in ("a", "b"):
        rows = make_rows(documents=100, rate=0.1)
        splits = {context["context"]: context["split"] for context in rows.contexts}
        if name == "b":
            rows.activations = [
                a if splits[a["context"]] == "train" else {**a, "value": a["value"] * 7, "feature": (a["feature"] + 1) % 24}
                for a in rows.activations
            ]
            keys = [(a["feature"], a["context"], a["position"]) for a in rows.activations]
            assert len(set(keys)) == len(keys)
        write_shards(tmp_path / name, rows)
        seal_shards(tmp_path / name)
        with Store.open(tmp_path / name) as store:
            view = store.train_view()
            answers.append(
                [
                    (
                        view.stats(f),
                        view.threshold(f),
                        view.top_tokens(f),
                        view.coactive(f),
                        view.neighbours(f),
                        view.promoted(f),
                        view.suppressed(f),
                        [view.examples(f, stratum, 6) for stratum in STRATA],
                        [array.tolist() for array in view.activations(f)],
                    )
                    for f in range(0, 24, 4)
                ]
            )
            figures = store.stats_table()["corpus_max"].to_pylist()
            answers.append(figures)
    assert answers[0] == answers[2]
    assert answers[1] != answers[3], "the other splits did change"


def test_a_view_is_for_train_readers_only_and_stays_in_its_process(synthetic_store: Store) -> None:
    with pytest.raises(ValueError, match="train rows"):
        TrainView(synthetic_store._database, synthetic_store._static, synthetic_store._reader("test"))
    with pytest.raises(TypeError):
        pickle.dumps(synthetic_store.train_view())


def test_what_is_held_in_memory_says_the_same(synthetic_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragoman.store.held._BLOCK", 500)
    plain, held = synthetic_store.train_view(), synthetic_store.train_view()
    held._reader = SplitReader(synthetic_store._database, synthetic_store._static, "train")
    held._strata = Strata(held._reader, held._reader, held._facts)
    held.hold()
    assert held._reader._held is not None and plain._reader._held is None
    for feature in range(24):
        for one, other in zip(plain.activations(feature), held.activations(feature), strict=True):
            assert one.tolist() == other.tolist() and one.dtype == other.dtype
        near = [{name: column.tolist() for name, column in view.together(feature).items()} for view in (plain, held)]
        assert near[0] == near[1]
        for stratum in STRATA:
            assert plain.examples(feature, stratum, 9, 3) == held.examples(feature, stratum, 9, 3)
    assert HeldActivations.read(synthetic_store._database, held._reader.index, 0, 24, most=10) is None
    with pytest.raises(UserError, match="no context 999999 among the train"):
        held.contexts([999999])
