"""The linear logit effects of features: what a direction promotes and suppresses, before the final norm's scale.

For a direction w in the residual stream: W_U (w_norm * w), minus its mean over the vocabulary, in float32. w_norm is the final
norm's weight (1 + w in Gemma); a LayerNorm also takes the mean off, which is done to w first. These numbers are linear effects:
not what happens to the logits in a given prompt, and not what a steer causes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from .dictionaries import Dictionary
from .hooks import RESIDUAL_WRITERS, parse_hook_point
from .subject import Subject

TOP = 10
"""Tokens kept on each side."""
_BYTES = 256 << 20
"""Memory for one chunk of effects."""


def direct_effects(subject: Subject, directions: Float[Tensor, "n d_model"]) -> Float[Tensor, "n vocabulary"]:
    """Linear effect of each direction on each logit, mean over the vocabulary taken off."""
    w = directions.to(subject.device).float()
    if subject.family.norm == "layer":
        w = w - w.mean(-1, keepdim=True)
    effects = (w * subject.final_norm_weight()) @ subject.unembedding().float().T
    return effects - effects.mean(-1, keepdim=True)


@torch.inference_mode()
def logit_effects(subject: Subject, dictionaries: Sequence[Dictionary]) -> pa.Table | None:
    """The largest and smallest effects of every feature whose direction lives in the residual stream.

    Returns:
        Columns feature (global id), side (`promoted` or `suppressed`), rank from 0, token, value; None if no dictionary has such
        directions.
    """
    parts: list[pa.Table] = []
    offset = 0
    for dictionary in dictionaries:
        if parse_hook_point(dictionary.facts.hook_out).kind in RESIDUAL_WRITERS:
            parts.append(_table(subject, dictionary.directions, offset))
        offset += dictionary.width
    return pa.concat_tables(parts) if parts else None


def _table(subject: Subject, directions: Tensor, offset: int) -> pa.Table:
    unembedding = subject.unembedding()
    top = min(TOP, len(unembedding))
    step = max(1, _BYTES // (4 * len(unembedding)))
    columns: dict[str, list[np.ndarray]] = {"promoted": [], "suppressed": []}
    tokens: dict[str, list[np.ndarray]] = {"promoted": [], "suppressed": []}
    for first in range(0, len(directions), step):
        effects = direct_effects(subject, directions[first : first + step])
        for side, largest in (("promoted", True), ("suppressed", False)):
            values, ids = torch.topk(effects, top, dim=-1, largest=largest)
            columns[side].append(values.cpu().numpy().reshape(-1))
            tokens[side].append(ids.cpu().numpy().astype(np.int32).reshape(-1))
    n = len(directions)
    feature = np.repeat(np.arange(offset, offset + n, dtype=np.uint32), top)
    rank = np.tile(np.arange(top, dtype=np.uint8), n)
    return pa.concat_tables(
        pa.table(
            {
                "feature": feature,
                "side": pa.array(np.repeat(side, len(feature)), pa.string()),
                "rank": rank,
                "token": np.concatenate(tokens[side]),
                "value": np.concatenate(columns[side]),
            }
        )
        for side in ("promoted", "suppressed")
    )
