"""Dictionaries in SAELens' format: a folder with cfg.json and sae_weights.safetensors.

Architectures standard, topk, jumprelu and gated; configs of version 6 and the flat ones before it. With h the prepared input:

1. x is cast to float32, centred (see below) and normalised: `layer_norm` (x - mean) / (std + 1e-5) with the sample's standard
   deviation; `constant_norm_rescale` x * sqrt(d) / |x|; `expected_average_only_in` and `none` leave it alone.
2. h = x - b_dec where the config says apply_b_dec_to_input, p = h W_enc + b_enc.
3. standard relu(p); jumprelu p where p > threshold (and > 0); topk the relu of each token's k largest p (with
   rescale_acts_by_decoder_norm of p * |W_dec|); gated relu(h (W_enc * exp(r_mag)) + b_mag) where h W_enc + b_gate > 0.
4. decode: a W_dec + b_dec (a / |W_dec| with rescale_acts_by_decoder_norm), then the normalisation undone.

Centring: SAEs trained through TransformerLens with centred writing weights saw the residual stream minus its mean over d_model,
in models with LayerNorm. Where a config says so, or is so old that it does not say (TransformerLens then did it by default),
the mean is taken off here, and the reconstruction is of the centred stream.

Not covered: scales of `expected_average_only_in`, which are not in the files (those that SAELens has folded in are fine);
covariance whitening; values folded from b_V in old attention SAEs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from dragoman.store.errors import UserError
from dragoman.tools.fingerprint import files_hash
from dragoman.tools.hooks import RESIDUAL_WRITERS, parse_hook_point
from dragoman.tools.linear import PackedLinear, can_pack

from .dictionary import DictionaryFacts, SparseCodes, sparse
from .selection import top_k

ARCHITECTURES = ("standard", "topk", "jumprelu", "gated")
_NORMALISATIONS = ("none", "expected_average_only_in", "constant_norm_rescale", "layer_norm")
_TENSORS = {
    "standard": ("W_enc", "W_dec", "b_enc", "b_dec"),
    "topk": ("W_enc", "W_dec", "b_enc", "b_dec"),
    "jumprelu": ("W_enc", "W_dec", "b_enc", "b_dec", "threshold"),
    "gated": ("W_enc", "W_dec", "b_dec", "b_gate", "b_mag", "r_mag"),
}


@dataclass(frozen=True)
class SaeConfig:
    """A SAELens config of any age, in one form."""

    architecture: str
    """One of ARCHITECTURES."""
    k: int
    """Features a token of `topk`; 0 otherwise."""
    apply_b_dec_to_input: bool
    """Whether b_dec is subtracted before encoding."""
    normalize_activations: str
    """How the input is normalised."""
    rescale_acts_by_decoder_norm: bool
    """Whether topk compares p * |W_dec| instead of p."""
    hook_name: str
    """Where it reads, as SAELens wrote it."""
    context_size: int | None
    """Length of its training inputs."""
    prepend_bos: bool | None
    """Whether they began with BOS."""
    centred: bool
    """Whether it was trained on a residual stream with its mean over d_model taken off (models with LayerNorm only)."""

    @classmethod
    def read(cls, file: Path) -> SaeConfig:
        """Read cfg.json.

        Raises:
            UserError: the file is missing, is not JSON, or asks for something that is not supported.
        """
        try:
            raw = json.loads(file.read_text())
        except FileNotFoundError:
            raise UserError(f"There is no {file}: a SAELens folder holds cfg.json and sae_weights.safetensors.") from None
        except (ValueError, OSError) as error:
            raise UserError(f"{file} cannot be read as JSON ({error}).") from None
        metadata = raw.get("metadata")
        config = _modern(raw) if isinstance(metadata, dict) else _flat(raw)
        if config.architecture not in ARCHITECTURES:
            raise UserError(
                f"{file}: architecture {config.architecture!r} is not supported; supported are {', '.join(ARCHITECTURES)}."
            )
        if config.normalize_activations not in _NORMALISATIONS:
            raise UserError(f"{file}: normalize_activations {config.normalize_activations!r} is not supported.")
        if config.architecture == "topk" and config.k < 1:
            raise UserError(f"{file}: a topk dictionary needs k, a whole number above 0.")
        return config


def load_saelens(folder: Path, name: str, source: str, layer_norm_model: bool, hook: str | None = None) -> SaeLensDictionary:
    """Load a SAELens folder.

    Args:
        folder: holds cfg.json and sae_weights.safetensors.
        name: name in the store.
        source: the spec the user gave.
        layer_norm_model: whether the subject has LayerNorm (centring is then meaningful).
        hook: hook point to use where the config names none.

    Raises:
        UserError: files missing, corrupt, or of the wrong shapes.
    """
    config = SaeConfig.read(folder / "cfg.json")
    weights_file = folder / "sae_weights.safetensors"
    weights = _weights(weights_file, config.architecture)
    hook_name = hook or config.hook_name
    if not hook_name:
        raise UserError(f"{folder / 'cfg.json'} names no hook point: add it to the spec, as in {source}@resid_post.6.")
    point = parse_hook_point(hook_name)
    facts = DictionaryFacts(
        name=name,
        source=source,
        format="saelens",
        architecture=config.architecture,
        hook_in=str(point),
        hook_out=str(point),
        weights_hash=files_hash([folder / "cfg.json", weights_file]),
        context_size=config.context_size,
        prepend_bos=config.prepend_bos,
    )
    centred = config.centred and layer_norm_model and point.kind in RESIDUAL_WRITERS
    return SaeLensDictionary(facts, config, weights, centred)


class SaeLensDictionary:
    """A SAELens SAE. Weights are float32 whatever the file holds."""

    def __init__(self, facts: DictionaryFacts, config: SaeConfig, weights: dict[str, Tensor], centred: bool = False) -> None:
        self.facts, self.config, self.centred = facts, config, centred
        self._w = weights
        self._norms = weights["W_dec"].norm(dim=-1) if config.rescale_acts_by_decoder_norm else None
        self._packed: PackedLinear | None = None

    @property
    def width(self) -> int:
        """Number of features."""
        return int(self._w["W_dec"].shape[0])

    @property
    def d_in(self) -> int:
        """Width of its input."""
        return int(self._w["W_enc"].shape[0])

    @property
    def directions(self) -> Float[Tensor, "width d_out"]:
        """What one unit of each feature adds to the reconstruction."""
        return self._w["W_dec"] if self._norms is None else self._w["W_dec"] / self._norms[:, None]

    def to(self, device: torch.device) -> None:
        """Move the weights."""
        self._w = {name: tensor.to(device) for name, tensor in self._w.items()}
        self._norms = None if self._norms is None else self._norms.to(device)

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens width"]:
        """Activations, none negative."""
        if self.config.architecture == "topk":
            codes = self.encode_sparse(x)
            dense = torch.zeros(len(x), self.width, device=x.device)
            dense[codes.token, codes.feature] = codes.value
            return dense
        h, w = self._prepare(x), self._w
        if self.config.architecture == "gated":
            magnitude = torch.relu(h @ (w["W_enc"] * w["r_mag"].exp()) + w["b_mag"])
            return magnitude * (h @ w["W_enc"] + w["b_gate"] > 0)
        p = self._pre_activations(h)
        if self.config.architecture == "jumprelu":
            return torch.relu(p) * (p > w["threshold"])
        return torch.relu_(p)

    def encode_sparse(self, x: Float[Tensor, "tokens d_in"]) -> SparseCodes:
        """The activations above zero, in coordinates."""
        if self.config.architecture != "topk":
            return sparse(self.encode(x))
        p = self._pre_activations(self._prepare(x))
        if self._norms is not None:
            p *= self._norms
        return top_k(p, min(self.config.k, self.width))

    def _pre_activations(self, h: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens width"]:
        weight, bias = self._w["W_enc"], self._w["b_enc"]
        if not can_pack(weight):
            return torch.addmm(bias, h, weight)
        if self._packed is None:
            self._packed = PackedLinear(weight.T, bias)
        return self._packed(h.contiguous())

    def decode(self, codes: Float[Tensor, "tokens width"], x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_out"]:
        """The reconstruction of `x` (of the centred `x` where the dictionary was trained on it)."""
        out: Tensor = torch.addmm(self._w["b_dec"], codes, self.directions)
        x = self.target(x)
        match self.config.normalize_activations:
            case "layer_norm":
                out = out * x.std(-1, keepdim=True) + x.mean(-1, keepdim=True)
            case "constant_norm_rescale":
                out = out * x.norm(dim=-1, keepdim=True) / self.d_in**0.5
        return out

    def target(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_out"]:
        """What the reconstruction is of: x, centred where the dictionary wants that."""
        x = x.float()
        return x - x.mean(-1, keepdim=True) if self.centred else x

    def _prepare(self, x: Tensor) -> Tensor:
        x = self.target(x)
        match self.config.normalize_activations:
            case "layer_norm":
                x = (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-5)
            case "constant_norm_rescale":
                x = x * (self.d_in**0.5 / x.norm(dim=-1, keepdim=True))
        return x - self._w["b_dec"] if self.config.apply_b_dec_to_input else x


def _modern(raw: dict[str, Any]) -> SaeConfig:
    metadata = raw["metadata"]
    return SaeConfig(
        architecture=raw.get("architecture", "standard"),
        k=int(raw.get("k") or 0),
        apply_b_dec_to_input=bool(raw.get("apply_b_dec_to_input", True)),
        normalize_activations=raw.get("normalize_activations") or "none",
        rescale_acts_by_decoder_norm=bool(raw.get("rescale_acts_by_decoder_norm", False)),
        hook_name=metadata.get("hook_name") or "",
        context_size=metadata.get("context_size"),
        prepend_bos=metadata.get("prepend_bos"),
        centred=bool((metadata.get("model_from_pretrained_kwargs") or {}).get("center_writing_weights", False)),
    )


def _flat(raw: dict[str, Any]) -> SaeConfig:
    """A config from before version 6: flat, and with other names."""
    arguments = raw.get("activation_fn_kwargs") or {}
    architecture = raw.get("architecture") or "standard"
    activation = raw.get("activation_fn") or raw.get("activation_fn_str") or "relu"
    if activation == "topk" and arguments.get("k") is not None:
        architecture = "topk"
    normalize = raw.get("normalize_activations")
    if isinstance(normalize, bool):
        normalize = "expected_average_only_in" if normalize else "none"
    kwargs = raw.get("model_from_pretrained_kwargs")
    return SaeConfig(
        architecture=architecture,
        k=int(arguments.get("k") or raw.get("k") or 0),
        apply_b_dec_to_input=bool(raw.get("apply_b_dec_to_input", True)),
        normalize_activations=normalize or "none",
        rescale_acts_by_decoder_norm=bool(raw.get("rescale_acts_by_decoder_norm", False)),
        hook_name=raw.get("hook_name") or raw.get("hook_point") or "",
        context_size=raw.get("context_size"),
        prepend_bos=raw.get("prepend_bos", True),
        centred=True if kwargs is None else bool(kwargs.get("center_writing_weights", False)),
    )


def _weights(file: Path, architecture: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = {name: tensor.float() for name, tensor in load_file(file).items()}
    except FileNotFoundError:
        raise UserError(f"There is no {file}: a SAELens folder holds cfg.json and sae_weights.safetensors.") from None
    except (SafetensorError, OSError, RuntimeError) as error:
        raise UserError(f"{file} is corrupt ({error}): copy or download it again.") from None
    if architecture == "jumprelu" and "threshold" not in weights and "log_threshold" in weights:
        weights["threshold"] = weights["log_threshold"].exp()
    missing = [name for name in _TENSORS[architecture] if name not in weights]
    if missing:
        raise UserError(f"{file} lacks {', '.join(missing)}, which a {architecture} dictionary needs.")
    weights = {name: weights[name].contiguous() for name in _TENSORS[architecture]}
    features, d = weights["W_dec"].shape
    for name, tensor in weights.items():
        wanted = {"W_enc": (d, features), "W_dec": (features, d), "b_dec": (d,)}.get(name, (features,))
        if tuple(tensor.shape) != wanted:
            raise UserError(f"{file}: {name} has shape {tuple(tensor.shape)}, but W_dec {(features, d)} asks for {wanted}.")
    return weights
