"""Other people's labels in the ledger: whose they are, which feature they are about, and what becomes of odd ones."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dragoman.evals.jobs import asked_features, jobs_of, labeling_run
from dragoman.store.errors import UserError
from dragoman.store.exchange.exporting import Wish, export
from dragoman.store.exchange.importing import import_files
from dragoman.store.features import Store
from dragoman.store.locking import write_lock
from dragoman.store.manifest import MANIFEST
from tests.support.synthetic import make_rows, make_store, seal_shards, write_shards

from .rich import LABELING, label, rich_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with make_store(tmp_path / "store") as store:
        yield store


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Store]:
    """A store with two dictionaries: `coarse` of 8 features, `fine` of 16 at another hook point."""
    path = tmp_path / "two"
    with write_lock(path):
        write_shards(path, make_rows())
        seal_shards(path)
    manifest = json.loads((path / MANIFEST).read_text())
    (one,) = manifest["dictionaries"]
    manifest["dictionaries"] = [
        {**one, "name": "coarse", "width": 8},
        {**one, "name": "fine", "width": 16, "offset": 8, "hook_in": "mlp_out.0", "hook_out": "mlp_out.0"},
    ]
    (path / MANIFEST).write_text(json.dumps(manifest))
    with Store.open(path) as store:
        yield store


def row(
    index: int, text: str, method: str = "np_max-act-logits", model: str | None = "gpt-4o-mini", **more: Any
) -> Mapping[str, Any]:
    """A row as Neuronpedia exports it."""
    about = {"id": f"c{index}{len(text)}{method}", "modelId": "gpt2-small", "layer": "6-res-jb", "index": str(index)}
    return {**about, "description": text, "typeName": method, "explanationModelName": model, "authorId": "x", **more}


def bulk(path: Path, *rows: Mapping[str, Any]) -> Path:
    """A source folder with explanations."""
    (path / "explanations").mkdir(parents=True)
    (path / "explanations" / "batch-0.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps(r) + "\n" for r in rows).encode()))
    return path


def test_every_explainer_gets_a_run_of_its_own(store: Store, tmp_path: Path) -> None:
    rows = [row(n, f"text about birds number {n} and a few more words") for n in range(5)]
    rows += [row(0, "trees", "oai_token-act-pair", "gpt-4"), row(1, "no model", "manual", None)]
    rows += [row(0, "a second label"), row(2, ""), row(3, "  "), rows[4], row(4, rows[4]["description"])]
    found = import_files(store, bulk(tmp_path / "6-res-jb", *rows))
    assert found.format == "neuronpedia" and found.sources == ["gpt2-small/6-res-jb"]
    assert found.count.cut == {"empty labels left out": 2, "labels that were there twice left out": 2}
    by_run = {run.id: store.ledger.labels(run=run.id) for run in found.runs}
    made = sorted((labels[0].agent, labels[0].model or "", len(labels)) for labels in by_run.values())
    assert made == [
        ("neuronpedia:manual", "", 1),
        ("neuronpedia:np_max-act-logits", "gpt-4o-mini", 1),
        ("neuronpedia:np_max-act-logits", "gpt-4o-mini", 5),
        ("neuronpedia:oai_token-act-pair", "gpt-4", 1),
    ]
    latest = labeling_run(store, None)
    labels = store.ledger.labels(run=latest.id)
    assert asked_features(latest) == [0, 1, 2, 3, 4] == [label.feature for label in labels]
    assert labels[2].name == "text about birds number 2 and a few" and labels[2].description.endswith("more words")
    origin = json.loads(labels[2].notes)["imported"]
    assert origin == {"format": "neuronpedia", "file": "6-res-jb", "index": 2, "id": rows[2]["id"]}
    assert all(job.label and job.other for job in jobs_of(store, latest, seed=0))


def test_the_same_files_again_change_nothing(store: Store, tmp_path: Path) -> None:
    path = bulk(tmp_path / "x", row(1, "birds", scores=[score(0.5)]), row(2, "trees"))
    assert import_files(store, path).new
    before = store.digest_tables()
    assert not import_files(store, path).new
    assert store.digest_tables() == before


def score(value: float, kind: str = "eleuther_fuzz", model: str = "claude", **more: Any) -> Mapping[str, Any]:
    return {"value": value, "explanationScoreTypeName": kind, "explanationScoreModelName": model, **more}


def test_scores_of_others_are_marked_and_on_no_split_of_ours(store: Store, tmp_path: Path) -> None:
    scores = [score(0.5), score(0.7), score(0.9, "recall_alt"), score(0.1, jsonDetails='[{"text": "x"}]', model="other")]
    rows = [row(1, "birds", scores=scores), row(2, "", scores=[score(0.2)])]
    found = import_files(store, bulk(tmp_path / "x", *rows))
    assert found.count.cut == {
        "empty labels left out": 1, "further scores of the same kind left out": 1, "scores without a label left out": 1
    }  # fmt: skip
    (label,) = store.ledger.labels(feature=1)
    known = store.ledger.scores(label=label.id)
    assert [(s.scorer, s.judge, s.value, s.split, s.flags) for s in known] == [
        ("eleuther_fuzz", "neuronpedia:claude", 0.5, "elsewhere", ("imported",)),
        ("recall_alt", "neuronpedia:claude", 0.9, "elsewhere", ("imported",)),
        ("eleuther_fuzz", "neuronpedia:other", 0.1, "elsewhere", ("imported",)),
    ]
    assert not [run for run in store.ledger.runs() if run.kind == "score"]


@pytest.mark.parametrize("format", ["neuronpedia", "csv", "parquet"])
def test_our_own_labels_come_back_whole(format: str, tmp_path: Path) -> None:
    with rich_store(tmp_path / "rich") as rich, make_store(tmp_path / "other") as other:
        export(rich, tmp_path / "out", Wish(format))
        found = import_files(other, tmp_path / "out")
        (run,) = found.runs
        back = other.ledger.labels(run=run.id)
        assert len(back) == 12
        for one in back:
            mine = label(one.feature)
            same = ("feature", "name", "description", "facets", "pattern", "output_claim", "model", "confidence")
            assert [getattr(one, name) for name in same] == [getattr(mine, name) for name in same]
            assert (one.agent, one.evidence, one.experiments) == (f"{format}:labeler", (), ())
            notes = json.loads(one.notes)
            assert notes["notes"] == json.loads(mine.notes)
            origin = notes["imported"]
            assert (origin["run"], origin["id"], origin["evidence"]) == (LABELING, mine.id, [3, 1])
        (figure,) = other.ledger.scores(feature=3, scorer="detection.auroc")
        assert (figure.value, figure.low, figure.n, figure.split) == (0.53, 0.53 - 0.1, 40, "test")
        assert (figure.judge, figure.flags, figure.run) == (f"{format}:vllm:judge", ("sampled", "imported"), run.id)


def test_a_table_that_anybody_could_have_written(store: Store, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("index,explanation,model\n3,birds that sing,me\n5,'=1+1,\n", "utf-8")
    found = import_files(store, tmp_path / "t.csv")
    labels = {label.feature: label for label in found.labels}
    assert (labels[3].description, labels[3].agent, labels[3].model) == ("birds that sing", "csv", "me")
    assert (labels[5].description, labels[5].model) == ("=1+1", None)


def test_which_dictionary_is_meant(two: Store, tmp_path: Path) -> None:
    text = "feature,description\ncoarse/3,birds\nfine/3,trees\nfine/15,towns\n"
    (tmp_path / "named.csv").write_text(text)
    assert [label.feature for label in import_files(two, tmp_path / "named.csv").labels] == [3, 11, 23]
    (tmp_path / "bare.csv").write_text("feature,description\n9,birds\n")
    with pytest.raises(UserError, match="with --dictionary which of coarse, fine"):
        import_files(two, tmp_path / "bare.csv")
    assert [label.feature for label in import_files(two, tmp_path / "bare.csv", dictionary="fine").labels] == [17]
    with pytest.raises(UserError, match="about feature 9 of an unnamed dictionary, and coarse has 8 features"):
        import_files(two, tmp_path / "bare.csv", dictionary="coarse")
    with pytest.raises(UserError, match="no dictionary 'x' in this store: it has coarse, fine"):
        import_files(two, tmp_path / "bare.csv", dictionary="x")
    for name in ("mlp_out.0_latent7.txt", "resid_post.0_latent2.txt"):
        (tmp_path / "explanations" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "explanations" / name).write_text('"birds"')
    assert sorted(label.feature for label in import_files(two, tmp_path / "explanations").labels) == [2, 15]


def test_which_of_several_sources_is_meant(store: Store, tmp_path: Path) -> None:
    for name in ("layers.0", "layers.1"):
        (tmp_path / f"{name}_latent4.txt").write_text(json.dumps(f"birds of {name}"))
    with pytest.raises(UserError, match=r"several dictionaries \(layers.0, layers.1 …\): say with --source"):
        import_files(store, tmp_path)
    (label,) = import_files(store, tmp_path, source="layers.1").labels
    assert (label.feature, label.description) == (4, "birds of layers.1")


def test_delphi_states_its_explainer(store: Store, tmp_path: Path) -> None:
    (tmp_path / "explanations").mkdir()
    (tmp_path / "explanations" / "layers.0_latent4.txt").write_text('"birds"')
    (tmp_path / "run_config.json").write_text(json.dumps({"explainer_model": "meta/llama", "hookpoints": ["layers.0"]}))
    place = tmp_path / "scores" / "fuzz"
    place.mkdir(parents=True)
    item = {"str_tokens": ["a"], "activations": [1.0], "distance": 1, "probability": None}
    asked = [{**item, "activating": n < 4, "prediction": n < 6, "correct": True} for n in range(8)]
    (place / "layers.0_latent4.txt").write_text(json.dumps([*asked, {**item, "activating": True, "prediction": None}]))
    found = import_files(store, tmp_path)
    assert (found.labels[0].model, found.labels[0].agent) == ("meta/llama", "delphi")
    (figure,) = found.scores
    assert (figure.scorer, figure.judge, figure.value, figure.n) == ("fuzz.balanced_accuracy", "delphi", 0.75, 8)


def test_a_file_without_labels_writes_nothing(store: Store, tmp_path: Path) -> None:
    shown = {"bin_min": -1, "bin_max": 2, "bin_contains": -1, "tokens": ["a"], "values": [1.0], "qualifying_token_index": -1}
    batch = {"model_id": "m", "layer": 0, "sae_set": "s", "features": [{"feature_index": 1, "activations": [shown]}]}
    (tmp_path / "batch-0.json").write_text(json.dumps(batch))
    before = store.digest_tables()
    found = import_files(store, tmp_path)
    assert (found.count.features, found.count.examples, found.runs) == (1, 1, [])
    assert store.digest_tables() == before


@pytest.mark.parametrize("text", ["", "feature,description\n"])
def test_a_file_of_nothing_is_refused(store: Store, tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(UserError, match=r"labels\.csv holds no features, read as csv"):
        import_files(store, tmp_path / "labels.csv")


def test_a_name_of_any_length_is_cut(store: Store, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"feature,description,name\n1,{'x' * 500},\n2,birds,{'a ' * 20}\n3,trees,{'y' * 200}\n")
    names = [label.name for label in import_files(store, tmp_path / "t.csv").labels]
    assert names == ["x" * 79 + "…", " ".join("a" * 8), "y" * 79 + "…"]
