"""The logit effects of features, of two kinds that are never mixed: linear (`LinearEffects`) and causal (`CausalEffects`).

Linear: what a direction promotes and suppresses along the direct path, before the final norm's scale. For a direction w in the
residual stream: W_U (w_norm * w), minus its mean over the vocabulary, in float32. w_norm is the final norm's weight (1 + w in
Gemma); a LayerNorm also takes the mean off, which is done to w first. These numbers are linear effects: not what happens to the
logits in a given prompt, and not what a steer causes.

Causal: the difference of two forward passes, without and with a steer along the feature, at the end of given prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from dragoman.store.display import table_html, table_text, visible_token
from dragoman.store.errors import UserError
from dragoman.store.records import TokenValue

from .dictionaries import Dictionary
from .hooks import RESIDUAL_WRITERS, parse_hook_point
from .interventions import ALL, Effects, Positions, measure, steer
from .interventions.effects import one_token
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


@dataclass(frozen=True)
class LinearEffects:
    """Linear logit effects of one direction: the direct path, before the final norm's scale; the same in every prompt."""

    feature: str
    """DICT/INDEX."""
    promoted: tuple[TokenValue, ...]
    """Vocabulary entries it raises most, with the linear effect of one unit of activation, mean over the vocabulary off."""
    suppressed: tuple[TokenValue, ...]
    """Those it lowers most."""
    chosen: tuple[TokenValue, ...]
    """Those that were asked for."""

    def __repr__(self) -> str:
        return f"Linear logit effects of {self.feature}, before the final norm's scale\n{table_text(*self._table())}"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return table_html(*self._table())

    def _table(self) -> tuple[list[str], list[dict[str, object]], str]:
        sides = (("chosen", self.chosen), ("promoted", self.promoted), ("suppressed", self.suppressed))
        rows: list[dict[str, object]] = [
            {"side": side, "token": visible_token(token), "linear effect": f"{value:+.4f}"}
            for side, found in sides
            for token, value in found
        ]
        return ["side", "token", "linear effect"], rows, "linear effect of one unit of activation, not what happens in a prompt"


@torch.inference_mode()
def linear_effects(
    subject: Subject, dictionary: Dictionary, feature: int, top: int = TOP, chosen: Sequence[str | int] = ()
) -> LinearEffects:
    """What a feature's direction promotes and suppresses along the direct path.

    Raises:
        UserError: the feature does not exist, or its direction does not live in the residual stream.
    """
    name = dictionary.facts.name
    if not 0 <= feature < dictionary.width:
        raise UserError(f"There is no feature {name}/{feature}: {name} has 0 to {dictionary.width - 1}.")
    if parse_hook_point(dictionary.facts.hook_out).kind not in RESIDUAL_WRITERS:
        raise UserError(
            f"{name}/{feature} lives at {dictionary.facts.hook_out}, which is not the residual stream: it has no linear logit "
            "effect; measure the causal one."
        )
    effects = direct_effects(subject, dictionary.directions[[feature]])[0].cpu()
    order = torch.argsort(effects, descending=True, stable=True).tolist()
    texts = subject.vocabulary

    def values(ids: Sequence[int]) -> tuple[TokenValue, ...]:
        return tuple(TokenValue(texts[i], float(effects[i])) for i in ids)

    wanted = [one_token(subject, entry) for entry in chosen]
    return LinearEffects(f"{name}/{feature}", values(order[:top]), values(order[::-1][:top]), values(wanted))


@dataclass(frozen=True)
class CausalEffects:
    """Causal logit effects of a feature: the difference of two forward passes, without and with a steer along it."""

    feature: str
    """DICT/INDEX."""
    strength: float
    """The steer, in times the feature's largest activation."""
    effects: Effects
    """What the steer did at the last token of the prompts."""

    def __repr__(self) -> str:
        return f"Causal logit effects of {self.feature} under a steer of {self.strength:g} x its maximum\n{self.effects!r}"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return f"<p>Causal logit effects under a steer</p>{self.effects._repr_html_()}"


def causal_effects(
    subject: Subject,
    dictionary: Dictionary,
    feature: int,
    maximum: float,
    prompts: Sequence[str | Sequence[int]],
    *,
    strength: float = 1.0,
    positions: Positions = ALL,
    chosen: Sequence[str | int] = (),
    top: int = TOP,
    bos: bool | None = None,
) -> CausalEffects:
    """What a steer along a feature does to the logits at the end of the prompts.

    Args:
        subject: the model.
        dictionary: the feature's dictionary.
        feature: its index.
        maximum: its largest activation on train.
        prompts: texts, or token ids without BOS.
        strength: times the maximum that is added.
        positions: where.
        chosen: vocabulary entries to report as well.
        top: entries promoted and suppressed to report.
        bos: whether BOS stands before each prompt; None: the tokenizer's habit.

    Raises:
        UserError: as of `interventions.measure`.
    """
    edit = steer(dictionary, [feature], strength, [maximum], positions)
    found = measure(subject, [edit], prompts, chosen=chosen, at="last", bos=bos, top=top)
    return CausalEffects(f"{dictionary.facts.name}/{feature}", strength, found)
