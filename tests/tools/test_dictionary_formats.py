"""Every other format: files that the peer library wrote, or files in the documented layout against float64 written out here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from dragoman.store.errors import UserError
from dragoman.tools.dictionaries import (
    CrossLayerPart,
    CrossLayerTranscoder,
    Dictionary,
    forward,
    load,
    load_all,
    make_cross_layer,
    save_cross_layer,
)
from dragoman.tools.subject import Subject

Tiny = Callable[[str], Subject]
D, F, K, LAYERS = 16, 40, 5, 3


def inputs() -> Tensor:
    return torch.randn(60, D, generator=torch.Generator().manual_seed(2)) * 2 + 0.5


def random(**shapes: tuple[int, ...]) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(7)
    return {name: torch.randn(shape, generator=g) for name, shape in shapes.items()}


def check(mine: Dictionary, x: Tensor, codes: Tensor, decoded: Tensor, out: Tensor | None = None) -> None:
    """encode, encode_sparse, decode and forward against float64, to 1e-5 of the largest entry."""

    def close(a: Tensor, b: Tensor) -> None:
        torch.testing.assert_close(a.double(), b.double(), rtol=1e-5, atol=1e-5 * max(1.0, float(b.abs().max())))

    close(mine.encode(x), codes)
    sparse = mine.encode_sparse(x)
    dense = torch.zeros_like(mine.encode(x))
    dense[sparse.token, sparse.feature] = sparse.value
    close(dense, codes)
    assert len(sparse.value) == int((codes > 0).sum()) > 0 and bool((sparse.value > 0).all())
    assert bool((sparse.token.diff() >= 0).all())
    close(mine.decode(codes.float(), x), decoded)
    close(forward(mine, x), decoded if out is None else out)


def top(p: Tensor, k: int) -> Tensor:
    """The k largest of each row, the rest zero."""
    values, indices = p.topk(k, dim=-1)
    return torch.zeros_like(p).scatter(-1, indices, values.relu())


# sparsify, written and computed by the library itself


@pytest.mark.parametrize("activation", ["topk", "groupmax"])
@pytest.mark.parametrize(("transcode", "skip"), [(False, False), (True, False), (True, True)])
def test_sparsify(activation: Any, transcode: bool, skip: bool, tiny: Tiny, tmp_path: Path) -> None:
    sparsify = pytest.importorskip("sparsify")
    config = sparsify.SparseCoderConfig(
        activation=activation, num_latents=F, k=K, transcode=transcode, skip_connection=skip, normalize_decoder=False
    )
    theirs = sparsify.SparseCoder(D, config)
    with torch.no_grad():
        for name, tensor in random(**{n: tuple(p.shape) for n, p in theirs.named_parameters()}).items():
            dict(theirs.named_parameters())[name].copy_(tensor)
    folder = tmp_path / "run" / "layers.1.mlp"
    theirs.save_to_disk(folder)
    (folder.parent / "config.json").write_text(json.dumps({"ctx_len": 256}))
    mine, x = load(str(folder), tiny("llama")), inputs()
    with torch.no_grad():
        acts, indices, _ = theirs.encode(x)
        codes = torch.zeros(len(x), F).scatter(-1, indices, acts)
        check(mine, x, codes, theirs.decode(acts, indices), theirs(x).sae_out)
    assert mine.facts.hook_in == ("mlp_in.1" if transcode else "mlp_out.1") and mine.facts.hook_out == "mlp_out.1"
    assert mine.facts.context_size == 256 and mine.facts.name == "layers.1.mlp" and mine.facts.skip == skip
    assert mine.facts.architecture == activation + ("_skip" if skip else "") + ("_transcoder" if transcode else "")


def test_sparsify_places(tiny: Tiny, tmp_path: Path) -> None:
    sparsify = pytest.importorskip("sparsify")

    def saved(name: str) -> str:
        sparsify.SparseCoder(D, sparsify.SparseCoderConfig(expansion_factor=2, k=K)).save_to_disk(tmp_path / name)
        return str(tmp_path / name)

    assert load(saved("layers.2"), tiny("llama")).facts.hook_in == "resid_post.2"
    assert load(saved("h.1"), tiny("gpt2")).facts.hook_in == "resid_post.1"
    assert load(saved("layers.2.self_attn"), tiny("llama")).facts.hook_in == "attn_out.2"
    with pytest.raises(UserError, match="no hook point in gemma2"):
        load(saved("layers.2.mlp"), tiny("gemma2"))
    with pytest.raises(UserError, match="names no hook point: add it to the spec"):
        load(saved("best"), tiny("llama"))
    assert load(f"{saved('best')}@resid_mid.1", tiny("llama")).facts.hook_in == "resid_mid.1"
    with pytest.raises(UserError, match=r"folders in it do; name one of them: .*best.*h\.1"):
        load(str(tmp_path), tiny("llama"))


# dictionary_learning, in its documented layout


def trainer(folder: Path, kind: str, tensors: dict[str, Tensor], **more: object) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(tensors, folder / "ae.pt")
    config = {
        "trainer": {"dict_class": kind, "layer": 1, "submodule_name": "resid_post_layer_1", **more},
        "buffer": {"ctx_len": 64},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


def linear(**more: tuple[int, ...]) -> dict[str, Tensor]:
    weight = {"encoder.weight": (F, D), "decoder.weight": (D, F)}
    return random(**weight, **more)


def test_dictionary_learning_autoencoder(tiny: Tiny, tmp_path: Path) -> None:
    """Decoder rows are brought to norm 1 and activations multiplied by the norms, as its own loader does."""
    w = linear(**{"encoder.bias": (F,), "bias": (D,)})
    mine, x = load(trainer(tmp_path / "t", "AutoEncoder", w), tiny("llama")), inputs()
    e, b, dec, bias = (w[n].double() for n in ("encoder.weight", "encoder.bias", "decoder.weight", "bias"))
    norms = dec.norm(dim=0)
    codes = torch.relu((x.double() - bias) @ e.T + b) * norms
    check(mine, x, codes, codes @ (dec / norms).T + bias)
    torch.testing.assert_close(mine.directions.norm(dim=-1), torch.ones(F))
    assert mine.facts.hook_in == "resid_post.1" and mine.facts.context_size == 64
    assert mine.facts.architecture == "AutoEncoder"


def test_dictionary_learning_new_autoencoder(tiny: Tiny, tmp_path: Path) -> None:
    w = linear(**{"encoder.bias": (F,), "decoder.bias": (D,)})
    mine, x = load(trainer(tmp_path / "t", "AutoEncoderNew", w), tiny("llama")), inputs()
    codes = torch.relu(x.double() @ w["encoder.weight"].double().T + w["encoder.bias"].double())
    check(mine, x, codes, codes @ w["decoder.weight"].double().T + w["decoder.bias"].double())


def test_dictionary_learning_gated(tiny: Tiny, tmp_path: Path) -> None:
    w = linear(decoder_bias=(D,), r_mag=(F,), gate_bias=(F,), mag_bias=(F,))
    mine, x = load(trainer(tmp_path / "t", "GatedAutoEncoder", w), tiny("llama")), inputs()
    v = {name: t.double() for name, t in w.items()}
    p = (x.double() - v["decoder_bias"]) @ v["encoder.weight"].T
    codes = (p + v["gate_bias"] > 0) * torch.relu(v["r_mag"].exp() * p + v["mag_bias"])
    check(mine, x, codes, codes @ v["decoder.weight"].T + v["decoder_bias"])


@pytest.mark.parametrize("kind", ["AutoEncoderTopK", "BatchTopKSAE"])
def test_dictionary_learning_topk(kind: str, tiny: Tiny, tmp_path: Path) -> None:
    w = linear(**{"encoder.bias": (F,), "b_dec": (D,)})
    scalars = {"k": torch.tensor(K, dtype=torch.int), "threshold": torch.tensor(2.5)}
    mine, x = load(trainer(tmp_path / "t", kind, {**w, **scalars}, k=K), tiny("llama")), inputs()
    v = {name: t.double() for name, t in w.items()}
    p = torch.relu((x.double() - v["b_dec"]) @ v["encoder.weight"].T + v["encoder.bias"])
    codes = top(p, K) if kind == "AutoEncoderTopK" else p * (p > 2.5)
    check(mine, x, codes, codes @ v["decoder.weight"].T + v["b_dec"])


def test_dictionary_learning_matryoshka_and_jumprelu(tiny: Tiny, tmp_path: Path) -> None:
    w = random(W_enc=(D, F), W_dec=(F, D), b_enc=(F,), b_dec=(D,))
    v, x = {name: t.double() for name, t in w.items()}, inputs()
    scalars = {"k": torch.tensor(K, dtype=torch.int), "threshold": torch.tensor(2.5), "group_sizes": torch.tensor([10, 30])}
    mine = load(trainer(tmp_path / "m", "MatryoshkaBatchTopKSAE", {**w, **scalars}), tiny("llama"))
    p = torch.relu((x.double() - v["b_dec"]) @ v["W_enc"] + v["b_enc"])
    check(mine, x, p * (p > 2.5), (p * (p > 2.5)) @ v["W_dec"] + v["b_dec"])
    threshold = torch.rand(F) * 2
    mine = load(trainer(tmp_path / "j", "JumpReluAutoEncoder", {**w, "threshold": threshold}), tiny("llama"))
    p = x.double() @ v["W_enc"] + v["b_enc"]
    codes = torch.relu(p * (p > threshold.double()))
    check(mine, x, codes, codes @ v["W_dec"] + v["b_dec"])


def test_dictionary_learning_without_a_config(tiny: Tiny, tmp_path: Path) -> None:
    """The names of the tensors say the class where they can."""
    folder = Path(trainer(tmp_path / "t", "AutoEncoder", linear(**{"encoder.bias": (F,), "bias": (D,)})))
    (folder / "config.json").unlink()
    assert load(f"{folder}@resid_post.1", tiny("llama")).facts.architecture == "AutoEncoder"
    torch.save({**linear(**{"encoder.bias": (F,), "b_dec": (D,)}), "k": torch.tensor(3)}, folder / "ae.pt")
    with pytest.raises(UserError, match=r"must hold trainer.dict_class, one of"):
        load(f"{folder}@resid_post.1", tiny("llama"))


# Gemma Scope


def jump(w: dict[str, Tensor], x: Tensor) -> Tensor:
    p = x.double() @ w["W_enc"].double() + w["b_enc"].double()
    return torch.relu(p) * (p > w["threshold"].double())


@pytest.mark.parametrize(
    ("repo", "hooks"),
    [
        ("gemma-scope-2b-pt-res", ("resid_post.2", "resid_post.2")),
        ("gemma-scope-2b-pt-mlp", ("mlp_out.2", "mlp_out.2")),
        ("gemma-scope-2b-pt-transcoders", ("mlp_normalized.2", "mlp_out.2")),
    ],
)
def test_gemma_scope(repo: str, hooks: tuple[str, str], tiny: Tiny, tmp_path: Path) -> None:
    w = random(W_enc=(D, F), W_dec=(F, D), b_enc=(F,), b_dec=(D,), threshold=(F,))
    folder = tmp_path / repo / "layer_2" / "width_16k" / "average_l0_82"
    folder.mkdir(parents=True)
    np.savez(folder / "params.npz", **{name: t.numpy() for name, t in w.items()})  # type: ignore[arg-type]
    mine, x = load(str(folder), tiny("gemma2")), inputs()
    codes = jump(w, x)
    check(mine, x, codes, codes @ w["W_dec"].double() + w["b_dec"].double())
    assert (mine.facts.hook_in, mine.facts.hook_out) == hooks
    assert mine.facts.prepend_bos is True and mine.facts.format == "gemma_scope"
    file = load(f"{folder / 'params.npz'}@resid_pre.1", tiny("gemma2"))
    assert file.facts.hook_in == "resid_pre.1" and file.facts.name == "params"


def test_gemma_scope_of_an_unnamed_site_is_the_residual_stream(
    tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    w = random(W_enc=(D, F), W_dec=(F, D), b_enc=(F,), b_dec=(D,), threshold=(F,))
    folder = tmp_path / "layer_1" / "width_16k"
    folder.mkdir(parents=True)
    np.savez(folder / "params.npz", **{name: t.numpy() for name, t in w.items()})  # type: ignore[arg-type]
    assert load(str(folder), tiny("gemma2")).facts.hook_in == "resid_post.1"
    assert "taken as resid_post.1" in caplog.text


@pytest.mark.parametrize("skip", [False, True])
def test_gemma_scope_2(skip: bool, tiny: Tiny, tmp_path: Path) -> None:
    w = random(w_enc=(D, F), w_dec=(F, D), b_enc=(F,), b_dec=(D,), threshold=(F,))
    config: dict[str, object] = {"architecture": "jump_relu", "hf_hook_point_in": "model.layers.1.output"}
    extra = {}
    if skip:
        extra = random(affine_skip_connection=(D, D))
        config["hf_hook_point_in"] = "model.layers.1.pre_feedforward_layernorm.output"
        config["hf_hook_point_out"] = "model.layers.1.post_feedforward_layernorm.output"
    save_file({**w, **extra}, tmp_path / "params.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    mine, x = load(f"scope={tmp_path}", tiny("gemma3")), inputs()
    codes = jump({"W_enc": w["w_enc"], **w}, x)
    decoded = codes @ w["w_dec"].double() + w["b_dec"].double()
    out = decoded + x.double() @ extra["affine_skip_connection"].double() if skip else decoded
    check(mine, x, codes, decoded, out)
    assert (mine.facts.hook_in, mine.facts.hook_out) == (("mlp_in.1", "mlp_out.1") if skip else ("resid_post.1",) * 2)
    assert mine.facts.architecture == ("jumprelu_skip_transcoder" if skip else "jumprelu")


# OpenAI


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("topk", [False, True])
def test_openai(tied: bool, topk: bool, tiny: Tiny, tmp_path: Path) -> None:
    w = random(pre_bias=(D,), latent_bias=(F,), **{"encoder.weight": (F, D), "decoder.weight": (D, F)})
    if tied:
        del w["decoder.weight"]
    state: dict[str, Any] = {**w, "stats_last_nonzero": torch.zeros(F, dtype=torch.long)}
    if topk:
        state |= {"activation": "TopK", "activation_state_dict": {"k": K, "postact_fn": "ReLU"}}
    file = tmp_path / "resid_post_mlp_v5_32k" / "autoencoders" / "2.pt"
    file.parent.mkdir(parents=True)
    torch.save(state, file)
    mine, x = load(str(file), tiny("gpt2")), inputs()
    v, h = {name: t.double() for name, t in w.items()}, x.double()
    mean, std = torch.zeros(()), torch.ones(())
    if topk:  # normalised, which the file does not say
        mean = h.mean(-1, keepdim=True)
        std = (h - mean).std(-1, keepdim=True)
        h = (h - mean) / (std + 1e-5)
    p = (h - v["pre_bias"]) @ v["encoder.weight"].T + v["latent_bias"]
    codes = top(p, K) if topk else p.relu()
    decoder = v["encoder.weight"] if tied else v["decoder.weight"].T
    check(mine, x, codes, (codes @ decoder + v["pre_bias"]) * std + mean)
    assert mine.facts.hook_in == "resid_post.2" and mine.facts.format == "openai"


# Llama Scope


@pytest.mark.parametrize("by_norm", [None, True])
def test_llama_scope(by_norm: bool | None, tiny: Tiny, tmp_path: Path) -> None:
    w = linear(**{"encoder.bias": (F,), "decoder.bias": (D,)})
    (tmp_path / "checkpoints").mkdir()
    save_file(w, tmp_path / "checkpoints" / "final.safetensors")
    config: dict[str, object] = {
        "hook_point_in": "blocks.1.ln2.hook_normalized",
        "hook_point_out": "blocks.1.hook_mlp_out",
        "act_fn": "jumprelu",
        "jump_relu_threshold": 1.5,
        "norm_activation": "dataset-wise",
        "dataset_average_activation_norm": {"in": 4.0, "out": 2.5},
        "use_decoder_bias": True,
        "apply_decoder_bias_to_pre_encoder": False,
        "top_k": 50,
    }
    if by_norm is not None:
        config["sparsity_include_decoder_norm"] = by_norm
    (tmp_path / "hyperparams.json").write_text(json.dumps(config))
    mine, x = load(f"llama={tmp_path}", tiny("llama")), inputs()
    v = {name: t.double() for name, t in w.items()}
    p = x.double() * (D**0.5 / 4.0) @ v["encoder.weight"].T + v["encoder.bias"]
    codes = p.relu() * ((p * v["decoder.weight"].norm(dim=0) if by_norm else p) > 1.5)
    check(mine, x, codes, (codes @ v["decoder.weight"].T + v["decoder.bias"]) / (D**0.5 / 2.5))
    assert (mine.facts.hook_in, mine.facts.hook_out) == ("mlp_normalized.1", "mlp_out.1")


# circuit-tracer


@pytest.mark.parametrize(("activation", "skip"), [("relu", False), ("jump_relu", True), ("topk", False)])
def test_circuit_tracer_per_layer(activation: str, skip: bool, tiny: Tiny, tmp_path: Path) -> None:
    layers = []
    for layer in range(LAYERS):
        g = torch.Generator().manual_seed(layer)
        shapes = {"W_enc": (F, D), "W_dec": (F, D), "b_enc": (F,), "b_dec": (D,)}
        w = {name: torch.randn(shape, generator=g) for name, shape in shapes.items()}
        w["b_enc"] += 2 if activation == "topk" else 0  # so that the k largest are positive, see below
        if activation == "jump_relu":
            w["activation_function.threshold"] = torch.rand(F, generator=g)
        if skip:
            w["W_skip"] = torch.randn(D, D, generator=g)
        save_file(w, tmp_path / f"layer_{layer}.safetensors")
        layers.append({name: t.double() for name, t in w.items()})
    config = {"model_kind": "transcoder_set", "feature_input_hook": "mlp.hook_in", "feature_output_hook": "mlp.hook_out"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**config, "activation": activation, "k": K}))
    dictionaries, x = load_all([f"set={tmp_path}"], tiny("llama")), inputs()
    assert [d.facts.name for d in dictionaries] == ["set.0", "set.1", "set.2"]
    for layer, (mine, w) in enumerate(zip(dictionaries, layers, strict=True)):
        p = x.double() @ w["W_enc"].T + w["b_enc"]
        gate = {"relu": p > 0, "jump_relu": p > w.get("activation_function.threshold", 0), "topk": top(p, K) != 0}[activation]
        codes = p * gate
        assert (codes >= 0).all()
        decoded = codes @ w["W_dec"] + w["b_dec"]
        check(mine, x, codes, decoded, decoded + x.double() @ w["W_skip"].T if skip else None)
        assert (mine.facts.hook_in, mine.facts.hook_out) == (f"mlp_in.{layer}", f"mlp_out.{layer}")
    one = load(str(tmp_path / "layer_1.safetensors"), tiny("llama"))
    assert one.facts.hook_out == "mlp_out.1" and one.facts.name == "layer_1"
    with pytest.raises(UserError, match="holds 3 dictionaries, one a layer"):
        load(str(tmp_path), tiny("llama"))
    with pytest.raises(UserError, match="a norm follows"):
        load_all([str(tmp_path)], tiny("gemma2"))


@pytest.mark.parametrize("jumps", [True, False])
def test_circuit_tracer_cross_layer(jumps: bool, tiny: Tiny, tmp_path: Path) -> None:
    g = torch.Generator().manual_seed(5)
    written = make_cross_layer(
        "clt",
        [torch.randn(F, D, generator=g) for _ in range(LAYERS)],
        [torch.randn(F, generator=g) for _ in range(LAYERS)],
        [torch.randn(F, LAYERS - i, D, generator=g) for i in range(LAYERS)],
        [torch.randn(D, generator=g) for _ in range(LAYERS)],
        threshold=[torch.rand(F, generator=g) for _ in range(LAYERS)] if jumps else None,
    )
    save_cross_layer(written, tmp_path / "clt", model_name="tiny")
    loaded = load_all([str(tmp_path / "clt")], tiny("llama"))
    parts = [d for d in loaded if isinstance(d, CrossLayerPart)]
    assert [d.facts.name for d in parts] == ["clt.0", "clt.1", "clt.2"]
    assert parts[0].facts.hooks_out == ("mlp_out.0", "mlp_out.1", "mlp_out.2") and parts[2].facts.hooks_out == ("mlp_out.2",)
    assert len({d.facts.whole for d in parts}) == 1 and len({d.facts.weights_hash for d in parts}) == 3
    x = {f"resid_mid.{layer}": inputs() + layer for layer in range(LAYERS)}
    theirs, mine = written.forward(x), CrossLayerTranscoder(parts).forward(x)
    for hook, out in theirs.items():
        torch.testing.assert_close(mine[hook], out)
    for layer, part in enumerate(parts):
        rows = x[f"resid_mid.{layer}"]
        w = {name: t.double() for name, t in written.parts[layer].weights.items()}
        p = rows.double() @ w["W_enc"] + w["b_enc"]
        codes = p.relu() * (p > w["threshold"]) if jumps else p.relu()
        check(part, rows, codes, codes @ w["W_dec"] + w["b_dec"])
    one = load(str(tmp_path / "clt" / "W_enc_1.safetensors"), tiny("llama"))
    torch.testing.assert_close(one.encode(x["resid_mid.1"]), parts[1].encode(x["resid_mid.1"]))
    assert one.facts.hooks_out == ("mlp_out.1", "mlp_out.2") and not one.facts.reconstructs
