"""A linear encoder, an activation function and a linear decoder: what nearly every format holds.

With W_enc [d_in, F], W_dec [F, d_out] and the rest as the `Recipe` says:

1. x is cast to float32, centred (see `Recipe.centred`), multiplied by `scale_in` and normalised: `layer_norm`
   (x - mean) / (std + 1e-5) with the sample's standard deviation, `constant_norm_rescale` x * sqrt(d) / |x|.
2. h = x - b_dec where the recipe subtracts it; p = h W_enc + b_enc.
3. relu: relu(p). jumprelu: relu(p) where p > threshold. topk: relu of each token's k largest p, of p * |W_dec| with
   `rescale_by_decoder_norm`. groupmax: relu of the largest p in each of k contiguous groups.
   gated: relu(h (W_enc * exp(r_mag)) + b_mag) where h W_enc + b_gate > 0.
4. decode: a W_dec + b_dec (a / |W_dec| with `rescale_by_decoder_norm`), divided by `scale_out`, then the normalisation undone.
5. A skip transcoder's output also has x W_skip^T, see `dictionary.skip_term`.

Weights stay as they lie in the file where they can (transposed views, no copies).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dragoman.store.errors import UserError
from dragoman.tools.fingerprint import tensors_hash
from dragoman.tools.hooks import parse_hook_point
from dragoman.tools.linear import PackedLinear, can_pack

from .dictionary import DictionaryFacts, SparseCodes, sparse
from .selection import top_k

Activation = Literal["relu", "jumprelu", "topk", "groupmax", "gated"]
Normalization = Literal["none", "layer_norm", "constant_norm_rescale"]
NORMALIZATIONS: tuple[str, ...] = get_args(Normalization)


@dataclass(frozen=True)
class Recipe:
    """How weights become activations and a reconstruction."""

    activation: Activation
    """What is done to pre-activations."""
    k: int = 0
    """Features a token of `topk`, groups of `groupmax`; 0 otherwise."""
    subtract_b_dec: bool = False
    """Whether b_dec is subtracted before encoding; never in a transcoder."""
    normalization: Normalization = "none"
    """What is done to the input first."""
    undo_normalization: bool = True
    """Whether decode undoes it; SAELens' transcoders do not."""
    rescale_by_decoder_norm: bool = False
    """Whether topk compares p * |W_dec| instead of p; activations are then in these units."""
    centred: bool = False
    """Whether it was trained on a residual stream with its mean over d_model taken off (models with LayerNorm only)."""
    scale_in: float = 1.0
    """Factor on the input, for dictionaries trained on activations of a fixed mean norm."""
    scale_out: float = 1.0
    """The output is divided by it; equal to `scale_in` in autoencoders."""
    needs_scale: bool = False
    """Whether the scale is not known yet: it is not in the files, and 1 until it is given or estimated."""


