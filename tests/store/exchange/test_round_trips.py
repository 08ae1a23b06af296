"""Out and back: what a format can carry comes back equal, and what it cannot is exactly what its LOST names."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from dragoman.store.exchange import delphi, latents, neuronpedia, saedashboard, tables, uploads
from dragoman.store.exchange.cards import BLANK, Card, Shown, defaults, without
from dragoman.store.exchange.exporting import LOST, Exported, Wish, export, source_of
from dragoman.store.exchange.formats import FORMATS, READERS, recognised
from dragoman.store.exchange.gather import Cards
from dragoman.store.exchange.words import name_of
from dragoman.store.features import Store
from dragoman.store.records import Label

from .rich import LABELING, SCORING, rich_store

CARDS = (neuronpedia.NAME, uploads.NAME, saedashboard.NAME)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with rich_store(tmp_path_factory.mktemp("rich") / "store") as store:
        yield store


@pytest.fixture(scope="module")
def cards(store: Store) -> list[Card]:
    return list(Cards(store, store.dictionaries[0], range(24), 10, [LABELING]))


def test_the_cards_are_what_the_store_says(store: Store, cards: list[Card]) -> None:
    assert [card.index for card in cards] == list(range(24))
    for card in cards:
        feature = store.feature(card.index)
        assert (card.max, card.density, card.histogram) == (
            feature.stats.max, feature.stats.density, feature.stats.histogram
        )  # fmt: skip
        assert (card.promoted, card.suppressed) == (feature.promoted, feature.suppressed)
        assert card.neighbours == tuple((store.id(key), value) for key, value in feature.neighbours)
        best = store.examples(card.index, "train", "top", 10)
        top = [shown for shown in card.shown if shown.top]
        assert [(shown.tokens, shown.values) for shown in top] == [(e.context.strings, e.values) for e in best]
        for shown in card.shown:
            assert shown.values[shown.at] == max(shown.values) > 0
            if not shown.top:
                assert shown.low is not None and shown.high is not None and shown.share is not None
                assert shown.low - 1e-6 <= max(shown.values) <= shown.high + 1e-6
                _, values = store.activations(card.index, "train")
                inside = (values >= shown.low) & (values < shown.high * 1.000001)
                if card.index >= 12:  # the others have values that lie on the edges
                    assert shown.share == pytest.approx(inside.mean(), abs=1e-9)
    drawn = {round((shown.low or 0) / (card.max or 1), 1) for card in cards for shown in card.shown if not shown.top}
    assert drawn == {0.0, 0.2, 0.4, 0.6, 0.8}
    assert all({shown.split for shown in card.shown} <= {"train"} for card in cards)
    assert not cards[23].shown and cards[0].labels and cards[0].scores and not cards[12].labels


@pytest.mark.parametrize("format", CARDS)
def test_cards_come_back(store: Store, cards: list[Card], format: str, tmp_path: Path) -> None:
    done = export(store, tmp_path / "out", Wish(format))
    assert recognised(tmp_path / "out") == format
    back = {card.index: card for card in READERS[format](tmp_path / "out")}
    lost = LOST[format]
    for card in cards:
        if format == uploads.NAME and not card.shown:
            assert card.index not in back
            continue
        scores = tuple(score for score in card.scores if score.value is not None)
        assert normal(back[card.index], lost) == without(replace(card, dictionary="", scores=scores), lost)
    assert sum(len(card.labels) for card in back.values()) == done.count.labels
    assert sum(len(card.scores) for card in back.values()) == done.count.scores
    assert sum(len(card.shown) for card in back.values()) == done.count.examples > 100


def normal(card: Card, lost: Mapping[str, str]) -> Card:
    """What was read, without what readers put in the place of lost fields."""
    for label in card.labels:
        assert "label.name" not in lost or label.name == name_of(label.description)
    gone = {path: word for path, word in lost.items() if path in ("label.name", "label.id")}
    return without(replace(card, dictionary=""), gone)


@pytest.mark.parametrize("format", CARDS)
def test_nothing_is_called_lost_that_is_not_there(cards: list[Card], format: str) -> None:
    for path in LOST[format]:
        kind, _, name = path.rpartition(".")
        if path == "score.unscored":
            assert any(score.unscored for card in cards for score in card.scores)
            continue
        known: Mapping[str, Sequence[object]] = {
            "": cards,
            "label": [label for card in cards for label in card.labels],
            "shown": [shown for card in cards for shown in card.shown],
        }
        assert any(getattr(record, name) != BLANK.get(path, defaults(record)[name]) for record in known[kind]), path


def test_delphi_explanations_and_answers(store: Store, tmp_path: Path) -> None:
    done = export(store, tmp_path / "out", Wish("delphi"))
    assert done.splits == {"latents": ["train"], "scores": ["test"]}
    back = list(delphi.read(tmp_path / "out"))
    assert {(c.dictionary, c.index): c.labels[0].description for c in back} == {
        ("resid_post.0", feature): f"fires on the word number {feature} ({LABELING})" for feature in range(12)
    }
    name = tmp_path / "out" / "explanations" / "resid_post.0_latent3.txt"
    assert json.loads(name.read_text()) == f"fires on the word number 3 ({LABELING})"
    for feature in range(4):
        read = delphi.judged(tmp_path / "out" / "scores" / "detection" / f"resid_post.0_latent{feature}.txt")
        asked = [a for a in store.ledger.answers(SCORING, "label", "detection", feature=feature) if a.truth is not None]
        contexts = store.contexts([a.context for a in asked])
        flat, values = store.activations(feature, "test")
        table = store.tokens("test")
        for one, answer, context in zip(read, asked, contexts, strict=True):
            dense = np.zeros(len(table.ids), np.float32)
            dense[flat] = values
            row = int(np.searchsorted(table.context_ids, context.id))
            assert one.tokens == context.strings
            assert one.values == tuple(dense[table.starts[row] : table.starts[row + 1]].tolist())
            assert (one.activating, one.probability) == (answer.truth, answer.probability)
            assert (one.prediction is None) == (answer.probability is None)
            assert (one.distance == -1) == (not answer.truth) and one.distance in (-1, *range(1, 11))
        clear = [one for one in read if one.prediction is not None]
        found = {score.scorer: score.value for score in back[feature].scores}
        truth = [one.activating for one in clear]
        assert found["detection.balanced_accuracy"] == pytest.approx(
            balanced_accuracy_score(truth, [one.prediction for one in clear])
        )
        assert found["detection.auroc"] == pytest.approx(roc_auc_score(truth, [one.probability for one in clear]))
    raw = json.loads((tmp_path / "out" / "scores" / "detection" / "resid_post.0_latent0.txt").read_text())
    assert set(raw[0]) == {"str_tokens", "activations", "distance", "activating", "prediction", "probability", "correct"}


def test_delphi_latents_hold_every_train_activation(store: Store, tmp_path: Path) -> None:
    export(store, tmp_path / "out", Wish("delphi", parts=("latents",)))
    (file,) = (tmp_path / "out").rglob("*.safetensors")
    assert file.name == "0_23.safetensors"
    read = latents.read(file)
    table = store.tokens("train")
    assert read.tokens is not None and read.contexts is not None
    assert read.contexts.tolist() == table.context_ids.tolist()
    assert read.tokens.ravel().tolist() == table.ids.tolist()
    for feature in range(24):
        flat, values = store.activations(feature, "train")
        mine = read.locations[:, 2] == feature
        assert (read.locations[mine, 0] * 16 + read.locations[mine, 1]).tolist() == flat.tolist()
        assert read.activations[mine].tolist() == values.tolist()
    assert json.loads((file.parent / "config.json").read_text())["ctx_len"] == 16


def test_several_files_of_latents_hold_the_same(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(store, tmp_path / "one", Wish("delphi", parts=("latents",)))
    monkeypatch.setattr(latents, "ROWS", 500)
    export(store, tmp_path / "many", Wish("delphi", parts=("latents",)))
    whole = latents.read(next((tmp_path / "one").rglob("*.safetensors")))
    files = sorted((tmp_path / "many").rglob("*.safetensors"), key=lambda f: int(f.stem.split("_")[0]))
    parts = [latents.read(file) for file in files]
    bounds = [tuple(map(int, file.stem.split("_"))) for file in files]
    assert len(parts) > 3 and bounds[0][0] == 0 and bounds[-1][1] == 23
    assert all(b[0] == a[1] + 1 for a, b in pairwise(bounds))
    assert np.array_equal(np.concatenate([part.locations for part in parts]), whole.locations)
    assert np.array_equal(np.concatenate([part.activations for part in parts]), whole.activations)


@pytest.mark.parametrize("format", tables.FORMATS)
def test_tables_come_back(store: Store, cards: list[Card], format: str, tmp_path: Path) -> None:
    done = export(store, tmp_path / "out", Wish(format, runs=()))
    back = {card.index: card for card in tables.read(tmp_path / "out")}
    known = store.ledger.labels()
    assert sorted(_all(back, "labels"), key=_id) == sorted(known, key=_id) and len(known) == 24 == done.count.labels
    assert sorted(_all(back, "scores"), key=repr) == sorted(store.ledger.scores(), key=repr)
    rows = _rows(tmp_path / "out" / f"features.{format}")
    assert [row["feature"] for row in rows] == [f"sae/{index}" for index in range(24)]
    for row, card in zip(rows, cards, strict=True):
        stats = store.feature(card.index).stats
        assert float(row["threshold"]) == stats.threshold and str(row["dense"]).lower() == str(stats.dense).lower()
        assert _list(row["histogram"]) == list(stats.histogram)
        assert not [name for name in row if name.startswith("corpus")]
    rows = _rows(tmp_path / "out" / f"examples.{format}")
    shown = [(f"sae/{card.index}", one) for card in cards for one in card.shown]
    assert [(row["feature"], tuple(_list(row["tokens"])), tuple(_list(row["values"]))) for row in rows] == [
        (name, one.tokens, one.values) for name, one in shown
    ]
    assert {row["split"] for row in rows} == {"train"}


def _all(cards: Mapping[int, Card], name: str) -> list[Any]:
    return [record for card in cards.values() for record in getattr(card, name)]


def _id(label: Label) -> str:
    return label.id


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a table, read by other code than ours."""
    if path.suffix == ".parquet":
        return list(pq.read_table(path).to_pylist())
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _unpacked(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path) as file:
        return [json.loads(row) for row in file]


