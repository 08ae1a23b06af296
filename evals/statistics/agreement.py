"""Do two judges say the same? Their probabilities on the same items, feature by feature, then over features with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from .bootstrap import DRAWS, Interval, midranks, pearson, percentile_interval

Items = Float[NDArray[np.floating], " items"]


class Agreement(NamedTuple):
    """Two judges compared on the same items of the same features. Means over features, which the intervals resample."""

    pearson: Interval
    """Linear correlation of their probabilities; features on which a judge is constant have none and are left out."""
    spearman: Interval
    """Rank correlation, likewise."""
    kappa: Interval
    """Cohen's kappa of their decisions; features on which both decide the same everywhere have none and are left out."""
    same: Interval
    """Share of items on which they decide the same, on all features."""


def agreement(first: Sequence[Items], second: Sequence[Items], rng: np.random.Generator, threshold: float = 0.5) -> Agreement:
    """Agreement of two judges, of which `first` and `second` hold the probabilities of each feature, NaN for no answer.

    Items that either judge left unanswered are left out, and so are features with fewer than two items left. A probability above
    `threshold` is a yes.
    """
    rows = []
    for one, two in zip(first, second, strict=True):
        both = ~np.isnan(one) & ~np.isnan(two)
        a, b = np.asarray(one, np.float64)[both], np.asarray(two, np.float64)[both]
        if len(a) < 2:
            continue
        yes, also = a > threshold, b > threshold
        rows.append((pearson(a, b), spearman(a, b), cohen_kappa(yes, also), float((yes == also).mean())))
    table = np.array(rows, np.float64).reshape(-1, 4)
    return Agreement(*(_mean(column, rng) for column in table.T))


def spearman(x: Items, y: Items) -> float:
    """Pearson correlation of the midranks (Spearman 1904). NaN where x or y is constant."""
    return pearson(midranks(x), midranks(y))


def cohen_kappa(first: Bool[NDArray[np.bool_], " items"], second: Bool[NDArray[np.bool_], " items"]) -> float:
    """(observed - expected) / (1 - expected) agreement of two yes-or-no judges; expected from how often each says yes.

    NaN where both say the same to everything. Source: Cohen, A coefficient of agreement for nominal scales (1960).
    """
    observed = float((first == second).mean())
    yes, also = float(first.mean()), float(second.mean())
    expected = yes * also + (1 - yes) * (1 - also)
    return (observed - expected) / (1 - expected) if expected < 1 else float("nan")


def _mean(values: Float[NDArray[np.float64], " features"], rng: np.random.Generator) -> Interval:
    """Mean of the values that exist, with the bootstrap interval over features."""
    kept = values[~np.isnan(values)]
    if len(kept) == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    drawn = kept[rng.integers(0, len(kept), size=(2 * DRAWS, len(kept)))].mean(1)
    return Interval(float(kept.mean()), *percentile_interval(drawn), len(kept))
