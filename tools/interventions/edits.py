"""What can be changed in a forward pass: activations of features, and single units of the model (neurons, heads, layers).

An edit says what is done in words (`said`), so that every result can say it; where a value is a mean, the words say over what and
where it was measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from dragoman.store.errors import UserError
from dragoman.tools.dictionaries import Dictionary
from dragoman.tools.hooks import HookPoint
from dragoman.tools.subject import Subject

from .positions import ALL, Positions

Part = Literal["attention", "mlp", "block"]
"""Of a layer: what attention adds to the residual stream, what the MLP adds, or both."""
WRITERS: dict[Part, tuple[str, ...]] = {"attention": ("attn_out",), "mlp": ("mlp_out",), "block": ("attn_out", "mlp_out")}
"""Kinds of the hook points at which each part writes."""


@dataclass(frozen=True)
class FeatureEdit:
    """Features of one dictionary, set to values or raised by amounts, wherever `positions` says."""

    dictionary: Dictionary
    """Whose features."""
    features: tuple[int, ...]
    """Their indices in the dictionary."""
    how: Literal["set", "add"]
    """`set`: the activation becomes the amount; `add`: the amount is added to it."""
    amounts: tuple[float, ...]
    """One for each feature, in units of activation."""
    said: str
    """What is done, in words."""
    positions: Positions = ALL
    """On which tokens."""
    keep_error: bool = True
    """Keep what the dictionary does not reconstruct; otherwise the reconstruction takes the place of the tensor."""
    random: int | None = None
    """Seed of a random direction that is written instead, with the norm that the edit would have written; None: no control."""

    def __post_init__(self) -> None:
        facts = self.dictionary.facts
        if not self.features:
            raise UserError("An edit needs at least one feature.")
        for feature in self.features:
            if not 0 <= feature < self.dictionary.width:
                raise UserError(f"There is no feature {facts.name}/{feature}: {facts.name} has 0 to {self.dictionary.width - 1}.")
        if len(self.amounts) != len(self.features):
            raise UserError(f"{len(self.features)} features need as many amounts; {len(self.amounts)} were given.")
        for amount in self.amounts:
            if not math.isfinite(amount):
                raise UserError(f"The edit of {facts.name} has the amount {amount}: it must be a finite number.")
        if not self.keep_error and (facts.whole or facts.more_hooks_out or not facts.reconstructs):
            why = "does not reconstruct a tensor" if not facts.reconstructs else "reconstructs only together with other layers"
            raise UserError(f"The error term of {facts.name} cannot be dropped, because it {why}: keep it.")

    def __str__(self) -> str:
        return f"{self.said} at positions {self.positions}" + ("" if self.keep_error else ", error term dropped")


@dataclass(frozen=True)
class UnitEdit:
    """Some units of a hook point's tensor, set to fixed values wherever `positions` says."""

    point: HookPoint
    """Where."""
    units: tuple[int, ...] | None
    """Which entries of the vector; None: all of them."""
    values: Float[Tensor, " units"]
    """What they become."""
    said: str
    """What is done, in words."""
    positions: Positions = ALL
    """On which tokens."""

    def __str__(self) -> str:
        return f"{self.said} at positions {self.positions}"


Edit = FeatureEdit | UnitEdit


@dataclass(frozen=True)
class Baseline:
    """What an ablated feature is set to."""

    kind: Literal["zero", "mean", "mean active"]
    """Zero, its mean over all tokens, or its mean over the tokens on which it is active."""
    amounts: tuple[float, ...]
    """For each feature."""
    source: str = ""
    """Where a mean was measured."""

    def __str__(self) -> str:
        over = {"zero": "zero", "mean": "its mean over all tokens", "mean active": "its mean over the tokens it is active on"}
        return over[self.kind] + (f" ({', '.join(f'{a:.4g}' for a in self.amounts)}; {self.source})" if self.source else "")


@dataclass(frozen=True)
class Means:
    """Mean vectors at hook points, for ablating units to their mean."""

    vectors: dict[str, Float[Tensor, " width"]]
    """By the hook point's name."""
    source: str
    """Over what, for example `mean over 4,096 train tokens of demo`."""


def ablate(
    dictionary: Dictionary,
    features: Sequence[int],
    to: Baseline | None = None,
    positions: Positions = ALL,
    keep_error: bool = True,
) -> FeatureEdit:
    """Set features to a baseline, by default zero."""
    to = to or Baseline("zero", (0.0,) * len(features))
    said = f"{_names(dictionary, features)} set to {to}"
    return FeatureEdit(dictionary, tuple(features), "set", to.amounts, said, positions, keep_error)


