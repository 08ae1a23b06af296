"""What is saved is read by the peer library itself, and by us, with equal outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from dragoman.store.errors import UserError
from dragoman.tools.dictionaries import (
    Coder,
    CrossLayerTranscoder,
    Recipe,
    decode_at,
    forward,
    load,
    make_coder,
    make_cross_layer,
    save_cross_layer,
    save_saelens,
    skip_term,
)
from dragoman.tools.forward import measure_fit
from dragoman.tools.subject import Subject

Tiny = Callable[[str], Subject]
sae_lens = pytest.importorskip("sae_lens")
D, F, LAYERS = 16, 40, 3


def weights(**more: tuple[int, ...]) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(3)
    shapes = {"W_enc": (D, F), "W_dec": (F, D), "b_enc": (F,), "b_dec": (D,), **more}
    return {name: torch.randn(shape, generator=g) for name, shape in shapes.items()}


def inputs(layers: int = 1) -> torch.Tensor:
    return torch.randn(layers, 30, D, generator=torch.Generator().manual_seed(4)) * 2 + 0.5


@pytest.mark.parametrize(
    ("recipe", "more", "hooks"),
    [
        (Recipe("relu", subtract_b_dec=True), {}, ("resid_post.1", "resid_post.1")),
        (Recipe("topk", k=4, subtract_b_dec=True, rescale_by_decoder_norm=True), {}, ("resid_pre.2", "resid_pre.2")),
        (Recipe("topk", k=4, normalization="layer_norm"), {}, ("z.2", "z.2")),
        (Recipe("jumprelu", scale_in=0.3, scale_out=0.3), {"threshold": (F,)}, ("mlp_out.0", "mlp_out.0")),
        (Recipe("relu"), {}, ("mlp_in.1", "mlp_out.1")),
        (Recipe("relu"), {"W_skip": (D, D)}, ("mlp_normalized.1", "mlp_out.1")),
        (Recipe("jumprelu"), {"threshold": (F,)}, ("resid_mid.1", "mlp_out.1")),
        (Recipe("jumprelu"), {"threshold": (F,), "W_skip": (D, D)}, ("mlp_in.1", "mlp_out.1")),
    ],
)
def test_saelens_reads_what_is_saved(
    recipe: Recipe, more: dict[str, tuple[int, ...]], hooks: tuple[str, str], tiny: Tiny, tmp_path: Path
) -> None:
    mine = make_coder("mine", *hooks, recipe, weights(**more), context_size=64, prepend_bos=True)
    save_saelens(mine, tmp_path / "sae", model_name="tiny", metadata={"steps": 7})
    theirs: Any = sae_lens.SAE.load_from_disk(tmp_path / "sae")
    x = inputs()[0]
    given = x.view(len(x), 4, D // 4) if hooks[0].startswith("z") else x
    with torch.no_grad():
        codes, out = theirs.encode(given), theirs.forward(given)
    out = out.reshape(len(x), D)
    again = load(str(tmp_path / "sae"), tiny("llama"))
    for dictionary in (mine, again):
        torch.testing.assert_close(dictionary.encode(x), codes, rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(forward(dictionary, x), out, rtol=1e-5, atol=1e-3)
    assert (codes > 0).any()
    assert (again.facts.hook_in, again.facts.hook_out) == hooks
    assert again.facts.context_size == 64 and again.facts.skip == ("W_skip" in more)
    assert theirs.cfg.metadata.steps == 7 and theirs.cfg.metadata.model_name == "tiny"
    skip = skip_term(again, x)
    assert (skip is None) == ("W_skip" not in more)
    if skip is not None:
        w = weights(**more)["W_skip"]
        torch.testing.assert_close(skip, (x.double() @ w.double().T).float(), rtol=1e-5, atol=1e-4)
        with torch.no_grad():
            torch.testing.assert_close(again.decode(codes, x), theirs.decode(codes), rtol=1e-5, atol=1e-3)


def test_a_skip_transcoder_is_measured_against_the_mlp_output() -> None:
    mine = make_coder("skip", "mlp_in.1", "mlp_out.1", Recipe("relu"), weights(W_skip=(D, D)))
    x, y = inputs(2)
    fit = measure_fit([mine], {"mlp_in.1": x, "mlp_out.1": y})
    w = {name: tensor.double() for name, tensor in weights(W_skip=(D, D)).items()}
    a = torch.relu(x.double() @ w["W_enc"] + w["b_enc"])
    residual = (y.double() - a @ w["W_dec"] - w["b_dec"] - x.double() @ w["W_skip"].T).square().sum()
    variance = (y.double() - y.double().mean(0)).square().sum()
    assert fit.unexplained == pytest.approx(float(residual / variance), rel=1e-4)


def cross_layer(jump: bool = True) -> CrossLayerTranscoder:
    g = torch.Generator().manual_seed(5)
    return make_cross_layer(
        "clt",
        [torch.randn(F, D, generator=g) for _ in range(LAYERS)],
        [torch.randn(F, generator=g) for _ in range(LAYERS)],
        [torch.randn(F, LAYERS - i, D, generator=g) for i in range(LAYERS)],
        [torch.randn(D, generator=g) for _ in range(LAYERS)],
        threshold=[torch.rand(F, generator=g) for _ in range(LAYERS)] if jump else None,
        context_size=64,
        prepend_bos=True,
    )


@pytest.mark.parametrize("jump", [True, False])
def test_cross_layer_transcoder(jump: bool) -> None:
    """Against y_l = sum of a_l' W_dec_l'[:, l - l'] + b_dec_l in float64."""
    clt, x = cross_layer(jump), inputs(LAYERS)
    named = {f"resid_mid.{layer}": x[layer] for layer in range(LAYERS)}
    out = clt.forward(named)
    activations = []
    for part, rows in zip(clt.parts, x.double(), strict=True):
        w = part.weights
        p = rows @ w["W_enc"].double() + w["b_enc"].double()
        activations.append(p.relu() * (p > w["threshold"].double()) if jump else p.relu())
    for layer in range(LAYERS):
        wanted = clt.parts[layer].weights["b_dec"].double()
        for below in range(layer + 1):
            wanted = wanted + activations[below] @ clt.parts[below].decoders[:, layer - below].double()
        torch.testing.assert_close(out[f"mlp_out.{layer}"].double(), wanted, rtol=1e-5, atol=1e-4)
        shares = [
            decode_at(part, f"mlp_out.{layer}", a.float(), named[part.facts.hook_in])
            for part, a in zip(clt.parts[: layer + 1], activations, strict=False)
        ]
        torch.testing.assert_close(torch.stack(shares).sum(0).double(), wanted, rtol=1e-5, atol=1e-4)
        codes = clt.parts[layer].encode_sparse(x[layer])
        assert len(codes.value) == int((activations[layer] > 0).sum())
    first = clt.parts[0]
    assert first.facts.hooks_out == ("mlp_out.0", "mlp_out.1", "mlp_out.2") and first.facts.name == "clt.0"
    torch.testing.assert_close(first.directions, first.decoders.sum(1))
    # all parts together are measured at a layer, one by itself is not
    fit = measure_fit(clt.parts[:2], {**named, "mlp_out.1": out["mlp_out.1"]})
    assert fit.unexplained == pytest.approx(0, abs=1e-9)


def test_cross_layer_files_are_in_circuit_tracers_layout(tmp_path: Path) -> None:
    clt = cross_layer()
    save_cross_layer(clt, tmp_path / "clt", model_name="tiny", metadata={"steps": 7})
    config = yaml.safe_load((tmp_path / "clt" / "config.yaml").read_text())
    assert config["model_kind"] == "cross_layer_transcoder" and config["model_name"] == "tiny" and config["steps"] == 7
    assert (config["feature_input_hook"], config["feature_output_hook"]) == ("hook_resid_mid", "hook_mlp_out")
    for i, part in enumerate(clt.parts):
        encoder = load_file(tmp_path / "clt" / f"W_enc_{i}.safetensors")
        assert set(encoder) == {f"W_enc_{i}", f"b_enc_{i}", f"b_dec_{i}", f"threshold_{i}"}
        assert encoder[f"W_enc_{i}"].shape == (F, D)
        torch.testing.assert_close(encoder[f"W_enc_{i}"], part.weights["W_enc"].T)
        decoder = load_file(tmp_path / "clt" / f"W_dec_{i}.safetensors")[f"W_dec_{i}"]
        assert decoder.shape == (F, LAYERS - i, D)
        torch.testing.assert_close(decoder, part.decoders)


def test_what_cannot_be_saved_or_made_is_one_clear_sentence(tiny: Tiny, tmp_path: Path) -> None:
    topk = make_coder("t", "mlp_in.1", "mlp_out.1", Recipe("topk", k=3), weights())
    with pytest.raises(UserError, match="cannot be saved in SAELens' format"):
        save_saelens(topk, tmp_path / "sae")
    with pytest.raises(UserError, match="b_enc has shape"):
        make_coder("t", "mlp_in.1", "mlp_out.1", Recipe("relu"), {**weights(), "b_enc": torch.zeros(3)})
    with pytest.raises(UserError, match="W_dec holds NaN"):
        broken = weights()
        broken["W_dec"][3, 3] = float("nan")
        make_coder("t", "mlp_in.1", "mlp_out.1", Recipe("relu"), broken)
    with pytest.raises(UserError, match="W_dec of layer 0 has shape"):
        make_cross_layer("c", [torch.ones(F, D)] * 2, [torch.ones(F)] * 2, [torch.ones(F, 1, D)] * 2, [torch.ones(D)] * 2)
    saved = tmp_path / "file"
    saved.write_text("")
    mine: Coder = make_coder("s", "resid_post.1", "resid_post.1", Recipe("relu"), weights())
    with pytest.raises(UserError, match="cannot be made"):
        save_saelens(mine, saved)
    save_saelens(mine, tmp_path / "good")
    whole = {name: t.clone() for name, t in load_file(tmp_path / "good" / "sae_weights.safetensors").items()}
    save_file({**whole, "W_enc": whole["W_enc"] * float("inf")}, tmp_path / "good" / "sae_weights.safetensors")
    with pytest.raises(UserError, match="W_enc holds NaN or infinity"):
        load(str(tmp_path / "good"), tiny("llama"))
