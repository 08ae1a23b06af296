"""Dictionaries in SAELens' format: a folder with cfg.json and sae_weights.safetensors.

Architectures standard, topk, jumprelu and gated (BatchTopK and Matryoshka are saved as jumprelu), transcoder, skip_transcoder,
jumprelu_transcoder and jumprelu_skip_transcoder; configs of version 6 and the flat ones before it. Equations are in coder.py.

Centring: SAEs trained through TransformerLens with centred writing weights saw the residual stream minus its mean over d_model,
in models with LayerNorm. Where a config says so, or is so old that it does not say (TransformerLens then did it by default),
the mean is taken off, and the reconstruction is of the centred stream.

`expected_average_only_in` means that inputs were multiplied so that their mean norm became sqrt(d); the factor is not on disk.
It is given in the spec (`FOLDER?scale=0.3`) or estimated on the text of a harvest; until then it is 1, as in SAELens.

Not covered: covariance whitening that was not folded in; values folded from b_V in old attention SAEs; single heads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from dragoman.store.errors import UserError
from dragoman.tools.fingerprint import files_hash

from .coder import NORMALIZATIONS, Activation, Coder, Normalization, Recipe, check_weights
from .dictionary import DictionaryFacts
from .files import as_float, read_json, read_safetensors
from .request import Request

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
ARCHITECTURES: dict[str, tuple[Activation, bool, bool]] = {
    "standard": ("relu", False, False),
    "topk": ("topk", False, False),
    "jumprelu": ("jumprelu", False, False),
    "gated": ("gated", False, False),
    "transcoder": ("relu", True, False),
    "skip_transcoder": ("relu", True, True),
    "jumprelu_transcoder": ("jumprelu", True, False),
    "jumprelu_skip_transcoder": ("jumprelu", True, True),
}
"""Activation, whether it is a transcoder, and whether it has a skip connection."""
_TENSORS = ("W_enc", "W_dec", "b_dec", "b_enc", "b_gate", "b_mag", "r_mag", "threshold", "W_skip")
_SCALED = "expected_average_only_in"


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
    hook_name_out: str
    """Where a transcoder writes; empty otherwise."""
    context_size: int | None
    """Length of its training inputs."""
    prepend_bos: bool | None
    """Whether they began with BOS."""
    exclude_special_tokens: bool | list[int]
    """Whether all special tokens, or which tokens, were left out of training."""
    centred: bool
    """Whether it was trained on a residual stream with its mean over d_model taken off (models with LayerNorm only)."""

    @classmethod
    def read(cls, file: Path) -> SaeConfig:
        """Read cfg.json.

        Raises:
            UserError: the file is missing, is not JSON, or asks for something that is not supported.
        """
        raw = read_json(file)
        metadata = raw.get("metadata")
        head = (metadata if isinstance(metadata, dict) else raw).get("hook_head_index")
        try:
            config = _modern(raw) if isinstance(metadata, dict) else _flat(raw)
        except (TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{file} holds a value of the wrong kind ({error}).") from None
        if config.architecture not in ARCHITECTURES:
            raise UserError(
                f"{file}: architecture {config.architecture!r} is not supported; supported are {', '.join(ARCHITECTURES)}."
            )
        if config.normalize_activations not in (*NORMALIZATIONS, _SCALED):
            raise UserError(f"{file}: normalize_activations {config.normalize_activations!r} is not supported.")
        if config.architecture == "topk" and config.k < 1:
            raise UserError(f"{file}: a topk dictionary needs k, a whole number above 0.")
        if head is not None:
            raise UserError(f"{file}: it reads the single attention head {head}, which is not supported.")
        return config

    @property
    def recipe(self) -> Recipe:
        """How to compute, nothing centred."""
        activation, transcoder, _ = ARCHITECTURES[self.architecture]
        scaled = self.normalize_activations == _SCALED
        normalization: Normalization = "none" if scaled else self.normalize_activations  # type: ignore[assignment]
        return Recipe(
            activation,
            k=self.k if activation == "topk" else 0,
            subtract_b_dec=self.apply_b_dec_to_input and not transcoder,
            normalization=normalization,
            undo_normalization=not transcoder,
            rescale_by_decoder_norm=self.rescale_acts_by_decoder_norm and activation == "topk",
            needs_scale=scaled,
        )


def load_saelens(request: Request) -> Coder:
    """Load a SAELens folder.

    Raises:
        UserError: files missing, corrupt, or of the wrong shapes.
    """
    folder = request.folder
    config = SaeConfig.read(folder / CONFIG)
    file = folder / WEIGHTS
    _, transcoder, skip = ARCHITECTURES[config.architecture]
    if transcoder and not config.hook_name_out and config.hook_name and not (request.hook and ":" in request.hook):
        raise UserError(f"{folder / CONFIG} does not say where it writes: add it to the spec, as in {folder}@mlp_in.3:mlp_out.3.")
    hook_in, hook_out = request.hooks(config.hook_name or None, config.hook_name_out or None)
    recipe = replace(config.recipe, centred=config.centred and request.can_be_centred(hook_in))
    raw = read_safetensors(file)
    weights = _weights(raw, recipe.activation, skip)
    check_weights(weights, recipe, file)
    if skip and "W_skip" not in weights:
        raise UserError(f"{file} lacks W_skip, which a {config.architecture} needs.")
    exclude = config.exclude_special_tokens
    facts = DictionaryFacts(
        name=request.name,
        source=request.source,
        format="saelens",
        architecture=config.architecture,
        hook_in=hook_in,
        hook_out=hook_out,
        weights_hash=files_hash([folder / CONFIG, file]),
        context_size=config.context_size,
        prepend_bos=config.prepend_bos,
        skip=skip,
        excluded_ids=tuple(exclude) if isinstance(exclude, list) else request.special_ids if exclude else (),
        dtype=str(raw["W_dec"].dtype).removeprefix("torch."),
    )
    return Coder(facts, recipe, weights)


def _weights(raw: dict[str, Tensor], activation: Activation, skip: bool) -> dict[str, Tensor]:
    if activation == "jumprelu" and "threshold" not in raw and "log_threshold" in raw:
        raw["threshold"] = raw["log_threshold"].float().exp()
    unwanted = {"W_skip"} if not skip else set()
    unwanted |= {"threshold"} if activation != "jumprelu" else set()
    unwanted |= {"b_enc"} if activation == "gated" else {"b_gate", "b_mag", "r_mag"}
    return {name: as_float(raw[name]) for name in _TENSORS if name in raw and name not in unwanted}


def _modern(raw: dict[str, Any]) -> SaeConfig:
    metadata = raw["metadata"]
    return SaeConfig(
        architecture=raw.get("architecture", "standard"),
        k=int(raw.get("k") or 0),
        apply_b_dec_to_input=bool(raw.get("apply_b_dec_to_input", True)),
        normalize_activations=raw.get("normalize_activations") or "none",
        rescale_acts_by_decoder_norm=bool(raw.get("rescale_acts_by_decoder_norm", False)),
        hook_name=metadata.get("hook_name") or "",
        hook_name_out=metadata.get("hook_name_out") or "",
        context_size=_length(metadata.get("context_size")),
        prepend_bos=None if metadata.get("prepend_bos") is None else bool(metadata["prepend_bos"]),
        exclude_special_tokens=_excluded(metadata.get("exclude_special_tokens")),
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
        normalize = _SCALED if normalize else "none"
    kwargs = raw.get("model_from_pretrained_kwargs")
    return SaeConfig(
        architecture=architecture,
        k=int(arguments.get("k") or raw.get("k") or 0),
        apply_b_dec_to_input=bool(raw.get("apply_b_dec_to_input", True)),
        normalize_activations=normalize or "none",
        rescale_acts_by_decoder_norm=bool(raw.get("rescale_acts_by_decoder_norm", False)),
        hook_name=raw.get("hook_name") or raw.get("hook_point") or "",
        hook_name_out=raw.get("hook_name_out") or "",
        context_size=_length(raw.get("context_size")),
        prepend_bos=bool(raw.get("prepend_bos", True)),
        exclude_special_tokens=_excluded(raw.get("exclude_special_tokens")),
        centred=True if kwargs is None else bool(kwargs.get("center_writing_weights", False)),
    )


def _excluded(value: object) -> bool | list[int]:
    return [int(i) for i in value] if isinstance(value, list) else bool(value)


def _length(value: object) -> int | None:
    return value if isinstance(value, int) and value > 1 else None