def _list(value: Any) -> list[Any]:
    return list(json.loads(value)) if isinstance(value, str) else list(value)


def test_neuronpedia_files_have_their_fields_and_sizes(
    store: Store, cards: list[Card], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neuronpedia, "BATCH", 10)
    export(store, tmp_path / "out", Wish("neuronpedia", model="gpt2-small", source="6-res-jb"), hook="blocks.6.hook_resid_post")
    place = tmp_path / "out" / "gpt2-small" / "6-res-jb"
    assert sorted(f.name for f in (place / "features").iterdir()) == [f"batch-{n}.jsonl.gz" for n in range(3)]
    rows = _unpacked(place / "features" / "batch-1.jsonl.gz")
    assert [row["index"] for row in rows] == [str(n) for n in range(10, 20)]
    row = rows[0]
    assert (row["modelId"], row["layer"], row["sourceSetName"], row["hookName"]) == (
        "gpt2-small", "6-res-jb", "res-jb", "blocks.6.hook_resid_post"
    )  # fmt: skip
    assert len(row["freq_hist_data_bar_values"]) == len(row["freq_hist_data_bar_heights"]) == 20
    one = _unpacked(place / "activations" / "batch-0.jsonl.gz")[0]
    assert (one["maxValue"], one["binMin"], one["binContains"]) == (max(one["values"]), -1, -1)
    said = _unpacked(place / "explanations" / "batch-0.jsonl.gz")[0]
    assert (said["typeName"], said["explanationModelName"], said["description"]) == (
        "labeler", "vllm:big", cards[0].labels[0].description
    )  # fmt: skip
    assert sorted(f.name for f in place.iterdir() if f.is_file()) == [
        "model.jsonl", "release.jsonl", "source.jsonl", "sourceset.jsonl"
    ]  # fmt: skip
    assert len(list(READERS["neuronpedia"](tmp_path / "out"))) == 24