class Coder:
    """An autoencoder, transcoder or skip transcoder held by its weights, in float32 whatever the file holds."""

    def __init__(self, facts: DictionaryFacts, recipe: Recipe, weights: dict[str, Tensor]) -> None:
        """
        Args:
            facts: names and hook points.
            recipe: how to compute.
            weights: W_enc [d_in, F], W_dec [F, d_out], b_dec [d_out]; b_enc [F] (in `gated` b_gate, b_mag, r_mag [F] instead);
                threshold [F] for `jumprelu`; W_skip [d_out, d_in] for a skip transcoder. Any strides.
        """
        self.facts, self.recipe = facts, recipe
        self._w = weights
        self._norms: Tensor | None = None
        if recipe.rescale_by_decoder_norm:
            self._norms = (weights["W_dec"].norm(dim=-1) / recipe.scale_out).clamp(min=1e-8)
        self._packed: PackedLinear | None = None
        self._directions: Tensor | None = None

    @property
    def weights(self) -> dict[str, Tensor]:
        """The weights by name, as the constructor wants them."""
        return dict(self._w)

    @property
    def width(self) -> int:
        """Number of features."""
        return int(self._w["W_dec"].shape[0])

    @property
    def d_in(self) -> int:
        """Width of its input."""
        return int(self._w["W_enc"].shape[0])

    @property
    def d_out(self) -> int:
        """Width of its output."""
        return int(self._w["b_dec"].shape[0])

    @property
    def directions(self) -> Float[Tensor, "width d_out"]:
        """What one unit of each feature adds to the reconstruction."""
        if self._directions is None:
            rows = self._w["W_dec"] if self.recipe.scale_out == 1 else self._w["W_dec"] / self.recipe.scale_out
            self._directions = rows if self._norms is None else rows / self._norms[:, None]
        return self._directions

    def to(self, device: torch.device) -> None:
        """Move the weights."""
        self._w = {name: tensor.to(device) for name, tensor in self._w.items()}
        self._norms = None if self._norms is None else self._norms.to(device)
        self._packed, self._directions = None, None

    def scaled(self, scale: float) -> Coder:
        """The same dictionary with the scale of its input known: the mean norm of its input times `scale` is sqrt(d_in)."""
        place, at, hook = self.facts.source.rpartition("@")
        source = f"{place if at else hook}?scale={scale!r}{at}{hook if at else ''}"
        if "?scale=" in self.facts.source:
            source = self.facts.source
        hashed = tensors_hash({"weights": self.facts.weights_hash, "scale": repr(scale)})
        facts = replace(self.facts, source=source, weights_hash=hashed)
        return Coder(facts, replace(self.recipe, scale_in=scale, scale_out=scale, needs_scale=False), self._w)

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens width"]:
        """Activations, none negative."""
        match self.recipe.activation:
            case "topk" | "groupmax":
                codes = self.encode_sparse(x)
                dense = torch.zeros(len(x), self.width, device=x.device)
                dense[codes.token, codes.feature] = codes.value
                return dense
            case "gated":
                h, w = self._prepare(x), self._w
                inner = h @ w["W_enc"]
                return torch.relu(inner * w["r_mag"].exp() + w["b_mag"]) * (inner + w["b_gate"] > 0)
            case "jumprelu":
                p = self._pre_activations(self._prepare(x))
                return torch.relu(p) * (p > self._w["threshold"])
            case _:
                return torch.relu_(self._pre_activations(self._prepare(x)))

    def encode_sparse(self, x: Float[Tensor, "tokens d_in"]) -> SparseCodes:
        """The activations above zero, in coordinates."""
        if self.recipe.activation not in ("topk", "groupmax"):
            return sparse(self.encode(x))
        p = self._pre_activations(self._prepare(x))
        if self.recipe.activation == "groupmax":
            return _largest_of_groups(p, self.recipe.k)
        if self._norms is not None:
            p *= self._norms
        return top_k(p, min(self.recipe.k, self.width))

    def pre_activations(self, x: Float[Tensor, "tokens d_in"], features: Int[Tensor, " n"]) -> Float[Tensor, "tokens n"]:
        """What the activation function is given for some features, see `dictionary.pre_activations`. In `gated`, the magnitude's
        where the gate is open, else whichever of the two is lower."""
        h, w = self._prepare(x), self._w
        inner = h @ w["W_enc"][:, features]
        if self.recipe.activation == "gated":
            magnitude = inner * w["r_mag"][features].exp() + w["b_mag"][features]
            gate = inner + w["b_gate"][features]
            return torch.where(gate > 0, magnitude, torch.minimum(magnitude, gate))
        p = inner + w["b_enc"][features]
        return p * self._norms[features] if self._norms is not None and self.recipe.activation == "topk" else p

    def _pre_activations(self, h: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens width"]:
        weight, bias = self._w["W_enc"], self._w["b_enc"]
        if not can_pack(weight):
            return torch.addmm(bias, h, weight)
        if self._packed is None:
            self._packed = PackedLinear(weight.T, bias)
        return self._packed(h.contiguous())

    def decode(self, codes: Float[Tensor, "tokens width"], x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_out"]:
        """The reconstruction from activations, without the skip term; of the centred tensor where it was trained on it."""
        bias = self._w["b_dec"] if self.recipe.scale_out == 1 else self._w["b_dec"] / self.recipe.scale_out
        out: Tensor = torch.addmm(bias, codes, self._rows())
        if not self.recipe.undo_normalization:
            return out
        match self.recipe.normalization:
            case "layer_norm":
                x = self._centre(x)
                out = out * x.std(-1, keepdim=True) + x.mean(-1, keepdim=True)
            case "constant_norm_rescale":
                out = out * self._centre(x).norm(dim=-1, keepdim=True) / self.d_in**0.5
        return out

    def skip_term(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_out"]:
        """x W_skip^T, of the input as it is."""
        return x.float() @ self._w["W_skip"].T

    def target(self, y: Float[Tensor, "tokens d_out"]) -> Float[Tensor, "tokens d_out"]:
        """What the output is meant to be: y, centred where the dictionary wants that."""
        return self._centre(y)

    def _rows(self) -> Float[Tensor, "width d_out"]:
        """What one unit of each feature writes to `hook_out`."""
        return Coder.directions.fget(self)  # type: ignore[attr-defined, no-any-return]

    def _centre(self, x: Tensor) -> Tensor:
        x = x.float()
        return x - x.mean(-1, keepdim=True) if self.recipe.centred else x

    def _prepare(self, x: Tensor) -> Tensor:
        x = self._centre(x)
        if self.recipe.scale_in != 1:
            x = x * self.recipe.scale_in
        match self.recipe.normalization:
            case "layer_norm":
                x = (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-5)
            case "constant_norm_rescale":
                x = x * (self.d_in**0.5 / x.norm(dim=-1, keepdim=True))
        return x - self._w["b_dec"] if self.recipe.subtract_b_dec else x


def make_coder(
    name: str,
    hook_in: str,
    hook_out: str,
    recipe: Recipe,
    weights: dict[str, Tensor],
    *,
    context_size: int | None = None,
    prepend_bos: bool | None = None,
) -> Coder:
    """A dictionary from weights in memory, such as trained ones; see `Coder` for their names and shapes.

    Raises:
        UserError: a tensor is missing, has the wrong shape, or holds NaN or infinity.
    """
    check_weights(weights, recipe, name)
    facts = DictionaryFacts(
        name=name,
        source=name,
        format="memory",
        architecture=architecture(recipe.activation, hook_in != hook_out, "W_skip" in weights),
        hook_in=str(parse_hook_point(hook_in)),
        hook_out=str(parse_hook_point(hook_out)),
        weights_hash=tensors_hash(weights),
        context_size=context_size,
        prepend_bos=prepend_bos,
        skip="W_skip" in weights,
    )
    return Coder(facts, recipe, weights)


def architecture(activation: Activation, transcoder: bool, skip: bool) -> str:
    """The name for it: `standard`, `topk`, `transcoder`, `jumprelu_skip_transcoder` …"""
    kind = ("skip_" if skip else "") + "transcoder" if transcoder or skip else ""
    if activation == "relu":
        return kind or "standard"
    return f"{activation}_{kind}" if kind else activation


def check_weights(weights: dict[str, Tensor], recipe: Recipe, where: object) -> None:
    """Check names, shapes and values of a coder's weights.

    Raises:
        UserError: a tensor is missing, has the wrong shape, or holds NaN or infinity.
    """
    biases = ("b_gate", "b_mag", "r_mag") if recipe.activation == "gated" else ("b_enc",)
    threshold = ("threshold",) if recipe.activation == "jumprelu" else ()
    missing = [name for name in ("W_enc", "W_dec", "b_dec", *biases, *threshold) if name not in weights]
    if missing:
        raise UserError(f"{where} lacks {', '.join(missing)}, which a {recipe.activation} dictionary needs.")
    if weights["W_enc"].ndim != 2 or weights["W_dec"].ndim != 2:
        shapes = [tuple(weights[name].shape) for name in ("W_enc", "W_dec")]
        raise UserError(f"{where}: W_enc and W_dec must be matrices; their shapes are {shapes[0]} and {shapes[1]}.")
    d_in = weights["W_enc"].shape[0]
    features, d_out = weights["W_dec"].shape
    shapes_wanted = {"W_enc": (d_in, features), "W_dec": (features, d_out), "b_dec": (d_out,), "W_skip": (d_out, d_in)}
    for name, tensor in weights.items():
        wanted = shapes_wanted.get(name, (features,))
        if tuple(tensor.shape) != wanted:
            raise UserError(f"{where}: {name} has shape {tuple(tensor.shape)}, but W_dec {(features, d_out)} asks for {wanted}.")
        if not all_finite(tensor):
            raise UserError(f"{where}: {name} holds NaN or infinity: the file is damaged, or training diverged.")
    if not weights["W_enc"].numel() or not weights["W_dec"].numel():
        raise UserError(f"{where} holds no features.")
    if recipe.subtract_b_dec and d_in != d_out:
        raise UserError(f"{where}: b_dec has width {d_out} and cannot be subtracted from an input of width {d_in}.")
    if recipe.activation in ("topk", "groupmax") and not 1 <= recipe.k <= features:
        raise UserError(f"{where}: k is {recipe.k}; with {features} features it must be between 1 and {features}.")
    if recipe.activation == "groupmax" and features % recipe.k:
        raise UserError(f"{where}: {features} features do not divide into k = {recipe.k} groups of equal size.")


def all_finite(tensor: Tensor) -> bool:
    """Whether no entry is NaN or infinite; the tensor is read once and nothing is copied."""
    return bool(tensor.sum().isfinite()) or bool(torch.isfinite(tensor).all())


def _largest_of_groups(p: Float[Tensor, "tokens width"], groups: int) -> SparseCodes:
    values, within = p.view(len(p), groups, -1).max(-1)
    size = p.shape[1] // groups
    token, group = torch.nonzero(values > 0, as_tuple=True)
    return SparseCodes(token, within[token, group] + group * size, values[token, group])
