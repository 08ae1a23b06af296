"""Damaged, hostile and unknown files are refused with one sentence; scales, excluded tokens and fit are found."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dragoman.store.errors import UserError
from dragoman.tools.dictionaries import (
    FORMATS,
    Coder,
    Recipe,
    load,
    load_all,
    make_coder,
    make_cross_layer,
    read,
    save_cross_layer,
    save_saelens,
)
from dragoman.tools.dictionaries.formats import recognise
from dragoman.tools.documents import Corpus
from dragoman.tools.forward import ForwardPass
from dragoman.tools.harvest import harvest
from dragoman.tools.inspect_dictionaries import inspect
from dragoman.tools.sample import sample
from dragoman.tools.source import SubjectSource
from dragoman.tools.subject import Subject
from dragoman.tools.workbench import Workbench

Tiny = Callable[[str], Subject]
D, F = 16, 40


class Bomb:
    """Unpickling this creates a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.file),)


def random(**shapes: tuple[int, ...]) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(7)
    return {name: torch.randn(shape, generator=g) for name, shape in shapes.items()}


def coder(
    hook: str = "resid_post.1", hook_out: str | None = None, recipe: Recipe | None = None, **more: tuple[int, ...]
) -> Coder:
    weights = random(W_enc=(D, F), W_dec=(F, D), b_enc=(F,), b_dec=(D,), **more)
    return make_coder("mine", hook, hook_out or hook, recipe or Recipe("relu"), weights)


def fails(message: str, spec: object, subject: Subject) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_all([str(spec)], subject)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["ae.pt", "2.pt"])
@pytest.mark.parametrize("zipped", [True, False])
def test_pickles_are_never_executed(name: str, zipped: bool, tiny: Tiny, tmp_path: Path) -> None:
    made = tmp_path / "made"
    for content in ({"encoder.weight": Bomb(made)}, Bomb(made)):
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=zipped)
        fails("never executed|not a dictionary|corrupt", f"{tmp_path / name}@resid_post.1", tiny("llama"))
        assert not made.exists()
    (tmp_path / name).write_bytes(pickle.dumps(Bomb(made)))
    fails("never executed|corrupt", f"{tmp_path / name}@resid_post.1", tiny("llama"))
    assert not made.exists()
    pickle.loads((tmp_path / name).read_bytes())
    assert made.exists(), "the file would have done it"


def test_pickles_in_npz_and_npy_are_never_executed(tiny: Tiny, tmp_path: Path) -> None:
    made = tmp_path / "made"
    array = np.empty(1, object)
    array[0] = Bomb(made)
    np.savez(tmp_path / "params.npz", W_enc=array)
    fails("never executed", f"{tmp_path}@resid_post.1", tiny("llama"))
    np.save(tmp_path / "probes.npy", array, allow_pickle=True)
    fails("cannot be read", f"directions:{tmp_path}/probes.npy@resid_post.1", tiny("llama"))
    (tmp_path / "params.npz").write_bytes(pickle.dumps(Bomb(made)))
    fails("cannot be read", f"{tmp_path}@resid_post.1", tiny("llama"))
    assert not made.exists()


def test_unknown_folders_say_what_was_looked_for(tiny: Tiny, tmp_path: Path) -> None:
    subject = tiny("llama")
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(UserError, match="not a dictionary of a known format") as caught:
        load(str(tmp_path), subject)
    for format_ in FORMATS:
        assert format_.looks_for in str(caught.value)
    fails("not a dictionary of a known format", tmp_path / "notes.txt", subject)
    torch.save({"weight": torch.zeros(2)}, tmp_path / "model.pt")
    fails("not a dictionary of a known format", tmp_path / "model.pt", subject)
    fails(r"lacks encoder.weight", tmp_path, subject)
    save_saelens(coder(), tmp_path / "many" / "a")
    save_saelens(coder(), tmp_path / "many" / "b")
    fails(r"name one of them: .*many/a, .*many/b", tmp_path / "many", subject)


