"""Names of hook points: our own (`resid_post.2`) and TransformerLens' (`blocks.2.hook_resid_post`), which are translated.

- `resid_pre.L`, `resid_post.L`: the residual stream before and after block L. `resid_post` of the last block is before the
  final norm.
- `resid_mid.L`: the residual stream between attention and MLP; undefined where both read the same stream (parallel GPT-NeoX).
- `attn_out.L`, `mlp_out.L`: what is added to the residual stream, hence after the post-norm in Gemma 2, Gemma 3 and OLMo 2.
- `mlp_in.L`: what the MLP module is given, hence after the norm's weight; in OLMo 2, which has no such norm, it equals
  `resid_mid`.
- `mlp_normalized.L`: `resid_mid` divided by the norm's scale, before the norm's weight and bias (TransformerLens'
  `ln2.hook_normalized`).
- `mlp_hidden.L`: the MLP's hidden units after the activation function (and the gate), the input of the down projection.
- `z.L`: the heads' outputs side by side, (n_heads * d_head), the input of attention's output projection.

All tensors are (batch, position, width).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from dragoman.store.errors import UserError

KINDS = ("resid_pre", "resid_mid", "resid_post", "mlp_in", "mlp_normalized", "mlp_hidden", "mlp_out", "attn_out", "z")
"""The kinds of hook points."""

RESIDUAL_WRITERS = ("resid_pre", "resid_mid", "resid_post", "mlp_out", "attn_out")
"""Kinds whose vectors live in the residual stream's basis, so that they have a linear effect on the logits."""

_TRANSFORMER_LENS = {
    "hook_resid_pre": "resid_pre",
    "hook_resid_mid": "resid_mid",
    "hook_resid_post": "resid_post",
    "hook_attn_out": "attn_out",
    "hook_mlp_out": "mlp_out",
    "hook_mlp_in": "resid_mid",  # TransformerLens takes it before the norm
    "mlp.hook_in": "mlp_in",
    "mlp.hook_out": "mlp_out",  # the module's own output; where a norm follows, dictionaries that name it are refused
    "mlp.hook_post": "mlp_hidden",
    "attn.hook_z": "z",
    "ln2.hook_normalized": "mlp_normalized",
}

_LENS_NAMES = {
    "resid_pre": "hook_resid_pre",
    "resid_mid": "hook_resid_mid",
    "resid_post": "hook_resid_post",
    "mlp_in": "mlp.hook_in",
    "mlp_normalized": "ln2.hook_normalized",
    "mlp_hidden": "mlp.hook_post",
    "mlp_out": "hook_mlp_out",
    "attn_out": "hook_attn_out",
    "z": "attn.hook_z",
}
"""The name that is written for each kind, after `blocks.L.`."""


class HookPoint(NamedTuple):
    """A place in the model where activations are read."""

    kind: str
    """One of KINDS."""
    layer: int
    """Number of the block, from 0."""

    def __str__(self) -> str:
        return f"{self.kind}.{self.layer}"

    @property
    def lens_suffix(self) -> str:
        """TransformerLens' name for the kind, such as `hook_resid_post`."""
        return _LENS_NAMES[self.kind]

    @property
    def lens_name(self) -> str:
        """TransformerLens' name, such as `blocks.2.hook_resid_post`."""
        return f"blocks.{self.layer}.{self.lens_suffix}"


def parse_hook_point(name: str) -> HookPoint:
    """The hook point with this name, ours or TransformerLens'.

    Raises:
        UserError: the name is neither.
    """
    name = str(name)  # it may come from a file
    ours = re.fullmatch(r"(\w+)\.(\d+)", name)
    if ours and ours[1] in KINDS:
        return HookPoint(ours[1], int(ours[2]))
    lens = re.fullmatch(r"blocks\.(\d+)\.([\w.]+)", name)
    if lens and lens[2] in _TRANSFORMER_LENS:
        return HookPoint(_TRANSFORMER_LENS[lens[2]], int(lens[1]))
    raise UserError(
        f"Unknown hook point {name!r}: write KIND.LAYER with KIND one of {', '.join(KINDS)}, for example resid_post.2 "
        "(TransformerLens names such as blocks.2.hook_resid_post are understood as well)."
    )
