"""A trained dictionary in raw units: centring, scaling and whatever training needed are folded into the weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .learner import Learner
from .stream import Scale


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer in raw units: a = keep((x - b_dec where an autoencoder) W_enc + b_enc), output = a W_dec + b_dec (+ W_skip x)."""

    w_enc: Float[Tensor, "d_in features"]
    """Encoder."""
    b_enc: Float[Tensor, " features"]
    """Its bias."""
    w_dec: Float[Tensor, "features reach d_out"]
    """What a feature writes to its own layer and each later one."""
    b_dec: Float[Tensor, " d_out"]
    """Added to the output of this layer."""
    threshold: Float[Tensor, " features"] | None
    """What a pre-activation must exceed (jumprelu, batchtopk)."""
    w_skip: Float[Tensor, "d_out d_in"] | None
    """The linear map past the features."""


def fold(learner: Learner, scales: dict[str, Scale]) -> list[Layer]:
    """The layers of a dictionary in raw units, on the CPU.

    With the inputs u = (x - c) s and the outputs v = (y - c') s', a layer's activations become a / s', so that in an autoencoder
    or a transcoder decoder rows keep norm 1.
    """
    return [_layer(learner, scales, number) for number in range(learner.shape.layers)]


def _layer(learner: Learner, scales: dict[str, Scale], number: int) -> Layer:
    shape = learner.shape
    w = {name: learner.weights[f"{name}.{number}"].detach().cpu().double() for name in ("encoder", "bias", "decoder", "offset")}
    source, target = scales[shape.inputs[number]], scales[shape.outputs[number]]
    centre_in, centre_out = source.centre.cpu().double(), target.centre.cpu().double()
    encoder, bias = w["encoder"] * (source.factor / target.factor), w["bias"] / target.factor
    b_dec = w["offset"] / target.factor + centre_out
    if not shape.tied:
        bias = bias - encoder @ centre_in
    skip = None
    if shape.skip:
        skip = learner.weights[f"skip.{number}"].detach().cpu().double() * (source.factor / target.factor)
        b_dec = b_dec - skip @ centre_in
    decoder = w["decoder"].unflatten(1, (-1, shape.d_out))
    factors = [target.factor / scales[hook].factor for hook in shape.outputs[number:]]
    decoder = decoder * torch.tensor(factors, dtype=torch.double)[:, None]
    threshold = None
    if learner.settings.sparsifier != "topk":
        threshold = (learner.threshold(number).detach().cpu().double() / target.factor).float()
    return Layer(
        encoder.T.float().contiguous(),
        bias.float(),
        decoder.float().contiguous(),
        b_dec.float(),
        threshold,
        None if skip is None else skip.float(),
    )