def test_uploads_stay_inside_the_limits(store: Store, cards: list[Card], tmp_path: Path) -> None:
    source = source_of(store, store.dictionaries[0], Wish(uploads.NAME))
    long = Shown(tuple("abc" for _ in range(3000)), tuple(float(i == 2900) for i in range(3000)), 2900)
    wide = replace(
        cards[0],
        promoted=cards[0].promoted * 10,
        shown=(long,),
        labels=(cards[0].labels[0].model_copy(update={"description": "\U0001f600" * 500}),),
    )
    count = uploads.write([replace(wide, index=n) for n in range(140)] + [replace(wide, shown=())], source, tmp_path)
    files = saedashboard.files(tmp_path)
    bodies = [json.loads(file.read_text()) for file in files]
    assert [len(body["features"]) for body in bodies] == [128, 12]
    for feature in (feature for body in bodies for feature in body["features"]):
        assert set(feature) == {"index", "density", "topLogits", "bottomLogits", "activations", "explanations"}
        assert len(feature["topLogits"]) == 20 and len(feature["bottomLogits"]) <= 20
        (one,) = feature["activations"]
        assert len(one["tokens"]) == len(one["values"]) == 1024 and max(one["values"]) == 1.0
        (said,) = feature["explanations"]
        assert 500 < len(said["text"].encode("utf-16-le")) // 2 <= 512 and said["text"].endswith("…")
        assert set(said) == {"text", "methodName", "modelName"}
    assert count.cut == {
        "labels cut to 512 characters": 140,
        "lists of logits cut to 20 tokens": 140,
        "examples cut to 1024 tokens": 140,
        "features without an activation left out": 1,
    }


def test_every_format_says_what_it_loses(store: Store, tmp_path: Path) -> None:
    for format in FORMATS:
        done: Exported = export(store, tmp_path / format, Wish(format, examples=2))
        assert set(LOST[format].values()) <= set(done.lost) and len(done.lost) > 2


def test_delphi_in_its_own_loader_s_terms(store: Store, tmp_path: Path) -> None:
    """What delphi's loader does with a file: first number of the name added to the third column, sorted by it."""
    from safetensors.numpy import load_file

    export(store, tmp_path / "out", Wish("delphi", parts=("latents",)))
    (file,) = (tmp_path / "out").rglob("*.safetensors")
    data = load_file(file)
    assert data["locations"].dtype == np.uint16 and data["activations"].dtype == np.float32
    assert data["locations"].max(axis=0)[0] < len(data["tokens"])
