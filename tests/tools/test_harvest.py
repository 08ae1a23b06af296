"""Harvest: what is stored is what the model computes, in the same order every time, whatever interrupted it."""

from __future__ import annotations

import importlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
import torch

from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.tools.dictionaries import load
from dragoman.tools.harvest import harvest
from dragoman.tools.source import SubjectSource
from dragoman.tools.subject import Subject

Tiny = Callable[[str], Subject]
TABLES = ("document", "context", "activation", "feature", "top_token", "coactivation", "neighbour", "logit_effect", "vocabulary")


def rows(store: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, in the order of the file."""
    with duckdb.connect(str(store / "features.duckdb"), read_only=True) as connection:
        return {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}


def query(store: Store, sql: str) -> Any:
    """Result of a query on a store that is then closed."""
    store.close()
    return duckdb.connect(str(store.path / "features.duckdb"), read_only=True).execute(sql)


def write_texts(file: Path, count: int = 150) -> Path:
    words = ["the", "cat", "sat", "on", "mat", "and", "dog", "ran", "to", "park", "with", "a", "red", "ball"]
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.choice(words, generator.integers(3, 40))) + f" {n}." for n in range(count)]
    file.write_text(json.dumps([*texts, texts[0]]))
    return file


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts") / "texts.json")


@pytest.fixture
def settings(corpus: Path, tiny: Tiny) -> dict[str, Any]:
    return {
        "model": tiny("llama"),
        "dictionaries": ["neurons:mlp.1", "early=neurons:mlp.0"],
        "text": corpus,
        "window": 20,
        "shard_tokens": 700,
        "progress": False,
    }


def test_activate_on_a_stored_window_reproduces_what_is_stored(settings: dict[str, Any], tmp_path: Path) -> None:
    subject = settings["model"]
    store = harvest(tmp_path / "s", **settings)
    assert [d.name for d in store.dictionaries] == ["mlp.1", "early"]
    contexts = query(store, "SELECT context, ids FROM context ORDER BY context").fetchall()
    stored = query(store, "SELECT feature, context, position, value FROM activation").fetchnumpy()
    assert len({len(ids) for _, ids in contexts}) > 5
    for info, spec in zip(store.dictionaries, settings["dictionaries"], strict=True):
        source = SubjectSource(subject, load(spec, subject), store.subject.prepend_bos, batch_size=3)
        got = source.activations([ids for _, ids in contexts])
        mine = (stored["feature"] >= info.offset) & (stored["feature"] < info.offset + info.width)
        dense = np.zeros((len(contexts), 20, info.width), np.float32)
        dense[stored["context"][mine], stored["position"][mine], stored["feature"][mine] - info.offset] = stored["value"][mine]
        again = np.zeros_like(dense)
        again[got.row, got.position, got.feature] = got.value
        np.testing.assert_allclose(again, dense, atol=1e-4, rtol=1e-4)
        assert mine.sum() > 1000


def test_a_topk_dictionary_is_reproduced_as_well(settings: dict[str, Any], tmp_path: Path) -> None:
    from sae_lens.saes.sae import SAEMetadata
    from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig

    torch.manual_seed(0)
    metadata = SAEMetadata(hook_name="blocks.1.hook_resid_post", context_size=17, prepend_bos=True)
    TopKSAE(TopKSAEConfig(d_in=16, d_sae=64, k=4, metadata=metadata)).save_model(tmp_path / "sae")
    store = harvest(tmp_path / "s", **{**settings, "dictionaries": [str(tmp_path / "sae")], "window": None})
    contexts = query(store, "SELECT context, ids FROM context ORDER BY context").fetchall()
    stored = query(store, "SELECT context, position, feature, value FROM activation ORDER BY ALL").fetchall()
    source = SubjectSource(settings["model"], load(str(tmp_path / "sae"), settings["model"]))
    got = source.activations([ids for _, ids in contexts])
    assert len(stored) == len(got.value) > 1000
    assert [row[:3] for row in stored] == list(zip(got.row, got.position, got.feature, strict=True))
    np.testing.assert_allclose([row[3] for row in stored], got.value, atol=1e-4)


def test_a_limit_a_feature_keeps_exact_statistics(settings: dict[str, Any], tmp_path: Path) -> None:
    whole = harvest(tmp_path / "a", **settings)
    some = harvest(tmp_path / "b", **{**settings, "max_per_feature": 100})
    assert some.manifest.activations < some.manifest.activations_seen == whole.manifest.activations
    for feature in (0, 30):
        ours, exact = some.feature(feature).stats, whole.feature(feature).stats
        assert ours.sampled and not exact.sampled
        assert (ours.max, ours.density, ours.histogram) == (exact.max, exact.density, exact.histogram)


def test_windows_hold_the_documents_and_nothing_else(settings: dict[str, Any], corpus: Path, tmp_path: Path) -> None:
    store = harvest(tmp_path / "s", **settings)
    subject = settings["model"]
    texts = json.loads(corpus.read_text())
    documents = query(store, "SELECT document, text, split, tokens, source FROM document ORDER BY 1").fetchall()
    contexts = query(store, "SELECT document, split, ids, starts, ends FROM context ORDER BY context").fetchall()
    assert [d[1] for d in documents] == texts
    assert documents[0][2] == documents[-1][2], "duplicate documents share their split"
    assert documents[3][4] == "texts.json:3"
    for number, text, split, count, _ in documents:
        windows = [c for c in contexts if c[0] == number]
        ids = [i for w in windows for i in w[2]]
        assert ids == subject.tokenize(text).ids.tolist() and len(ids) == count
        assert all(len(w[2]) == 20 for w in windows[:-1]) and {w[1] for w in windows} == {split}
        assert "".join(text[a:b] for w in windows for a, b in zip(w[3], w[4], strict=True)) == text
    assert store.subject.prepend_bos


def test_the_same_input_gives_the_same_store(settings: dict[str, Any], tmp_path: Path) -> None:
    harvest(tmp_path / "a", **settings)
    harvest(tmp_path / "b", **settings)
    assert rows(tmp_path / "a") == rows(tmp_path / "b")
    before = (tmp_path / "a" / "manifest.json").read_text()
    harvest(tmp_path / "a", **settings)
    assert (tmp_path / "a" / "manifest.json").read_text() == before
    with pytest.raises(UserError, match="made with other settings"):
        harvest(tmp_path / "a", **{**settings, "window": 19})


class Killed(BaseException):
    pass


def test_an_interrupted_harvest_goes_on(settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = importlib.import_module("dragoman.tools.harvest")
    harvest(tmp_path / "whole", **settings)
    cut, calls = module.cut, 0

    def dies_at_the_third(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Killed
        return cut(*args)

    with monkeypatch.context() as patch:
        patch.setattr(module, "cut", dies_at_the_third)
        with pytest.raises(Killed):
            harvest(tmp_path / "s", **settings)
    with pytest.raises(UserError, match="not finished"):
        Store.open(tmp_path / "s")
    with pytest.raises(UserError, match="another window"):
        harvest(tmp_path / "s", **{**settings, "window": 21})
    (tmp_path / "s" / "build" / "activations.keys-00002.partial").write_bytes(b"left behind")
    (tmp_path / "s" / "build" / "activations-00002.keys").write_bytes(b"left behind")
    harvest(tmp_path / "s", **settings)
    assert rows(tmp_path / "s") == rows(tmp_path / "whole")
    assert not (tmp_path / "s" / "build").exists()


def test_special_tokens_in_the_text_are_not_stored(settings: dict[str, Any], tmp_path: Path) -> None:
    texts = [f"the cat <s> sat {n} on</s> the mat" for n in range(150)]
    (tmp_path / "t.json").write_text(json.dumps(texts))
    store = harvest(tmp_path / "s", **{**settings, "text": tmp_path / "t.json"})
    assert query(store, "SELECT count(*) FROM context WHERE list_has_any(ids, [0, 1, 2])").fetchone() == (0,)
    assert query(store, "SELECT text FROM document ORDER BY document LIMIT 1").fetchone() == (texts[0],)


def test_limit_ends_after_the_document_that_reaches_it(settings: dict[str, Any], tmp_path: Path) -> None:
    store = harvest(tmp_path / "s", **{**settings, "limit_tokens": 6000})
    counts = [count for (count,) in query(store, "SELECT tokens FROM document ORDER BY document").fetchall()]
    assert sum(counts[:-1]) < 6000 <= sum(counts)
    assert sum(store.manifest.tokens.values()) == sum(counts)


def test_too_few_documents_are_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    few = write_texts(tmp_path / "few.json", 30)
    with pytest.raises(UserError, match="at least 20 documents"):
        harvest(tmp_path / "s", **{**settings, "text": few})


def test_a_dictionary_that_does_not_fit_the_activations_is_reported_loudly(
    settings: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sae_lens_folder = tmp_path / "sae"
    from sae_lens.saes.sae import SAEMetadata
    from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig

    torch.manual_seed(0)
    metadata = SAEMetadata(hook_name="blocks.1.hook_resid_post", context_size=17, prepend_bos=False)
    sae = TopKSAE(TopKSAEConfig(d_in=16, d_sae=64, k=4, metadata=metadata))
    sae.save_model(sae_lens_folder)
    with caplog.at_level(logging.WARNING):
        store = harvest(tmp_path / "s", **{**settings, "dictionaries": [str(sae_lens_folder)], "window": None})
    unexplained = store.dictionaries[0].variance_unexplained
    assert unexplained is not None and unexplained > 0.7
    assert "of the variance of resid_post.1 unexplained" in caplog.text
    assert store.manifest.plan["implausible"] == ["sae"]
    assert store.manifest.plan["window"] == 17 and store.subject.prepend_bos is False


def test_variance_unexplained_is_that_of_all_sampled_tokens(settings: dict[str, Any], tmp_path: Path) -> None:
    """One shard of fewer tokens than the sample: the figure is exactly that of the corpus."""
    from dragoman.tools.forward import measure_fit

    torch.manual_seed(0)
    from sae_lens.saes.sae import SAEMetadata
    from sae_lens.saes.standard_sae import StandardSAE, StandardSAEConfig

    StandardSAE(StandardSAEConfig(d_in=16, d_sae=64, metadata=SAEMetadata(hook_name="blocks.1.hook_resid_post"))).save_model(
        tmp_path / "sae"
    )
    dictionary = load(str(tmp_path / "sae"), settings["model"])
    x = torch.randn(300, 16) @ torch.randn(16, 16) + 3
    hook = "resid_post.1"
    parts = measure_fit([dictionary], {hook: x[:100]}) + measure_fit([dictionary], {hook: x[100:]})
    reconstruction = dictionary.decode(dictionary.encode(x), x)
    expected = ((x - reconstruction) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()
    assert parts.unexplained == pytest.approx(float(expected), rel=1e-4)


def test_settings_that_make_no_sense(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="takes 1 to 63"):
        harvest(tmp_path / "s", **{**settings, "window": 64})
    with pytest.raises(UserError, match="--batch-size must be at least 1"):
        harvest(tmp_path / "s", **{**settings, "batch_size": 0})


@pytest.fixture
def shared() -> Iterator[Path]:
    """The workshop's folder of real inputs, beside the repository."""
    folder = Path(os.environ.get("DRAGOMAN_SHARED", Path(__file__).parents[3] / "shared"))
    if not (folder / "data" / "babyllama-tok105").is_dir():
        pytest.skip(f"no real inputs in {folder}: set DRAGOMAN_SHARED")
    yield folder / "data"


@pytest.mark.slow
def test_a_real_model_and_a_real_text(shared: Path, tmp_path: Path) -> None:
    """Somebody else's pretrained model with its own neurons and with a SAE that sae-lens wrote."""
    from sae_lens.saes.sae import SAEMetadata
    from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig

    torch.manual_seed(0)
    metadata = SAEMetadata(hook_name="blocks.3.hook_resid_post", context_size=128, prepend_bos=True)
    TopKSAE(TopKSAEConfig(d_in=128, d_sae=256, k=8, metadata=metadata)).save_model(tmp_path / "sae")
    stories = json.loads((shared / "text" / "tinystories_1000.json").read_text())
    (tmp_path / "stories.json").write_text(json.dumps([story[:150] for story in stories[:200]]))
    store = harvest(
        tmp_path / "s",
        shared / "babyllama-tok105",
        ["neurons:mlp.2", str(tmp_path / "sae")],
        tmp_path / "stories.json",
        progress=False,
    )
    assert [d.width for d in store.dictionaries] == [352, 256]
    assert store.manifest.plan["window"] == 127
    assert store.examples(5, "train", "top", 3)
