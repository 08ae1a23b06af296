"""circuit-tracer's transcoders: per-layer ones (`layer_i.safetensors`) and cross-layer ones (`W_enc_i`, `W_dec_i.safetensors`).

- Per layer: W_enc [F, d], W_dec [F, d], b_enc, b_dec, activation_function.threshold [F] for JumpReLU, W_skip [d, d].
- Cross-layer: {W_enc_i [F, d], b_enc_i, b_dec_i, threshold_i} and {W_dec_i [F, L - i, d]}, see crosslayer.py.
- config.yaml: feature_input_hook and feature_output_hook (TransformerLens' names within a block), activation, k.

A folder gives a dictionary for each layer, the file of one layer gives that one. circuit-tracer's top-k keeps negative values
where fewer than k are positive, and its JumpReLU those above a negative threshold; a feature here is never negative, so they are
dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from dragoman.store.errors import UserError
from dragoman.tools.fingerprint import files_hash, tensors_hash

from .coder import Coder, Recipe, all_finite, architecture, check_weights
from .crosslayer import CrossLayerPart
from .dictionary import DictionaryFacts
from .files import as_float, read_safetensors, read_yaml, tensors_of
from .request import UNKNOWN, Request

CONFIG = "config.yaml"
_LAYER = re.compile(r"layer_(\d+)\.safetensors")
_ENCODER = re.compile(r"W_enc_(\d+)\.safetensors")
_DECODER = re.compile(r"W_dec_(\d+)\.safetensors")


def per_layer_files(names: Iterable[str]) -> list[str]:
    """The files of per-layer transcoders among these, by layer."""
    return _by_layer(names, _LAYER)


def cross_layer_files(names: Iterable[str]) -> list[str]:
    """The files of a cross-layer transcoder among these."""
    names = list(names)
    return _by_layer(names, _ENCODER) + _by_layer(names, _DECODER)


def files_of_layer(names: Iterable[str], file: str) -> list[str]:
    """What is needed of these files for the layer of one of them."""
    layer = _number(Path(file))
    return [n for n in names if n == CONFIG or _number(Path(n)) == layer]


def load_per_layer(request: Request) -> list[Coder]:
    """Load the transcoders of a folder, or of the one file named.

    Raises:
        UserError: files missing, corrupt or of the wrong shapes, or nothing says the hook points.
    """
    config = _config(request)
    if request.path.is_file():
        return [_per_layer(request, request.path, request.name, config)]
    files = [request.path / name for name in per_layer_files(f.name for f in request.path.iterdir())]
    if request.hook and len(files) > 1:
        raise UserError(f"{request.source} holds {len(files)} layers, so @HOOK cannot be given for all: name one file.")
    return [_per_layer(request, file, f"{request.name}.{_number(file)}", config) for file in files]


def load_cross_layer(request: Request) -> list[CrossLayerPart]:
    """Load the parts of a cross-layer transcoder, one a layer, or the one whose W_enc file is named; files are read once.

    Raises:
        UserError: files missing, corrupt or of the wrong shapes, or nothing says the hook points.
    """
    config = _config(request)
    if request.path.is_file():
        part = _part(request, config, _number(request.path), None)
        part.facts = replace(part.facts, name=request.name, reconstructs=part.facts.part == 0)
        return [part]
    layers = [_number(Path(name)) for name in _by_layer((f.name for f in request.path.iterdir()), _ENCODER)]
    if layers != list(range(len(layers))):
        raise UserError(f"{request.path} lacks the encoders of some layers: it has those of {layers}.")
    parts = [_part(request, config, layer, len(layers)) for layer in layers]
    whole = tensors_hash({str(n): part.facts.weights_hash for n, part in enumerate(parts)})
    for part in parts:
        part.facts = replace(part.facts, whole=whole)
    return parts


def _per_layer(request: Request, file: Path, name: str, config: dict[str, Any]) -> Coder:
    raw = read_safetensors(file)
    w_enc, b_enc, w_dec, b_dec = tensors_of(raw, file, "W_enc", "b_enc", "W_dec", "b_dec")
    weights = {"W_enc": w_enc.mT, "b_enc": b_enc, "W_dec": w_dec, "b_dec": b_dec}
    if "W_skip" in raw:
        weights["W_skip"] = as_float(raw["W_skip"])
    k = int(raw["k"]) if "k" in raw else _k(config, file)
    if "activation_function.threshold" in raw:
        weights["threshold"] = as_float(raw["activation_function.threshold"]).reshape(-1).expand(len(b_enc))
    recipe = _recipe("threshold" in weights, k)
    check_weights(weights, recipe, file)
    hook_in, hook_out = _hooks(request, config, _number(file))
    facts = DictionaryFacts(
        name=name,
        source=request.source_of(file.name),
        format="circuit_tracer",
        architecture=architecture(recipe.activation, True, "W_skip" in weights),
        hook_in=hook_in,
        hook_out=hook_out,
        weights_hash=files_hash([file]),
        context_size=_context(config),
        prepend_bos=_bos(config),
        skip="W_skip" in weights,
        dtype=str(raw["W_dec"].dtype).removeprefix("torch."),
    )
    return Coder(facts, recipe, weights)


def _part(request: Request, config: dict[str, Any], layer: int, layers: int | None) -> CrossLayerPart:
    """One part; without the number of `layers` its decoders say it."""
    enc_file, dec_file = (request.folder / f"W_{side}_{layer}.safetensors" for side in ("enc", "dec"))
    encoder, raw = read_safetensors(enc_file), read_safetensors(dec_file)
    w_enc, b_enc, b_dec = tensors_of(encoder, enc_file, f"W_enc_{layer}", f"b_enc_{layer}", f"b_dec_{layer}")
    (decoders,) = tensors_of(raw, dec_file, f"W_dec_{layer}")
    if layers is None and decoders.ndim == 3:
        layers = layer + decoders.shape[1]
    if layers is None or decoders.ndim != 3 or decoders.shape[1] != layers - layer:
        raise UserError(
            f"{dec_file}: W_dec_{layer} has shape {tuple(decoders.shape)}; it must be (features, layers from {layer} on, d)"
            f"{f', of {layers} layers' if layers else ''}."
        )
    if not all_finite(decoders):
        raise UserError(f"{dec_file}: W_dec_{layer} holds NaN or infinity: the file is damaged, or training diverged.")
    weights = {"W_enc": w_enc.mT, "b_enc": b_enc, "W_dec": decoders[:, 0], "b_dec": b_dec}
    if f"threshold_{layer}" in encoder:
        weights["threshold"] = as_float(encoder[f"threshold_{layer}"]).reshape(-1).expand(len(b_enc))
    recipe = _recipe("threshold" in weights, _k(config, request.folder / CONFIG))
    check_weights(weights, recipe, enc_file)
    hook_in, hook_out = _hooks(request, config, layer)
    later = [_hooks(request, config, n)[1] for n in range(layer + 1, layers)]
    facts = DictionaryFacts(
        name=f"{request.name}.{layer}",
        source=request.source_of(enc_file.name),
        format="circuit_tracer",
        architecture=f"{recipe.activation}_cross_layer_transcoder",
        hook_in=hook_in,
        hook_out=hook_out,
        weights_hash=files_hash([enc_file, dec_file]),
        context_size=_context(config),
        prepend_bos=_bos(config),
        more_hooks_out=tuple(later),
        part=layer,
        dtype=str(raw[f"W_dec_{layer}"].dtype).removeprefix("torch."),
    )
    return CrossLayerPart(facts, recipe, weights, decoders)


def _recipe(jump: bool, k: int) -> Recipe:
    return Recipe("jumprelu") if jump else Recipe("topk", k=k) if k else Recipe("relu")


def _k(config: dict[str, Any], where: Path) -> int:
    """k of a top-k transcoder; 0 for all others."""
    activation = str(config.get("activation") or "relu").lower().replace("_", "")
    if activation not in ("topk", "relu", "jumprelu"):
        raise UserError(f"{where}: activation {config['activation']!r} is not supported; supported are relu, jump_relu and topk.")
    if activation != "topk":
        return 0
    if type(config.get("k")) is not int:
        raise UserError(f"{where}: a topk transcoder needs k, a whole number.")
    return int(config["k"])


def _hooks(request: Request, config: dict[str, Any], layer: int) -> tuple[str, str]:
    found = [config.get("feature_input_hook"), config.get("feature_output_hook")]
    if None in found and not (request.hook and ":" in request.hook):
        if not request.strict:
            return UNKNOWN, UNKNOWN
        raise UserError(
            f"Nothing says where {request.path} reads and writes: put feature_input_hook and feature_output_hook into "
            f"{request.folder / CONFIG}, or name one file and add @mlp_in.{layer}:mlp_out.{layer} to the spec."
        )
    return request.hooks(f"blocks.{layer}.{found[0]}", f"blocks.{layer}.{found[1]}")


def _config(request: Request) -> dict[str, Any]:
    file = request.folder / CONFIG
    return read_yaml(file) if file.is_file() else {}


def _context(config: dict[str, Any]) -> int | None:
    size = config.get("context_size")
    return size if isinstance(size, int) and size > 1 else None


def _bos(config: dict[str, Any]) -> bool | None:
    said = config.get("prepend_bos")
    return said if isinstance(said, bool) else None


def _by_layer(names: Iterable[str], pattern: re.Pattern[str]) -> list[str]:
    return sorted((n for n in names if pattern.fullmatch(n)), key=lambda name: _number(Path(name)))


def _number(file: Path) -> int:
    found = re.search(r"_(\d+)\.safetensors$", file.name)
    if not found:
        raise UserError(f"{file} names no layer: it must be called layer_3.safetensors or W_enc_3.safetensors.")
    return int(found[1])
