"""An MLP layer's own hidden units as a dictionary, `neurons:mlp.L`.

The activation of unit i is the positive part of what enters row i of the down projection (after the activation function, and
times the other branch in gated MLPs). Negative values are not activations: in gated MLPs they are about half of all, and a unit's
negative side may well mean something else. The direction of a unit is its row of the down projection. Decoding adds up the
positive sides only, so it is not a reconstruction of the MLP's output and no variance unexplained is reported.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dragoman.store.errors import UserError
from dragoman.tools.fingerprint import tensors_hash
from dragoman.tools.hooks import HookPoint
from dragoman.tools.subject import Subject

from .dictionary import DictionaryFacts, SparseCodes, sparse


def load_neurons(place: str, name: str, source: str, subject: Subject) -> NeuronDictionary:
    """The units of the MLP named by `place`, for example `mlp.2`.

    Raises:
        UserError: `place` is not `mlp.LAYER`, or the model has no such layer.
    """
    kind, _, layer = place.partition(".")
    if kind != "mlp" or not layer.isdecimal():
        raise UserError(f"{source}: write neurons:mlp.LAYER, for example neurons:mlp.2.")
    point = subject.check(HookPoint("mlp_hidden", int(layer)))
    rows = subject.projection(point, "mlp").detach().float().contiguous()
    facts = DictionaryFacts(
        name=name,
        source=source,
        format="neurons",
        architecture="neurons",
        hook_in=str(point),
        hook_out=f"mlp_out.{point.layer}",
        weights_hash=tensors_hash({"rows": rows}),
        reconstructs=False,
    )
    return NeuronDictionary(facts, rows)


class NeuronDictionary:
    """Hidden units of one MLP."""

    def __init__(self, facts: DictionaryFacts, rows: Float[Tensor, "width d_model"]) -> None:
        self.facts, self._rows = facts, rows

    @property
    def width(self) -> int:
        """Number of hidden units."""
        return int(self._rows.shape[0])

    @property
    def d_in(self) -> int:
        """The same: its input are the units."""
        return self.width

    @property
    def directions(self) -> Float[Tensor, "width d_model"]:
        """Rows of the down projection (before a post-norm, in the families that have one)."""
        return self._rows

    def to(self, device: torch.device) -> None:
        """Move the weights."""
        self._rows = self._rows.to(device)

    def encode(self, x: Float[Tensor, "tokens width"]) -> Float[Tensor, "tokens width"]:
        """The positive part."""
        return torch.relu(x.float())

    def encode_sparse(self, x: Float[Tensor, "tokens width"]) -> SparseCodes:
        """The positive values in coordinates."""
        return sparse(x.float())

    def pre_activations(self, x: Float[Tensor, "tokens width"], features: Int[Tensor, " n"]) -> Float[Tensor, "tokens n"]:
        """The units themselves, negative sides included."""
        return x.float()[:, features]

    def decode(self, codes: Float[Tensor, "tokens width"], x: Float[Tensor, "tokens width"]) -> Float[Tensor, "tokens d_model"]:
        """What these activations add to the MLP's output (without its bias)."""
        return codes @ self._rows

    def target(self, y: Float[Tensor, "tokens d_model"]) -> Float[Tensor, "tokens d_model"]:
        """The MLP's output itself; it is not reconstructed."""
        return y.float()