def written(kind: str, folder: Path) -> Path:
    """A good dictionary at resid_post.1 or of the MLP of layer 1; returns the file of its weights."""
    if kind == "saelens":
        save_saelens(coder(), folder)
        return folder / "sae_weights.safetensors"
    folder.mkdir()
    names = {"encoder.weight": (F, D), "encoder.bias": (F,), "W_dec": (F, D), "b_dec": (D,)}
    if kind == "sparsify":
        save_file(random(**names), folder / "sae.safetensors")
        (folder / "cfg.json").write_text(json.dumps({"activation": "topk", "k": 4, "d_in": D, "num_latents": F}))
        return folder / "sae.safetensors"
    upper = random(W_enc=(D, F), W_dec=(F, D), b_enc=(F,), b_dec=(D,), threshold=(F,))
    if kind == "gemma_scope_2":
        save_file({name.lower(): t for name, t in upper.items()}, folder / "params.safetensors")
        (folder / "config.json").write_text(json.dumps({"architecture": "jump_relu"}))
        return folder / "params.safetensors"
    if kind == "circuit_tracer":
        save_file(random(W_enc=(F, D), W_dec=(F, D), b_enc=(F,), b_dec=(D,)), folder / "layer_1.safetensors")
        return folder / "layer_1.safetensors"
    nn = random(**{"encoder.weight": (F, D), "encoder.bias": (F,), "decoder.weight": (D, F), "decoder.bias": (D,)})
    (folder / "checkpoints").mkdir()
    save_file(nn, folder / "checkpoints" / "final.safetensors")
    config = {"act_fn": "jumprelu", "jump_relu_threshold": 1.0, "dataset_average_activation_norm": {"in": 4.0, "out": 4.0}}
    (folder / "hyperparams.json").write_text(json.dumps(config))
    return folder / "checkpoints" / "final.safetensors"


