"""Cross-layer transcoders: features that read one layer and write to the MLP outputs of that layer and all later ones.

With a_l the activations of layer l's features: y_l = sum over l' <= l of a_l' W_dec_l'[:, l - l'] + b_dec_l.

Each layer's features are a dictionary of their own (`CrossLayerPart`), so that everything else can treat them like any other;
`CrossLayerTranscoder` runs the whole. A part's `decode` is its own share at its own layer, b_dec_l included; its `decode_at` a
later layer is its share there, without that layer's bias. So the shares of parts 0 … l at layer l add up to y_l exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from dragoman.store.errors import UserError
from dragoman.tools.fingerprint import tensors_hash
from dragoman.tools.hooks import HookPoint, parse_hook_point

from .coder import Coder, Recipe, all_finite, make_coder
from .dictionary import DictionaryFacts


class CrossLayerPart(Coder):
    """The features that read one layer of a cross-layer transcoder."""

    def __init__(
        self, facts: DictionaryFacts, recipe: Recipe, weights: dict[str, Tensor], decoders: Float[Tensor, "width outputs d"]
    ) -> None:
        """
        Args:
            facts: `hook_out` is its own layer, `more_hooks_out` the later ones.
            recipe: how to encode.
            weights: as for `Coder`; W_dec is `decoders[:, 0]` and b_dec the bias of its own layer.
            decoders: what a unit of each feature writes to its own layer and to each later one.
        """
        super().__init__(facts, recipe, weights)
        self.decoders = decoders

    @property
    def directions(self) -> Float[Tensor, "width d"]:
        """What one unit of each feature writes to all layers together."""
        if self._directions is None:
            self._directions = self.decoders.sum(1)
        return self._directions

    def to(self, device: torch.device) -> None:
        """Move the weights."""
        self.decoders = self.decoders.to(device)
        super().to(device)

    def decode_at(
        self, hook: str, codes: Float[Tensor, "tokens width"], x: Float[Tensor, "tokens d"]
    ) -> Float[Tensor, "tokens d"]:
        """Its share of the output at one of `facts.hooks_out`."""
        which = self.facts.hooks_out.index(hook)
        return self.decode(codes, x) if which == 0 else codes @ self.decoders[:, which]

    def _rows(self) -> Float[Tensor, "width d"]:
        return self._w["W_dec"]


class CrossLayerTranscoder:
    """All parts of a cross-layer transcoder together."""

    def __init__(self, parts: Sequence[CrossLayerPart]) -> None:
        """`parts`: one a layer, the first layer first."""
        self.parts = list(parts)

    @property
    def hooks_in(self) -> list[str]:
        """Hook point that each part reads."""
        return [part.facts.hook_in for part in self.parts]

    @property
    def hooks_out(self) -> list[str]:
        """Hook points it writes to, in order."""
        return [part.facts.hook_out for part in self.parts]

    def encode(self, inputs: Mapping[str, Float[Tensor, "tokens d"]]) -> list[Float[Tensor, "tokens width"]]:
        """Activations of each part from the tensors at `hooks_in`."""
        return [part.encode(inputs[part.facts.hook_in]) for part in self.parts]

    def decode(
        self, codes: Sequence[Float[Tensor, "tokens width"]], inputs: Mapping[str, Float[Tensor, "tokens d"]]
    ) -> dict[str, Float[Tensor, "tokens d"]]:
        """The output at each of `hooks_out`."""
        out: dict[str, Tensor] = {}
        for part, activations in zip(self.parts, codes, strict=True):
            x = inputs[part.facts.hook_in]
            for hook in part.facts.hooks_out:
                share = part.decode_at(hook, activations, x)
                out[hook] = out[hook] + share if hook in out else share
        return out

    def forward(self, inputs: Mapping[str, Float[Tensor, "tokens d"]]) -> dict[str, Float[Tensor, "tokens d"]]:
        """What it puts in the place of the tensor at each of `hooks_out`, from the tensors at `hooks_in`."""
        return self.decode(self.encode(inputs), inputs)


def make_cross_layer(
    name: str,
    w_enc: Sequence[Float[Tensor, "width d"]],
    b_enc: Sequence[Float[Tensor, " width"]],
    w_dec: Sequence[Float[Tensor, "width outputs d"]],
    b_dec: Sequence[Float[Tensor, " d"]],
    *,
    threshold: Sequence[Float[Tensor, " width"]] | None = None,
    k: int = 0,
    kind_in: str = "resid_mid",
    kind_out: str = "mlp_out",
    context_size: int | None = None,
    prepend_bos: bool | None = None,
) -> CrossLayerTranscoder:
    """A cross-layer transcoder from weights in memory, one tensor a layer.

    Args:
        name: its parts are called NAME.0, NAME.1 …
        w_enc, b_enc: encoders.
        w_dec: decoders; layer l's has one matrix for itself and for each later layer, (F, L - l, d).
        b_dec: bias of each layer's output.
        threshold: of JumpReLU; ReLU without it.
        k: features a token and layer of TopK; 0 for ReLU and JumpReLU.
        kind_in, kind_out: kinds of the hook points read and written (see hooks.py).
        context_size, prepend_bos: what it was trained on.

    Raises:
        UserError: shapes do not fit together, or a tensor holds NaN or infinity.
    """
    layers = len(w_enc)
    recipe = Recipe("topk", k) if k else Recipe("relu" if threshold is None else "jumprelu")
    hooks_out = [str(parse_hook_point(f"{kind_out}.{layer}")) for layer in range(layers)]
    if not layers or not len(b_enc) == len(w_dec) == len(b_dec) == layers or (threshold is not None and len(threshold) != layers):
        raise UserError(f"{name}: a cross-layer transcoder needs W_enc, b_enc, W_dec and b_dec for each of its layers.")
    parts = []
    for layer in range(layers):
        decoders = w_dec[layer]
        if decoders.ndim != 3 or decoders.shape[1] != layers - layer or not all_finite(decoders):
            raise UserError(
                f"{name}: W_dec of layer {layer} has shape {tuple(decoders.shape)}; with {layers} layers it must be finite and "
                f"of shape (features, {layers - layer}, d)."
            )
        weights = {"W_enc": w_enc[layer].T, "b_enc": b_enc[layer], "W_dec": decoders[:, 0], "b_dec": b_dec[layer]}
        if threshold is not None:
            weights["threshold"] = threshold[layer]
        coder = make_coder(
            f"{name}.{layer}",
            str(HookPoint(kind_in, layer)),
            hooks_out[layer],
            recipe,
            weights,
            context_size=context_size,
            prepend_bos=prepend_bos,
        )
        facts = replace(
            coder.facts,
            architecture=f"{recipe.activation}_cross_layer_transcoder",
            more_hooks_out=tuple(hooks_out[layer + 1 :]),
            weights_hash=tensors_hash({"coder": coder.facts.weights_hash, "decoders": decoders}),
            part=layer,
        )
        parts.append(CrossLayerPart(facts, recipe, weights, decoders))
    return joined(parts)


def joined(parts: Sequence[CrossLayerPart]) -> CrossLayerTranscoder:
    """Mark parts as belonging together."""
    whole = tensors_hash({str(n): part.facts.weights_hash for n, part in enumerate(parts)})
    for n, part in enumerate(parts):
        part.facts = replace(part.facts, whole=whole, part=n)
    return CrossLayerTranscoder(parts)
