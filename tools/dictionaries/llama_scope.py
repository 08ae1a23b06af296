"""Llama Scope: `hyperparams.json` with `checkpoints/final.safetensors`.

encoder.weight [F, d], decoder.weight [d, F], encoder.bias, decoder.bias. Activations were scaled to a mean norm of sqrt(d), by
sqrt(d) / dataset_average_activation_norm: `in` for the input, `out` for the output. p = s x W^T + b; relu(p) where p exceeds
the one jump_relu_threshold (p * |W_dec| with sparsity_include_decoder_norm, as in the library that trained them; scaled units);
y = (a W_dec + b_dec) / s_out. Not covered: gated linear encoders, and norms other than those of the whole data set.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from dragoman.store.errors import UserError
from dragoman.tools.fingerprint import files_hash

from .coder import Activation, Coder, Recipe, architecture, check_weights
from .dictionary import DictionaryFacts
from .files import read_json, read_safetensors, tensors_of
from .request import Request

CONFIG, WEIGHTS = "hyperparams.json", "checkpoints/final.safetensors"
_ACTIVATIONS: dict[str, Activation] = {"jumprelu": "jumprelu", "topk": "topk", "relu": "relu"}


def load_llama_scope(request: Request) -> Coder:
    """Load one Llama Scope folder.

    Raises:
        UserError: files missing, corrupt or of the wrong shapes, or something in the config is not supported.
    """
    config_file, file = request.folder / CONFIG, request.folder / WEIGHTS
    config = read_json(config_file)
    raw = read_safetensors(file)
    w_enc, b_enc, w_dec = tensors_of(raw, file, "encoder.weight", "encoder.bias", "decoder.weight")
    biased = config.get("use_decoder_bias", "decoder.bias" in raw)
    b_dec = tensors_of(raw, file, "decoder.bias")[0] if biased else torch.zeros(len(w_dec))
    weights = {"W_enc": w_enc.mT, "b_enc": b_enc, "W_dec": w_dec.mT, "b_dec": b_dec}
    recipe = _recipe(config, config_file, weights["W_enc"].shape[0], len(b_dec))
    by_norm = bool(config.get("sparsity_include_decoder_norm"))
    if recipe.activation == "jumprelu":
        threshold = torch.tensor(float(config["jump_relu_threshold"])).expand(len(b_enc))
        weights["threshold"] = threshold / weights["W_dec"].norm(dim=-1).clamp(min=1e-8) if by_norm else threshold
    elif recipe.activation == "topk" and by_norm:
        raise UserError(f"{config_file}: top-k by decoder norm is not supported; published Llama Scope files are jumprelu.")
    check_weights(weights, recipe, file)
    found_in, found_out = config.get("hook_point_in"), config.get("hook_point_out")
    hook_in, hook_out = request.hooks(found_in, found_out)
    facts = DictionaryFacts(
        name=request.name,
        source=request.source,
        format="llama_scope",
        architecture=architecture(recipe.activation, hook_in != hook_out, False),
        hook_in=hook_in,
        hook_out=hook_out,
        weights_hash=files_hash([config_file, file]),
        context_size=1024,
        prepend_bos=True,
        dtype=str(raw["decoder.weight"].dtype).removeprefix("torch."),
    )
    return Coder(facts, recipe, weights)


def _recipe(config: dict[str, Any], file: Path, d_in: int, d_out: int) -> Recipe:
    activation = _ACTIVATIONS.get(str(config.get("act_fn", "jumprelu")).lower())
    norm = config.get("norm_activation", "dataset-wise")
    if activation is None or config.get("use_glu_encoder") or norm not in ("dataset-wise", "inference"):
        raise UserError(
            f"{file}: only jumprelu, topk and relu with dataset-wise normalisation and without a gated encoder are supported."
        )
    if activation == "jumprelu" and not isinstance(config.get("jump_relu_threshold"), (int, float)):
        raise UserError(f"{file} lacks jump_relu_threshold.")
    scale_in = scale_out = 1.0
    if norm == "dataset-wise":
        norms = config.get("dataset_average_activation_norm")
        try:
            scale_in = d_in**0.5 / float(norms["in"])  # type: ignore[index]
            scale_out = d_out**0.5 / float(norms.get("out", norms["in"]))  # type: ignore[union-attr, index]
        except (TypeError, KeyError, ValueError, ZeroDivisionError, AttributeError):
            raise UserError(f"{file}: dataset_average_activation_norm must hold the norms `in` and `out`.") from None
    return Recipe(
        activation,
        k=int(config.get("top_k") or 0) if activation == "topk" else 0,
        subtract_b_dec=bool(config.get("apply_decoder_bias_to_pre_encoder")) and bool(config.get("use_decoder_bias", True)),
        scale_in=scale_in,
        scale_out=scale_out,
    )
