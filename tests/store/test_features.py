"""Store: opening, addresses, features, contexts, search."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.locking import write_lock
from dragoman.store.records import Facet, FeatureKey, Label
from dragoman.tools.workbench import Workbench
from tests.support.synthetic import make_rows, make_store, write_shards

ROOT = Path(__file__).parents[2]


def test_a_feature_with_everything_known_about_it(synthetic_store: Store) -> None:
    feature = synthetic_store.feature("sae/3")
    assert (str(feature.key), feature.id) == ("sae/3", 3)
    assert feature.stats.top_tokens[0].token == " sparrow"
    assert [token for token, _ in feature.promoted] == [" sparrow", " sat", " on", " a", " red"]
    assert [value for _, value in feature.suppressed] == pytest.approx([-1.0, -0.9, -0.8, -0.7, -0.6])
    assert [str(key) for key, _ in feature.neighbours] == ["sae/4", "sae/5", "sae/6", "sae/7"]
    assert feature.coactive
    assert synthetic_store.features("dead") == [23]
    assert synthetic_store.features() == list(range(24))
    assert synthetic_store.stats_table().num_rows == 24


def test_addresses(synthetic_store: Store) -> None:
    for address in ("sae/7", "7", " 7 ", 7, FeatureKey("sae", 7)):
        assert synthetic_store.id(address) == 7
    cases: list[tuple[str | int, str]] = [
        ("sae/24", "24 features"),
        (24, "24 features"),
        (-1, "-1"),
        ("x/1", "no dictionary 'x'"),
        ("sae/-1", "not a feature"),
        ("", "DICT/INDEX"),
        ("a/b/c", "DICT/INDEX"),
    ]
    for wrong, message in cases:
        with pytest.raises(UserError, match=message):
            synthetic_store.id(wrong)
    for read in (
        synthetic_store.feature,
        lambda f: synthetic_store.activations(f, "train"),
        lambda f: synthetic_store.examples(f, "train", "top", 1),
    ):
        with pytest.raises(UserError, match="features"):
            read(999)


def test_wrong_splits_and_strata_are_refused(synthetic_store: Store) -> None:
    with pytest.raises(UserError, match="train, validation, test"):
        synthetic_store.tokens("dev")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="near_miss"):
        synthetic_store.examples(0, "train", "best", 1)  # type: ignore[arg-type]


def test_contexts_of_any_split_in_the_order_asked_for(synthetic_store: Store) -> None:
    rows = make_rows()
    wanted = [40, 3, 3, 77, 0]
    found = synthetic_store.contexts(wanted)
    assert [context.id for context in found] == wanted
    for context in found:
        row = rows.contexts[context.id]
        assert (context.split, context.document, list(context.ids)) == (row["split"], row["document"], row["ids"])
        assert list(context.offsets) == list(zip(row["starts"], row["ends"], strict=True))
        assert "".join(context.strings) == rows.documents[context.document]["text"][row["starts"][0] : row["ends"][-1]]
    assert synthetic_store.contexts([]) == []
    with pytest.raises(UserError, match="no context 100000"):
        synthetic_store.contexts([0, 100_000])


def test_contexts_read_from_memory_are_those_of_the_database(organism_bench: Workbench) -> None:
    """Here nearly every string is the vocabulary's own; in the synthetic store none is."""
    with Store.open(organism_bench.store.path) as store:
        ids = store.tokens("train").context_ids[::-3].tolist()
        other = int(store.tokens("test").context_ids[0])
    with Store.open(organism_bench.store.path) as store:
        read = store.train_view().contexts(ids)
        table = store.tokens("train")
        assert store.train_view().contexts(ids) == read
        with pytest.raises(UserError, match=f"no context {other} among the train"):
            store.train_view().contexts([other])
    own = 0
    for number, context in zip(ids, read, strict=True):
        row = int(np.searchsorted(table.context_ids, number))
        assert list(context.strings) == table.strings(row)
        assert list(context.ids) == table.ids[table.starts[row] : table.starts[row + 1]].tolist()
        own += context.strings == tuple(table.vocabulary[token] for token in context.ids)
    assert own > len(read) / 2


