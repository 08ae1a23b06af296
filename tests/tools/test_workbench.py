"""A workbench finds what a store was harvested from, and refuses anything else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.tools.harvest import harvest
from dragoman.tools.source import SubjectSource
from dragoman.tools.subject import Subject
from dragoman.tools.workbench import Workbench

Tiny = Callable[[str], Subject]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny: Tiny) -> Path:
    """A project folder with a model, a dictionary and a store that was harvested from inside it, paths relative."""
    folder = tmp_path_factory.mktemp("project")
    subject = tiny("llama")
    subject.model.save_pretrained(folder / "model")
    subject.tokenizer.save_pretrained(folder / "model")
    np.save(folder / "probes.npy", np.random.default_rng(0).standard_normal((5, 16)).astype(np.float32))
    generator = np.random.default_rng(0)
    words = ["the", "cat", "sat", "on", "mat", "dog", "ran", "park"]
    texts = [" ".join(generator.choice(words, generator.integers(3, 30))) + f" {n}." for n in range(150)]
    (folder / "texts.json").write_text(json.dumps(texts))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        harvest(
            "S", "model", ["directions:probes.npy@resid_post.1", "neurons:mlp.0"], "texts.json", window=20, progress=False
        ).close()
    return folder


@pytest.fixture
def copy(project: Path, tmp_path: Path) -> Path:
    """The project, moved elsewhere."""
    shutil.copytree(project, tmp_path / "moved")
    return tmp_path / "moved"


def test_a_moved_project_opens_and_reproduces_what_is_stored(copy: Path) -> None:
    with Workbench.open(copy / "S") as bench:
        assert list(bench.dictionaries) == ["probes", "mlp.0"]
        assert bench.feature("mlp.0/7") == bench.feature(5 + 7) == (bench.dictionary("mlp.0"), 7)
        source = bench.source("probes")
        assert isinstance(source, SubjectSource) and source.prepend_bos and bench.window == 20
        tokens = bench.store.tokens("test")
        rows = [tokens.ids[a:b].tolist() for a, b in zip(tokens.starts[:-1], tokens.starts[1:], strict=True)]
        got = source.activations(rows)
        where, stored = bench.store.activations("probes/3", "test")
        mine = got.feature == 3
        assert (tokens.starts[got.row[mine]] + got.position[mine]).tolist() == where.tolist()
        np.testing.assert_allclose(got.value[mine], stored, atol=1e-4)
        assert bench.threshold("probes/3") == pytest.approx(0.2 * bench.maximum("probes/3"), rel=1e-6) and len(where) > 50


def test_reading_the_store_loads_no_model(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(copy / "model")
    with Workbench.open(copy / "S") as bench:
        assert bench.threshold("probes/0") > 0 and "resid_post.1" in bench.store.dictionaries[0].hook_in
        with pytest.raises(UserError, match=r"The model of this store, model, was not found: say with --model"):
            _ = bench.subject


def test_the_model_may_be_given(copy: Path, tiny: Tiny) -> None:
    shutil.move(copy / "model", copy / "elsewhere")
    with Workbench.open(copy / "S", model=copy / "elsewhere") as bench:
        assert bench.dictionary("mlp.0").width == 24
    with Workbench.open(copy / "S", model=tiny("gpt2")) as bench, pytest.raises(UserError, match="changed since the harvest"):
        _ = bench.subject


def test_a_store_of_a_model_in_memory_opens_with_its_files(copy: Path, tiny: Tiny) -> None:
    held: Any = tiny("llama")
    texts = str(copy / "texts.json")
    store = harvest(copy / "T", held, ["neurons:mlp.1"], texts, window=20, progress=False)
    with Workbench.open(store, model=held) as bench:
        assert bench.subject is held
    with Workbench.open(copy / "T", model=copy / "model") as bench:
        assert bench.subject.folder is not None


def test_changed_weights_are_refused(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = next((copy / "model").glob("*.safetensors"))
    weights = load_file(file)
    weights = {name: tensor + 0.01 * torch.ones_like(tensor) for name, tensor in weights.items()}
    save_file(weights, file, {"format": "pt"})
    with Workbench.open(copy / "S") as bench, pytest.raises(UserError, match=r"weights of .* changed since the harvest"):
        _ = bench.subject


def test_a_dictionary_that_moved_or_changed(copy: Path) -> None:
    shutil.move(copy / "probes.npy", copy / "other.npy")
    with Workbench.open(copy / "S") as bench, pytest.raises(UserError, match=r"--dictionary probes=SPEC"):
        bench.dictionary("probes")
    moved = [f"probes=directions:{copy}/other.npy@resid_post.1"]
    with Workbench.open(copy / "S", dictionaries=moved) as bench:
        assert bench.dictionary("probes").width == 5
    np.save(copy / "other.npy", np.eye(5, 16, dtype=np.float32))
    with Workbench.open(copy / "S", dictionaries=moved) as bench, pytest.raises(UserError, match="changed since the harvest"):
        bench.dictionary("probes")


def test_names_that_do_not_exist(copy: Path) -> None:
    for spec, says in (("nosuch=x", "it has probes, mlp.0"), ("x", "NAME=SPEC")):
        with pytest.raises(UserError, match=says):
            Workbench.open(copy / "S", dictionaries=[spec])
    with Workbench.open(copy / "S") as bench:
        with pytest.raises(UserError, match="no dictionary 'nosuch'"):
            bench.dictionary("nosuch")
        with pytest.raises(UserError, match="no feature probes/5"):
            bench.feature("probes/5")


def test_what_came_with_the_package_is_found_where_it_is_now(copy: Path) -> None:
    """A store of the shipped organism opens after the package has moved."""
    manifest = json.loads((copy / "S" / "manifest.json").read_text())
    manifest["subject"]["name"] = "/gone/site-packages/dragoman/evals/organism/weights/model"
    (copy / "S" / "manifest.json").write_text(json.dumps(manifest))
    with Workbench.open(Store.open(copy / "S")) as bench, pytest.raises(UserError, match=r"weights/model changed since"):
        _ = bench.subject


def test_each_layer_of_a_cross_layer_transcoder_is_found(copy: Path) -> None:
    """One folder holds several dictionaries, which a store calls NAME.0, NAME.1 …"""
    from dragoman.tools.dictionaries import make_cross_layer, save_cross_layer

    generator = torch.Generator().manual_seed(0)
    encoders = [torch.randn(8, 16, generator=generator) for _ in range(3)]
    decoders = [torch.randn(8, 3 - layer, 16, generator=generator) for layer in range(3)]
    made = make_cross_layer(
        "clt", encoders, [torch.zeros(8)] * 3, decoders, [torch.zeros(16)] * 3, kind_in="mlp_in", prepend_bos=True
    )
    save_cross_layer(made, copy / "clt")
    store = harvest(copy / "C", str(copy / "model"), [f"clt={copy}/clt"], str(copy / "texts.json"), window=20, progress=False)
    names = [info.name for info in store.dictionaries]
    assert names == ["clt.0", "clt.1", "clt.2"]
    with Workbench.open(store) as bench:
        for layer, name in enumerate(names):
            found = bench.dictionary(name)
            assert found.facts.name == name and found.facts.part == layer
            torch.testing.assert_close(found.encode(torch.ones(1, 16)), made.parts[layer].encode(torch.ones(1, 16)))
    with Workbench.open(copy / "C", dictionaries=[f"clt.1={copy}/clt"]) as bench:
        assert bench.feature("clt.1/3").dictionary.facts.name == "clt.1"
