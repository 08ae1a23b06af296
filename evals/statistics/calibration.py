"""Does a judge mean what it says? Of the texts to which it gives 0.8, do eight of ten fire?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from .rates import wilson


class Bin(NamedTuple):
    """Predictions of about the same size."""

    low: float
    """Smallest probability that belongs here."""
    high: float
    """Largest; it belongs to the next bin, but for the last one."""
    n: int
    """Predictions in it."""
    predicted: float
    """Their mean; NaN where there is none."""
    observed: float
    """Share of them that came true; NaN where there is none."""
    interval: tuple[float, float]
    """95 % Wilson interval of that share."""


class Calibration(NamedTuple):
    """How far probabilities can be taken at their word, at the share of positives in the sample (about a half in ours)."""

    n: int
    """Predictions."""
    brier: float
    """Mean squared difference of probability and outcome: 0 is perfect, 0.25 is what saying 0.5 gets. NaN where n is 0."""
    reliability: float
    """Mean squared distance of the bins' mean probability from their observed share: 0 is calibrated."""
    resolution: float
    """Mean squared distance of the bins' observed share from the overall share: 0 tells nothing apart."""
    uncertainty: float
    """Variance of the outcome: what a calibrated judge that tells nothing apart would score."""
    within: float
    """What binning hides; brier = reliability - resolution + uncertainty + within."""
    bins: tuple[Bin, ...]
    """The reliability diagram, from 0 to 1, empty bins included."""


def calibration(
    probability: Float[NDArray[np.floating], " n"], truth: Bool[NDArray[np.bool_], " n"], bins: int = 10
) -> Calibration:
    """Brier score, its decomposition and the reliability diagram over bins of equal width. NaN probabilities are left out.

    Source: Brier, Verification of forecasts expressed in terms of probability (1950); Murphy, A new vector partition of the
    probability score (1973). Murphy's three terms are exact where all predictions of a bin are equal; otherwise the variance
    within bins less twice the covariance with the outcome remains (Stephenson, Coelho and Jolliffe 2008), kept in `within`.
    """
    kept = ~np.isnan(probability)
    p, y = np.asarray(probability, np.float64)[kept], truth[kept].astype(np.float64)
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore", divide="ignore"):
        predicted = np.bincount(place, weights=p, minlength=bins) / counts
        observed = np.bincount(place, weights=y, minlength=bins) / counts
    table = tuple(
        Bin(
            float(edges[i]),
            float(edges[i + 1]),
            int(n),
            float(predicted[i]),
            float(observed[i]),
            wilson(float(y[place == i].sum()), n),
        )
        for i, n in enumerate(counts.tolist())
    )
    if len(p) == 0:
        nothing = float("nan")
        return Calibration(0, nothing, nothing, nothing, nothing, nothing, table)
    used = counts > 0
    share, base = counts[used] / len(p), float(y.mean())
    brier = float(np.mean((p - y) ** 2))
    reliability = float(share @ (predicted[used] - observed[used]) ** 2)
    resolution = float(share @ (observed[used] - base) ** 2)
    uncertainty = base * (1 - base)
    return Calibration(len(p), brier, reliability, resolution, uncertainty, brier - reliability + resolution - uncertainty, table)