def test_search_finds_labels_by_their_words(tmp_path: Path) -> None:
    with make_store(tmp_path / "store", documents=60) as store:
        texts = [
            ("bird names", "fires on robin and sparrow"),
            ("the word park", "a green place"),
            ("tea", "fires on tea, sometimes after a bird"),
        ]
        for feature, (name, description) in enumerate(texts):
            store.ledger.add_label(
                Label(
                    id=str(feature),
                    feature=feature,
                    run="r",
                    name=name,
                    description=description,
                    agent="a",
                    facets=(Facet(description="x\ud800y"),),
                )
            )
        assert [label.feature for label in store.search("Bird")] == [0, 2]
        assert [label.feature for label in store.search("park bird", n=1)] == [1]
        assert store.search("zebra") == [] and store.search("") == []


def test_missing_foreign_and_unfinished_stores_are_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no store at"):
        Store.open(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"not a store"):
        Store.open(tmp_path)
    write_shards(tmp_path, make_rows(documents=20))
    (tmp_path / "build" / "plan.json").write_text(json.dumps({"command": "dragoman harvest --store S --model M"}))
    with pytest.raises(UserError, match=r"not finished.*dragoman harvest --store S --model M"):
        Store.open(tmp_path)


def test_a_store_of_another_version_is_refused(tmp_path: Path, synthetic_path: Path) -> None:
    shutil.copytree(synthetic_path, tmp_path / "store")
    path = tmp_path / "store" / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"format": 99, "made_by": "7.0"}))
    with pytest.raises(UserError, match=r"Dragoman 7.0 in store format 99.*harvest"):
        Store.open(tmp_path / "store")
    for damage in ("", "[]", "{}", json.dumps({"format": 1})):
        path.write_text(damage)
        with pytest.raises(UserError, match="damaged"):
            Store.open(tmp_path / "store")


def test_a_damaged_database_is_one_sentence(tmp_path: Path, synthetic_path: Path) -> None:
    shutil.copytree(synthetic_path, tmp_path / "store")
    (tmp_path / "store" / "features.duckdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(UserError, match="harvest it again"):
        Store.open(tmp_path / "store")
    (tmp_path / "store" / "features.duckdb").unlink()
    with pytest.raises(UserError, match="harvest it again"):
        Store.open(tmp_path / "store")


def test_only_one_process_writes_a_store(tmp_path: Path) -> None:
    write_shards(tmp_path, make_rows(documents=20))
    code = (
        "import sys, time; from dragoman.store.locking import write_lock\n"
        "with write_lock(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    try:
        with pytest.raises(UserError, match=rf"process {process.pid}\) is writing"), write_lock(tmp_path):
            pass
        with pytest.raises(UserError, match="being written by another process"):
            Store.open(tmp_path)
    finally:
        process.kill()
        process.wait()
    with write_lock(tmp_path):
        pass


def test_a_store_travels_to_a_worker_process_and_is_read_by_many(synthetic_path: Path) -> None:
    with Store.open(synthetic_path) as store, Store.open(synthetic_path) as again:
        copy = pickle.loads(pickle.dumps(store))
        assert copy.feature(1) == store.feature(1) == again.feature(1)
        code = "import sys; from dragoman.store.features import Store; print(Store.open(sys.argv[1]).features('dead'))"
        ended = subprocess.run(
            [sys.executable, "-c", code, str(synthetic_path)], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert ended.stdout == "[23]\n"


def test_digests_tell_stores_apart(tmp_path: Path) -> None:
    a, b = (make_store(tmp_path / name, documents=60, seed=seed) for name, seed in (("a", 0), ("b", 1)))
    assert a.digest() != b.digest()
    before = a.digest()
    a.ledger.add_failure("run", 1, "step", "reason")
    assert a.digest() != before
    assert a.digest_tables()["ledger.label"] == b.digest_tables()["ledger.label"]