@pytest.mark.parametrize("kind", ["saelens", "sparsify", "gemma_scope_2", "llama_scope", "circuit_tracer"])
def test_damaged_weights_are_one_sentence(kind: str, tiny: Tiny, tmp_path: Path) -> None:
    subject = tiny("llama")
    file = written(kind, tmp_path / kind)
    spec = f"{tmp_path / kind}@{'mlp_in.1:mlp_out.1' if kind == 'circuit_tracer' else 'resid_post.1'}"
    assert load_all([spec], subject)[0].facts.format == kind
    whole = {name: t.clone() for name, t in load_file(file).items()}
    raw = file.read_bytes()

    def with_weights(message: str, tensors: dict[str, torch.Tensor]) -> None:
        file.unlink()
        save_file(tensors, file)
        fails(message, spec, subject)

    encoder = next(name for name in whole if name.lower() in ("w_enc", "encoder.weight"))
    bias = next(name for name in whole if name.lower() in ("b_enc", "encoder.bias"))
    with_weights("NaN or infinity", {**whole, encoder: torch.full_like(whole[encoder], float("nan"))})
    with_weights("has shape", {**whole, bias: torch.zeros(3)})
    with_weights("lacks", {name: t for name, t in whole.items() if name != bias})
    wrong = torch.zeros(2, *whole[encoder].shape)
    with_weights("must be matrices|has shape", {**whole, encoder: wrong})
    file.unlink()
    file.write_bytes(raw[: len(raw) // 2])
    fails("corrupt", spec, subject)
    file.write_bytes(b"")
    fails("corrupt", spec, subject)
    file.write_bytes(raw)
    for config in {"cfg.json", "config.json", "hyperparams.json"} & {f.name for f in (tmp_path / kind).iterdir()}:
        (tmp_path / kind / config).write_text("[1]")
        fails("must hold a JSON object", spec, subject)
        (tmp_path / kind / config).write_bytes(b"\xff\xfe{")
        fails("cannot be read as JSON", spec, subject)


@pytest.mark.parametrize("kind", ["saelens", "sparsify", "gemma_scope_2", "llama_scope"])
def test_any_value_in_a_config_is_read_or_refused(kind: str, tiny: Tiny, tmp_path: Path) -> None:
    """Each value in turn replaced by others of every kind: never anything but a dictionary or one sentence."""
    subject = tiny("llama")
    written(kind, tmp_path / kind)
    (file,) = (f for f in (tmp_path / kind).iterdir() if f.suffix == ".json")
    whole = json.loads(file.read_text())
    refused = 0
    for path in [(key,) for key in whole] + [("metadata", key) for key in whole.get("metadata", {})]:
        for wrong in ("x", -1, 0, 1.5, [1], ["a"], {"a": 1}, None, True, 1e400):
            config = json.loads(json.dumps(whole))
            holder = config if len(path) == 1 else config[path[0]]
            holder[path[-1]] = wrong
            file.write_text(json.dumps(config))
            for spec in (str(tmp_path / kind), f"{tmp_path / kind}@resid_post.1"):
                try:
                    load(spec, subject).encode(torch.ones(2, D))
                except UserError as error:
                    refused += 1
                    assert "\n" not in str(error)
    assert refused > 10


def test_dictionaries_that_do_not_fit_the_model(tiny: Tiny, tmp_path: Path) -> None:
    subject = tiny("llama")
    save_saelens(coder("resid_post.7"), tmp_path / "deep")
    fails("layers 0 to 2", tmp_path / "deep", subject)
    narrow = make_coder("n", "mlp_in.1", "mlp_out.1", Recipe("relu"), random(W_enc=(D, F), W_dec=(F, 8), b_enc=(F,), b_dec=(8,)))
    save_saelens(narrow, tmp_path / "narrow")
    fails("writes vectors of width 8", tmp_path / "narrow", subject)
    save_saelens(coder("resid_mid.1", "mlp_out.1"), tmp_path / "mid")
    fails("attention and MLP read the same residual stream", tmp_path / "mid", tiny("gpt_neox"))
    fails("hook point", f"{tmp_path / 'mid'}@nonsense.1", subject)
    fails("does not need a scale", f"{tmp_path / 'mid'}?scale=2", subject)
    fails("write .scale=NUMBER", f"{tmp_path / 'mid'}?scale=x", subject)


def test_a_cross_layer_transcoder_with_a_layer_missing(tiny: Tiny, tmp_path: Path) -> None:
    layers = 3
    clt = make_cross_layer(
        "clt",
        [torch.randn(F, D)] * layers,
        [torch.zeros(F)] * layers,
        [torch.randn(F, layers - i, D) for i in range(layers)],
        [torch.zeros(D)] * layers,
    )
    save_cross_layer(clt, tmp_path / "clt")
    (tmp_path / "clt" / "W_dec_1.safetensors").unlink()
    fails(r"no .*W_dec_1.safetensors", tmp_path / "clt", tiny("llama"))
    (tmp_path / "clt" / "W_enc_1.safetensors").unlink()
    fails("lacks the encoders of some layers", tmp_path / "clt", tiny("llama"))


# Scales, excluded tokens, and fit


def test_the_scale_of_expected_average_only_in(tiny: Tiny, tmp_path: Path) -> None:
    """Given, it equals what SAELens computes when it folds the same factor into the weights."""
    sae_lens = pytest.importorskip("sae_lens")
    mine = coder(recipe=Recipe("topk", k=5, rescale_by_decoder_norm=True, subtract_b_dec=True))
    save_saelens(mine, tmp_path / "sae")
    config = json.loads((tmp_path / "sae" / "cfg.json").read_text())
    config["normalize_activations"] = "expected_average_only_in"
    (tmp_path / "sae" / "cfg.json").write_text(json.dumps(config))
    theirs: Any = sae_lens.SAE.load_from_disk(tmp_path / "sae")
    theirs.fold_activation_norm_scaling_factor(0.25)
    loaded = load(f"name={tmp_path / 'sae'}?scale=0.25", tiny("llama"))
    assert loaded.facts.name == "name" and loaded.facts.source.endswith("sae?scale=0.25")
    same = load(str(tmp_path / "sae"), tiny("llama"), scale=0.25)
    assert same.facts.weights_hash == loaded.facts.weights_hash and same.facts.source == loaded.facts.source
    x = torch.randn(50, D) * 3
    with torch.no_grad():
        torch.testing.assert_close(loaded.encode(x), theirs.encode(x), rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(loaded.decode(loaded.encode(x), x), theirs(x), rtol=1e-5, atol=1e-3)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    file = tmp_path / "texts.json"
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "dog", "ran", "park"]
    generator = np.random.default_rng(0)
    file.write_text(json.dumps([" ".join(generator.choice(words, 12)) for _ in range(240)]))
    return file


def test_a_missing_scale_is_estimated_and_said(texts: Path, tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    subject = tiny("llama")
    save_saelens(coder(), tmp_path / "sae")
    file = tmp_path / "sae" / "cfg.json"
    file.write_text(
        file.read_text().replace('"normalize_activations": "none"', '"normalize_activations": "expected_average_only_in"')
    )
    store = harvest(tmp_path / "store", subject, [f"s={tmp_path / 'sae'}"], texts, window=16, progress=False)
    assert "?scale=" in caplog.text and "was estimated on" in caplog.text
    (info,) = store.dictionaries
    scale = float(info.source.partition("?scale=")[2])
    # all real tokens of the first 32 windows
    source = inspect([info.source], subject, Corpus(str(texts)))[0]
    assert source.normalization == f"scale {scale:.4g}"
    ids = [subject.tokenize(text).ids for text in json.loads(texts.read_text())[:64]]
    windows = [part for one in ids for part in np.split(one, range(16, len(one), 16)) if len(part)][:32]
    norms = []
    for window in windows:
        row = torch.tensor([[subject.bos_id, *window.tolist()]])
        norms.append(subject.capture(row, ["resid_post.1"])["resid_post.1"][0, 1:].norm(dim=-1))
    assert scale == pytest.approx(D**0.5 / float(torch.cat(norms).mean()), rel=1e-4)
    reopened = Workbench(store, subject).dictionary("s")
    assert reopened.facts.weights_hash == info.weights_hash
    store.close()


def test_activations_on_excluded_tokens_are_dropped(texts: Path, tiny: Tiny, tmp_path: Path) -> None:
    subject = tiny("llama")
    save_saelens(coder(), tmp_path / "sae")
    file = tmp_path / "sae" / "cfg.json"
    (word,) = set(subject.tokenize("the").ids[-1:].tolist())
    config = json.loads(file.read_text())
    config["metadata"]["exclude_special_tokens"] = [int(word)]
    file.write_text(json.dumps(config))
    config["metadata"]["exclude_special_tokens"] = False
    shutil.copytree(tmp_path / "sae", tmp_path / "all")
    (tmp_path / "all" / "cfg.json").write_text(json.dumps(config))
    store = harvest(tmp_path / "store", subject, [str(tmp_path / "sae"), str(tmp_path / "all")], texts, window=16, progress=False)
    query = (
        "select dictionary, c.ids[position + 1] = {t} as excluded, count(*) as n from activation join feature using (feature) "
        "join context c using (context) group by all"
    )
    rows = store.sql(query.format(t=int(word))).table.to_pylist()
    counts = {(row["dictionary"], row["excluded"]): row["n"] for row in rows}
    ids = [subject.tokenize(text).ids.tolist() for text in json.loads(texts.read_text())[:5]]
    found = SubjectSource(subject, load(str(tmp_path / "sae"), subject)).activations(ids)
    every = SubjectSource(subject, load(str(tmp_path / "all"), subject)).activations(ids)
    store.close()
    kept, dropped = (0, False), (0, True)
    assert dropped not in counts and counts[(1, True)] > 0 and counts[kept] == counts[(1, False)] > 0
    assert int(word) not in {ids[row][at] for row, at in zip(found.row, found.position, strict=True)}
    assert int(word) in {ids[row][at] for row, at in zip(every.row, every.position, strict=True)}


def test_variance_is_measured_of_what_the_dictionary_writes(texts: Path, tiny: Tiny, tmp_path: Path) -> None:
    """A transcoder that is the MLP itself leaves nothing unexplained; one that answers zero leaves more than everything."""
    subject = tiny("gpt2")
    skip = {"W_skip": torch.eye(D)}
    weights = {**random(W_enc=(D, F), b_enc=(F,)), "W_dec": torch.zeros(F, D), "b_dec": torch.zeros(D)}
    perfect = make_coder("perfect", "mlp_out.1", "mlp_out.1", Recipe("relu"), {**weights, **skip})
    wrong = make_coder("wrong", "mlp_in.1", "mlp_out.1", Recipe("relu"), {**weights, "b_dec": torch.full((D,), 50.0)})
    forward = ForwardPass(subject, [perfect, wrong], False, 4)
    assert forward.fit_hooks == ["mlp_in.1", "mlp_out.1"]
    store = harvest(tmp_path / "store", subject, [perfect, wrong], texts, window=16, progress=False)
    fits = {info.name: info.variance_unexplained for info in store.dictionaries}
    store.close()
    assert fits["perfect"] == pytest.approx(0, abs=1e-9) and (fits["wrong"] or 0) > 1


def test_parts_of_a_cross_layer_transcoder_are_measured_together(texts: Path, tiny: Tiny, tmp_path: Path) -> None:
    subject, layers = tiny("llama"), 3
    g = torch.Generator().manual_seed(1)
    clt = make_cross_layer(
        "clt",
        [torch.randn(F, D, generator=g) for _ in range(layers)],
        [torch.randn(F, generator=g) for _ in range(layers)],
        [torch.randn(F, layers - i, D, generator=g) * 0.01 for i in range(layers)],
        [torch.randn(D, generator=g) for _ in range(layers)],
    )
    save_cross_layer(clt, tmp_path / "clt")
    spec, corpus = str(tmp_path / "clt"), Corpus(str(texts))
    found = inspect([spec], subject, corpus)
    hooks = [f"{kind}.{layer}" for kind in ("resid_mid", "mlp_out") for layer in range(layers)]
    _, tensors = sample(subject, corpus, hooks, 127, True)
    out = clt.forward(tensors)
    for layer, one in enumerate(found):
        y = tensors[f"mlp_out.{layer}"].double()
        wanted = (y - out[f"mlp_out.{layer}"].double()).square().sum() / (y - y.mean(0)).square().sum()
        assert one.variance_unexplained == pytest.approx(float(wanted), rel=1e-5) and one.tokens == len(y)
    store = harvest(tmp_path / "store", subject, [spec], texts, window=16, progress=False)
    assert [info.name for info in store.dictionaries] == ["clt.0", "clt.1", "clt.2"]
    assert all(info.variance_unexplained is not None for info in store.dictionaries)
    reopened = Workbench(store, subject).dictionary("clt.1")
    assert reopened.facts.weights_hash == store.dictionaries[1].weights_hash and reopened.facts.hook_in == "resid_mid.1"
    store.close()
    (alone,) = inspect([f"{spec}/W_enc_1.safetensors"], subject, corpus)
    assert alone.variance_unexplained is None and "not all there" in alone.unmeasured


def test_without_a_subject_the_hook_point_may_be_unknown(tmp_path: Path) -> None:
    folder = tmp_path / "nowhere"
    folder.mkdir()
    upper = random(W_enc=(D, F), W_dec=(F, D), b_enc=(F,), b_dec=(D,), threshold=(F,))
    np.savez(folder / "params.npz", **{name: t.numpy() for name, t in upper.items()})  # type: ignore[arg-type]
    (one,) = inspect([str(folder)])
    assert one.hook_in == "?" and one.format == "gemma_scope" and one.unmeasured == "no model given"
    assert one.threshold == (float(upper["threshold"].min()), float(upper["threshold"].max()))
    assert read(f"{folder}@resid_post.3", None)[0].facts.hook_in == "resid_post.3"
    assert recognise({"readme.md", "weights.bin"}) is None