def clamp(
    dictionary: Dictionary,
    features: Sequence[int],
    factor: float,
    maxima: Sequence[float],
    positions: Positions = ALL,
    keep_error: bool = True,
) -> FeatureEdit:
    """Set features to `factor` times their largest activations."""
    amounts = _times(factor, maxima)
    said = f"{_names(dictionary, features)} clamped to {factor:g} x its maximum ({', '.join(f'{a:.4g}' for a in amounts)})"
    return FeatureEdit(dictionary, tuple(features), "set", amounts, said, positions, keep_error)


def steer(
    dictionary: Dictionary, features: Sequence[int], factor: float, maxima: Sequence[float], positions: Positions = ALL
) -> FeatureEdit:
    """Add `factor` times their largest activations to features: in most dictionaries factor * maximum * W_dec is added."""
    amounts = _times(factor, maxima)
    said = f"{_names(dictionary, features)} steered by {factor:g} x its maximum ({', '.join(f'{a:.4g}' for a in amounts)})"
    return FeatureEdit(dictionary, tuple(features), "add", amounts, said, positions)


def random_direction(edit: FeatureEdit, seed: int) -> FeatureEdit:
    """The control: a random direction, the same on every token, with the norm that `edit` would write there.

    Beside an ablation it takes as much away from each token as the ablation does, in a direction that means nothing.

    Raises:
        UserError: the edit drops the error term, so that what it writes is not a change of the feature alone.
    """
    if not edit.keep_error:
        raise UserError("A random direction of equal norm stands beside an edit that keeps the error term: keep it.")
    return replace(edit, random=seed, said=f"random direction (seed {seed}) of the norm of: {edit.said}")


def heads(subject: Subject, layer: int, which: Sequence[int], means: Means | None = None, positions: Positions = ALL) -> UnitEdit:
    """Ablate attention heads: their slices of `z` become zero, or their means.

    Raises:
        UserError: the model has no such layer or head.
    """
    point = subject.check(HookPoint("z", layer))
    for head in which:
        if not 0 <= head < subject.heads:
            raise UserError(
                f"There is no head {layer}.{head}: layer {layer} of {subject.name} has heads 0 to {subject.heads - 1}."
            )
    size = subject.width(point) // subject.heads
    units = tuple(head * size + unit for head in which for unit in range(size))
    return _units(subject, point, units, f"head {', '.join(f'{layer}.{head}' for head in which)}", means, positions)


def neurons(
    subject: Subject, layer: int, which: Sequence[int], means: Means | None = None, positions: Positions = ALL
) -> UnitEdit:
    """Ablate hidden units of an MLP.

    Raises:
        UserError: the model has no such layer or unit.
    """
    point = subject.check(HookPoint("mlp_hidden", layer))
    width = subject.width(point)
    for unit in which:
        if not 0 <= unit < width:
            raise UserError(f"There is no neuron {layer}.{unit}: the MLP of layer {layer} has neurons 0 to {width - 1}.")
    return _units(subject, point, tuple(which), f"neuron {', '.join(f'{layer}.{u}' for u in which)}", means, positions)


def layer(
    subject: Subject, number: int, part: Part = "block", means: Means | None = None, positions: Positions = ALL
) -> list[UnitEdit]:
    """Ablate what a layer adds to the residual stream. Without its two parts a block passes the stream on unchanged.

    Raises:
        UserError: the model has no such layer.
    """
    points = [subject.check(HookPoint(kind, number)) for kind in WRITERS[part]]
    return [_units(subject, point, None, f"{point}", means, positions) for point in points]


def _units(
    subject: Subject, point: HookPoint, units: tuple[int, ...] | None, name: str, means: Means | None, positions: Positions
) -> UnitEdit:
    width = subject.width(point)
    if means is None:
        values, to = torch.zeros(width), "zero"
    else:
        if str(point) not in means.vectors:
            raise UserError(f"No mean was measured at {point}: measure it first, or ablate to zero.")
        values, to = means.vectors[str(point)].cpu().float(), f"its mean ({means.source})"
        if values.shape != (width,):
            raise UserError(f"The mean at {point} has shape {tuple(values.shape)}; it must be ({width},).")
    if units is not None:
        values = values[list(units)]
    return UnitEdit(point, units, values.to(subject.device), f"{name} set to {to}", positions)


def _times(factor: float, maxima: Sequence[float]) -> tuple[float, ...]:
    if not math.isfinite(factor):
        raise UserError(f"The strength {factor} must be a finite number.")
    return tuple(factor * maximum for maximum in maxima)


def _names(dictionary: Dictionary, features: Sequence[int]) -> str:
    shown = ", ".join(f"{dictionary.facts.name}/{f}" for f in features[:6])
    return shown + (f" and {len(features) - 6} more" if len(features) > 6 else "")
