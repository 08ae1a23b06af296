"""Interventions by address: from the features, heads and layers that somebody names to edits, with what the store knows.

Maxima, means and example texts come from the store's train rows. The edits themselves are in `interventions/`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from dragoman.store.errors import UserError
from dragoman.store.records import FeatureKey

from .interventions import (
    ALL,
    Edit,
    FeatureEdit,
    Means,
    Positions,
    ablate,
    baseline,
    clamp,
    heads,
    layer,
    neurons,
    steer,
    unit_means,
)
from .interventions.edits import WRITERS
from .workbench import Workbench

Address = str | int | FeatureKey
To = Literal["zero", "mean", "mean active"]
TOS: tuple[To, ...] = ("zero", "mean", "mean active")


def ablations(
    bench: Workbench, features: Sequence[Address], to: To = "zero", positions: Positions = ALL, keep_error: bool = True
) -> list[Edit]:
    """Features of one or several dictionaries set to zero, or to their mean on train.

    Args:
        bench: the store with its subject and dictionaries.
        features: addresses or global ids.
        to: `zero`, `mean` (over all train tokens), `mean active` (over those on which the feature is active).
        positions: on which tokens.
        keep_error: keep what the dictionary does not reconstruct.

    Raises:
        UserError: there is no such feature or baseline.
    """
    if to not in TOS:
        raise UserError(f"Features cannot be ablated to {to!r}: choose from {', '.join(TOS)}.")
    train, place = bench.store.train_view(), bench.store.path.name
    return [
        ablate(bench.dictionary(name), indices, baseline(train, ids, to, place), positions, keep_error)
        for name, indices, ids in _grouped(bench, features)
    ]


def clamps(
    bench: Workbench, features: Sequence[Address], factor: float, positions: Positions = ALL, keep_error: bool = True
) -> list[Edit]:
    """Features set to `factor` times their largest activations on train."""
    return [
        clamp(bench.dictionary(name), indices, factor, [bench.maximum(i) for i in ids], positions, keep_error)
        for name, indices, ids in _grouped(bench, features)
    ]


def steers(bench: Workbench, features: Sequence[Address], factor: float = 1.0, positions: Positions = ALL) -> list[FeatureEdit]:
    """`factor` times their largest activations on train added to features."""
    return [
        steer(bench.dictionary(name), indices, factor, [bench.maximum(i) for i in ids], positions)
        for name, indices, ids in _grouped(bench, features)
    ]


def units(
    bench: Workbench,
    head: Sequence[str] = (),
    neuron: Sequence[str] = (),
    parts: Sequence[str] = (),
    to: To = "zero",
    positions: Positions = ALL,
) -> list[Edit]:
    """Heads (`2.3`: layer, head), neurons (`1.40`) and parts of layers (`attention.2`, `mlp.2`, `block.2`) ablated.

    Raises:
        UserError: one of them is not written so or does not exist, or their mean over active tokens is asked for.
    """
    if to == "mean active":
        raise UserError("Heads, neurons and layers are always active: ablate them to zero or to their mean over all tokens.")
    numbered = {kind: [_pair(text, kind) for text in given] for kind, given in (("head", head), ("neuron", neuron))}
    layered = [_part(text) for text in parts]
    points = [f"z.{n}" for n, _ in numbered["head"]] + [f"mlp_hidden.{n}" for n, _ in numbered["neuron"]]
    points += [f"{kind}.{n}" for part, n in layered for kind in WRITERS[part]]
    means = _means(bench, sorted(set(points))) if points and to == "mean" else None
    edits: list[Edit] = [heads(bench.subject, n, [unit], means, positions) for n, unit in numbered["head"]]
    edits += [neurons(bench.subject, n, [unit], means, positions) for n, unit in numbered["neuron"]]
    for part, n in layered:
        edits += layer(bench.subject, n, part, means, positions)
    return edits


def evidence(bench: Workbench, feature: Address, texts: int = 8) -> list[list[int]]:
    """Token ids of the train contexts in which a feature fires hardest.

    Raises:
        UserError: it never fires on train.
    """
    train, number = bench.store.train_view(), bench.store.id(feature)
    found = train.examples(number, "top", texts)
    if not found:
        raise UserError(f"{train.key(number)} is never active on train: give a text or a prompt to experiment on.")
    return [list(example.context.ids) for example in found]


def _grouped(bench: Workbench, features: Sequence[Address]) -> list[tuple[str, list[int], list[int]]]:
    """For each dictionary its name, the indices in it, and their global ids."""
    found: dict[str, tuple[list[int], list[int]]] = {}
    for feature in features:
        number = bench.store.id(feature)
        key = bench.store.key(number)
        indices, ids = found.setdefault(key.dictionary, ([], []))
        if number not in ids:
            indices.append(key.index)
            ids.append(number)
    return [(name, indices, ids) for name, (indices, ids) in found.items()]


def _means(bench: Workbench, points: Sequence[str]) -> Means:
    store = bench.store
    return unit_means(bench.subject, store.train_view(), points, store.path.name, bos=bench.prepend_bos)


def _pair(text: str, kind: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)\.(\d+)", text.strip())
    if not found:
        raise UserError(f"{text!r} is no {kind}: write LAYER.{kind.upper()}, for example 2.3.")
    return int(found[1]), int(found[2])


def _part(text: str) -> tuple[Literal["attention", "mlp", "block"], int]:
    found = re.fullmatch(r"(attention|mlp|block)\.(\d+)", text.strip())
    if not found:
        raise UserError(f"{text!r} is no part of a layer: write attention.2, mlp.2 or block.2.")
    return found[1], int(found[2])  # type: ignore[return-value]
