"""Writing dictionaries: single ones in SAELens' format, cross-layer transcoders in circuit-tracer's.

Files are written under other names and renamed, the config last, so that a folder with a config is complete.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from dragoman.store.errors import UserError
from dragoman.tools.hooks import parse_hook_point

from .coder import Coder
from .crosslayer import CrossLayerTranscoder

SAELENS_VERSION = "6.54.12"
"""The version whose layout is written."""
_ARCHITECTURES = {
    ("relu", False, False): "standard",
    ("jumprelu", False, False): "jumprelu",
    ("topk", False, False): "topk",
    ("gated", False, False): "gated",
    ("relu", True, False): "transcoder",
    ("relu", True, True): "skip_transcoder",
    ("jumprelu", True, False): "jumprelu_transcoder",
    ("jumprelu", True, True): "jumprelu_skip_transcoder",
}
"""By activation, whether it is a transcoder, and whether it has a skip connection."""


def save_saelens(
    dictionary: Coder,
    folder: Path | str,
    *,
    model_name: str = "",
    dtype: torch.dtype = torch.float32,
    metadata: Mapping[str, object] | None = None,
) -> None:
    """Write cfg.json and sae_weights.safetensors, which sae-lens itself reads.

    Args:
        dictionary: an autoencoder, transcoder or skip transcoder.
        folder: made if it is not there.
        model_name: the model it was trained on, for whoever reads it.
        dtype: of the weights in the file.
        metadata: more facts to keep in the config, such as training settings.

    Raises:
        UserError: SAELens has no such architecture (a top-k transcoder, groupmax).
    """
    recipe, facts, weights = dictionary.recipe, dictionary.facts, dictionary.weights
    transcoder = facts.hook_in != facts.hook_out
    skip = "W_skip" in weights
    architecture = _ARCHITECTURES.get((recipe.activation, transcoder or skip, skip))
    undone = recipe.undo_normalization and recipe.normalization != "none"
    if architecture is None or (transcoder and (recipe.subtract_b_dec or undone)):
        raise UserError(
            f"{facts.name} ({facts.architecture}) cannot be saved in SAELens' format, which has "
            f"{', '.join(_ARCHITECTURES.values())}: train a transcoder with ReLU, JumpReLU or BatchTopK."
        )
    if recipe.scale_in != 1 or recipe.scale_out != 1:
        weights["W_enc"] = weights["W_enc"] * recipe.scale_in
        weights["W_dec"], weights["b_dec"] = weights["W_dec"] / recipe.scale_out, weights["b_dec"] / recipe.scale_out
    point_in, point_out = parse_hook_point(facts.hook_in), parse_hook_point(facts.hook_out)
    config: dict[str, object] = {
        "architecture": architecture,
        "d_in": dictionary.d_in,
        "d_sae": dictionary.width,
        "dtype": str(dtype).removeprefix("torch."),
        "device": "cpu",
        "apply_b_dec_to_input": recipe.subtract_b_dec,
        "normalize_activations": recipe.normalization,
        "reshape_activations": "hook_z" if point_in.kind == "z" else "none",
        "metadata": {
            "sae_lens_version": SAELENS_VERSION,
            "model_name": model_name,
            "hook_name": point_in.lens_name,
            "hook_head_index": None,
            **({"hook_name_out": point_out.lens_name} if transcoder or skip else {}),
            "prepend_bos": facts.prepend_bos,
            "context_size": facts.context_size,
            "exclude_special_tokens": list(facts.excluded_ids) or True,
            **({"model_from_pretrained_kwargs": {"center_writing_weights": True}} if recipe.centred else {}),
            **(metadata or {}),
        },
    }
    if transcoder or skip:
        config["d_out"] = dictionary.d_out
    if recipe.activation == "topk":
        config |= {"k": recipe.k, "rescale_acts_by_decoder_norm": recipe.rescale_by_decoder_norm}
    folder = _folder(folder)
    _write(folder / "sae_weights.safetensors", weights, dtype)
    _write_text(folder / "cfg.json", json.dumps(config, indent=2) + "\n")


def save_cross_layer(
    transcoder: CrossLayerTranscoder,
    folder: Path | str,
    *,
    model_name: str = "",
    dtype: torch.dtype = torch.float32,
    metadata: Mapping[str, object] | None = None,
) -> None:
    """Write config.yaml and, for each layer i, W_enc_i.safetensors and W_dec_i.safetensors, which circuit-tracer itself reads.

    Args:
        transcoder: ReLU or JumpReLU.
        folder: made if it is not there.
        model_name: the model it was trained on.
        dtype: of the weights in the files.
        metadata: more facts to keep in the config, such as training settings.

    Raises:
        UserError: circuit-tracer has no such activation function.
    """
    first = transcoder.parts[0]
    if first.recipe.activation not in ("relu", "jumprelu"):
        raise UserError(
            f"A cross-layer transcoder with {first.recipe.activation} cannot be saved: circuit-tracer has no such one."
        )
    import yaml

    folder = _folder(folder)
    for i, part in enumerate(transcoder.parts):
        weights = part.weights
        encoder = {f"W_enc_{i}": weights["W_enc"].T, f"b_enc_{i}": weights["b_enc"], f"b_dec_{i}": weights["b_dec"]}
        if "threshold" in weights:
            encoder[f"threshold_{i}"] = weights["threshold"]
        _write(folder / f"W_enc_{i}.safetensors", encoder, dtype)
        _write(folder / f"W_dec_{i}.safetensors", {f"W_dec_{i}": part.decoders}, dtype)
    config: dict[str, object] = {
        "model_kind": "cross_layer_transcoder",
        "model_name": model_name,
        "feature_input_hook": parse_hook_point(first.facts.hook_in).lens_suffix,
        "feature_output_hook": parse_hook_point(first.facts.hook_out).lens_suffix,
        "scan": model_name,
        "prepend_bos": first.facts.prepend_bos,
        "context_size": first.facts.context_size,
        **(metadata or {}),
    }
    _write_text(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False))


def _folder(folder: Path | str) -> Path:
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made ({error.strerror}): give another folder.") from None
    return folder


def _write(file: Path, weights: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    from safetensors.torch import save_file

    partial = file.with_suffix(".partial")
    save_file({name: w.detach().to(device="cpu", dtype=dtype).contiguous().clone() for name, w in weights.items()}, partial)
    partial.replace(file)


def _write_text(file: Path, text: str) -> None:
    partial = file.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(file)
