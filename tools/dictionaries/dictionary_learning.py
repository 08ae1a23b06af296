"""Dictionaries in dictionary_learning's format: `trainer_i/` with ae.pt (a state dict) and config.json.

1. AutoEncoder: relu((x - bias) W^T + b); y = a W_dec + bias. As its own loader does, decoder rows are brought to norm 1 and
   activations multiplied by the norms they had. AutoEncoderNew: relu(x W^T + b), no bias subtracted, rows as they are.
2. GatedAutoEncoder: as SAELens' gated, with decoder_bias, gate_bias, mag_bias.
3. AutoEncoderTopK: the k largest of each token. BatchTopKSAE, MatryoshkaBatchTopKSAE: relu(p) where it exceeds one threshold.
4. JumpReluAutoEncoder: a threshold for each feature; b_dec is not subtracted.
"""

from __future__ import annotations

import logging
import re
from typing import Any

import torch
from torch import Tensor

from dragoman.store.errors import UserError
from dragoman.tools.fingerprint import files_hash

from .coder import Coder, Recipe, check_weights
from .dictionary import DictionaryFacts
from .files import read_json, read_pt, tensors_of
from .request import Request

log = logging.getLogger(__name__)

CONFIG, WEIGHTS = "config.json", "ae.pt"
CLASSES = (
    "AutoEncoder",
    "AutoEncoderNew",
    "GatedAutoEncoder",
    "AutoEncoderTopK",
    "BatchTopKSAE",
    "MatryoshkaBatchTopKSAE",
    "JumpReluAutoEncoder",
)
_PLACES = {"resid_pre": "resid_pre", "resid_post": "resid_post", "mlp_out": "mlp_out", "attn_out": "attn_out"}
_PLACES |= {"attention_out": "attn_out", "resid_mid": "resid_mid"}


def load_dictionary_learning(request: Request) -> Coder:
    """Load a trainer's folder.

    Raises:
        UserError: files missing, corrupt or of the wrong shapes, or nothing says the class or the hook point.
    """
    folder = request.folder
    file, config_file = folder / WEIGHTS, folder / CONFIG
    raw = read_pt(file)
    config = read_json(config_file) if config_file.is_file() else {}
    trainer = config.get("trainer") if isinstance(config.get("trainer"), dict) else {}
    assert isinstance(trainer, dict)
    kind = trainer.get("dict_class") or _class_of(raw)
    if kind not in CLASSES:
        raise UserError(
            f"{folder} does not say which class it is ({kind!r} is not known): {CONFIG} must hold trainer.dict_class, one of "
            f"{', '.join(CLASSES)}."
        )
    recipe, weights = _weights(kind, raw, trainer, file)
    check_weights(weights, recipe, file)
    if kind == "AutoEncoder":
        weights = _unit_rows(weights)
    hook_in, hook_out = request.hooks(_hook(trainer, request))
    buffer = config.get("buffer") if isinstance(config.get("buffer"), dict) else {}
    assert isinstance(buffer, dict)
    length = buffer.get("ctx_len")
    facts = DictionaryFacts(
        name=request.name,
        source=request.source,
        format="dictionary_learning",
        architecture=kind,
        hook_in=hook_in,
        hook_out=hook_out,
        weights_hash=files_hash([f for f in (config_file, file) if f.is_file()]),
        context_size=length if isinstance(length, int) and length > 1 else None,
        dtype=str(raw.get("encoder.weight", raw.get("W_enc")).dtype).removeprefix("torch."),  # type: ignore[union-attr]
    )
    return Coder(facts, recipe, weights)


def _weights(kind: str, raw: dict[str, Any], trainer: dict[str, Any], file: Any) -> tuple[Recipe, dict[str, Tensor]]:
    if kind in ("MatryoshkaBatchTopKSAE", "JumpReluAutoEncoder"):
        w_enc, b_enc, w_dec, b_dec, threshold = tensors_of(raw, file, "W_enc", "b_enc", "W_dec", "b_dec", "threshold")
        weights = {"W_enc": w_enc, "b_enc": b_enc, "W_dec": w_dec, "b_dec": b_dec, "threshold": _each(threshold, b_enc)}
        return Recipe("jumprelu", subtract_b_dec=kind != "JumpReluAutoEncoder"), weights
    bias = {"AutoEncoder": "bias", "AutoEncoderNew": "decoder.bias", "GatedAutoEncoder": "decoder_bias"}.get(kind, "b_dec")
    encoder, decoder, b_dec = tensors_of(raw, file, "encoder.weight", "decoder.weight", bias)
    weights = {"W_enc": encoder.mT, "W_dec": decoder.mT, "b_dec": b_dec}
    if kind == "GatedAutoEncoder":
        weights["b_gate"], weights["b_mag"], weights["r_mag"] = tensors_of(raw, file, "gate_bias", "mag_bias", "r_mag")
        return Recipe("gated", subtract_b_dec=True), weights
    (weights["b_enc"],) = tensors_of(raw, file, "encoder.bias")
    if kind == "BatchTopKSAE":
        (threshold,) = tensors_of(raw, file, "threshold")
        weights["threshold"] = _each(threshold, weights["b_enc"])
        return Recipe("jumprelu", subtract_b_dec=True), weights
    if kind == "AutoEncoderTopK":
        k = int(raw["k"]) if "k" in raw else int(trainer.get("k") or 0)
        return Recipe("topk", k=k, subtract_b_dec=True), weights
    return Recipe("relu", subtract_b_dec=kind == "AutoEncoder"), weights


def _each(threshold: Tensor, like: Tensor) -> Tensor:
    """One threshold for every feature."""
    return threshold.reshape(1).expand(len(like)) if threshold.numel() == 1 else threshold


def _unit_rows(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    norms = weights["W_dec"].norm(dim=-1)
    if torch.allclose(norms, torch.ones_like(norms)):
        return weights
    norms = norms.clamp(min=1e-8)
    return {
        "W_enc": weights["W_enc"] * norms,
        "b_enc": weights["b_enc"] * norms,
        "W_dec": weights["W_dec"] / norms[:, None],
        "b_dec": weights["b_dec"],
    }


def _class_of(raw: dict[str, Any]) -> str | None:
    """The class, where the names of the tensors decide it (top-k and batch top-k have the same)."""
    names = set(raw)
    if "group_sizes" in names:
        return "MatryoshkaBatchTopKSAE"
    if {"decoder_bias", "r_mag"} <= names:
        return "GatedAutoEncoder"
    if {"encoder.weight", "bias"} <= names:
        return "AutoEncoder"
    if {"encoder.weight", "decoder.bias"} <= names:
        return "AutoEncoderNew"
    return "JumpReluAutoEncoder" if {"W_enc", "threshold"} <= names and "k" not in names else None


def _hook(trainer: dict[str, Any], request: Request) -> str | None:
    name = trainer.get("submodule_name") or ""
    found = re.search(r"([a-z_]+?)_layer_(\d+)", str(name)) or re.search(r"([a-z_]+?)_layer_(\d+)", request.place)
    if found and found[1] in _PLACES:
        return f"{_PLACES[found[1]]}.{found[2]}"
    layer = trainer.get("layer")
    if isinstance(layer, int) and not name:
        if not request.hook:
            log.warning(
                "%s says only layer %d; taken as resid_post.%d. Add @HOOK to the spec if it is another place.",
                request.path,
                layer,
                layer,
            )
        return f"resid_post.{layer}"
    return None
