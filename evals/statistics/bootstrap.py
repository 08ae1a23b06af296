"""Statistics of scores: AUROC, balanced accuracy, weighted correlation, and bootstrap intervals over documents or features.

A bootstrap over documents resamples whole documents, because tokens of one document are not independent. It is done by
multiplicities: a matrix (draws, documents) says how often each document was drawn, and every statistic is computed for all
draws at once from per-document sums (correlation, balanced accuracy) or from the table of pairwise comparisons (AUROC).
Source: Efron and Tibshirani, An Introduction to the Bootstrap, chapters 8 and 13 (percentile intervals of clustered data).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

DRAWS = 1000
"""Bootstrap draws of a feature's interval."""
LEVEL = 0.95
"""Coverage of every interval."""

Draws = Float[NDArray[np.float64], "draws clusters"]


class Interval(NamedTuple):
    """A figure with its 95 % bootstrap interval."""

    value: float
    """The figure on the data itself."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""
    n: int
    """Number of independent units (documents or features) behind it."""

    def text(self, form: str = ".3f") -> str:
        """The interval in brackets, for people."""
        return f"[{plain(self.low, form)}, {plain(self.high, form)}]"


class Pairing(NamedTuple):
    """Two contestants compared on the same features."""

    median: Interval
    """Median over features of the difference first minus second."""
    mean: Interval
    """Mean over features of the difference."""
    better: float
    """Share of features on which the first is strictly better."""


def plain(value: float, form: str = ".3f") -> str:
    """A figure for people: formatted, and never minus zero."""
    text = format(value, form)
    return text.replace("-", "+" if "+" in form else "", 1) if float(text) == 0 else text


def multiplicities(clusters: int, rng: np.random.Generator, draws: int = DRAWS) -> Draws:
    """How often each of the clusters is drawn when as many as there are get drawn with replacement: shape (draws, clusters)."""
    picks = rng.integers(0, clusters, size=(draws, clusters))
    picks += np.arange(draws)[:, None] * clusters
    return np.bincount(picks.ravel(), minlength=draws * clusters).reshape(draws, clusters).astype(np.float64)


def percentile_interval(draws: Float[NDArray[np.float64], " draws"]) -> tuple[float, float]:
    """The central 95 % of the draws. Draws in which the figure does not exist are NaN and left out; NaN if none is left."""
    kept = draws[~np.isnan(draws)]
    if len(kept) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(kept, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def auroc(truth: Bool[NDArray[np.bool_], " n"], score: Float[NDArray[np.floating], " n"]) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties counting half.

    Computed from midranks (Mann and Whitney 1947; Hanley and McNeil 1982). NaN where one class is missing.
    """
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if positives == 0 or negatives == 0:
        return float("nan")
    return float((midranks(score)[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def midranks(values: Float[NDArray[np.floating], " n"]) -> Float[NDArray[np.float64], " n"]:
    """Rank of every value from 1 up; equal values share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place])


def auroc_draws(
    truth: Bool[NDArray[np.bool_], " n"],
    score: Float[NDArray[np.floating], " n"],
    cluster: Int[NDArray[np.integer], " n"],
    drawn: Draws,
) -> Float[NDArray[np.float64], " draws"]:
    """AUROC of every bootstrap draw; `cluster` is each item's column of `drawn`. NaN where a draw holds one class only."""
    positive, negative = score[truth], score[~truth]
    wins = (positive[:, None] > negative[None, :]) + 0.5 * (positive[:, None] == negative[None, :])
    on, off = drawn[:, cluster[truth]], drawn[:, cluster[~truth]]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(((on @ wins) * off).sum(1) / (on.sum(1) * off.sum(1)))


def balanced_accuracy(truth: Bool[NDArray[np.bool_], " n"], predicted: Bool[NDArray[np.bool_], " n"]) -> float:
    """Mean of the true positive rate and the true negative rate; NaN where one class is missing."""
    if truth.all() or not truth.any():
        return float("nan")
    return float((predicted[truth].mean() + (~predicted[~truth]).mean()) / 2)


def balanced_accuracy_draws(
    truth: Bool[NDArray[np.bool_], " n"],
    predicted: Bool[NDArray[np.bool_], " n"],
    cluster: Int[NDArray[np.integer], " n"],
    drawn: Draws,
) -> Float[NDArray[np.float64], " draws"]:
    """Balanced accuracy of every bootstrap draw. NaN where a draw holds one class only."""
    cells = np.stack([truth, truth & predicted, ~truth, ~truth & ~predicted], axis=1).astype(np.float64)
    sums = drawn @ _by_cluster(cells, cluster, drawn.shape[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((sums[:, 1] / sums[:, 0] + sums[:, 3] / sums[:, 2]) / 2)


def pearson(
    x: Float[NDArray[np.floating], " n"],
    y: Float[NDArray[np.floating], " n"],
    weight: Float[NDArray[np.floating], " n"] | None = None,
) -> float:
    """Weighted Pearson correlation, sum w (x - mx)(y - my) / sqrt(sum w (x - mx)^2 sum w (y - my)^2) with weighted means.

    NaN where x or y is constant on the items of positive weight.
    """
    w = np.ones(len(x)) if weight is None else np.asarray(weight, np.float64)
    moments = _moments(x, y, w).sum(0, keepdims=True)
    return float(_correlation(moments)[0])


def pearson_draws(
    x: Float[NDArray[np.floating], " n"],
    y: Float[NDArray[np.floating], " n"],
    weight: Float[NDArray[np.floating], " n"],
    cluster: Int[NDArray[np.integer], " n"],
    drawn: Draws,
) -> Float[NDArray[np.float64], " draws"]:
    """Weighted Pearson correlation of every bootstrap draw of a prediction x with a truth y.

    As for the figure itself, a draw in which the prediction is constant counts 0, and one in which the truth is constant is NaN.
    """
    moments = drawn @ _by_cluster(_moments(x, y, np.asarray(weight, np.float64)), cluster, drawn.shape[1])
    r = _correlation(moments)
    r[np.isnan(r) & ~np.isnan(_correlation(moments[:, [0, 2, 2, 4, 4, 4]]))] = 0
    return r


def ratio_draws(
    numerator: Float[NDArray[np.floating], " n"],
    denominator: Float[NDArray[np.floating], " n"],
    cluster: Int[NDArray[np.integer], " n"],
    drawn: Draws,
) -> Float[NDArray[np.float64], " draws"]:
    """Sum of the numerators over the sum of the denominators in every bootstrap draw: a mean where the denominators are ones.

    NaN where a draw's denominators sum to 0.
    """
    items = np.stack([numerator, denominator], axis=1).astype(np.float64)
    sums = drawn @ _by_cluster(items, cluster, drawn.shape[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(sums[:, 1] == 0, np.nan, sums[:, 0] / sums[:, 1])


def median_interval(values: Float[NDArray[np.floating], " n"], rng: np.random.Generator, draws: int = 2 * DRAWS) -> Interval:
    """Median over features with its bootstrap interval (features resampled). All NaN where there is nothing."""
    if len(values) == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    picks = rng.integers(0, len(values), size=(draws, len(values)))
    low, high = percentile_interval(np.median(np.asarray(values, np.float64)[picks], axis=1))
    return Interval(float(np.median(values)), low, high, len(values))


def paired(
    first: Float[NDArray[np.floating], " n"],
    second: Float[NDArray[np.floating], " n"],
    rng: np.random.Generator,
    draws: int = 2 * DRAWS,
) -> Pairing:
    """First minus second on the same features, with bootstrap intervals over features."""
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    n = len(difference)
    if n == 0:
        nothing = Interval(float("nan"), float("nan"), float("nan"), 0)
        return Pairing(nothing, nothing, float("nan"))
    drawn = difference[rng.integers(0, n, size=(draws, n))]
    median = Interval(float(np.median(difference)), *percentile_interval(np.median(drawn, axis=1)), n)
    mean = Interval(float(difference.mean()), *percentile_interval(drawn.mean(1)), n)
    return Pairing(median, mean, float((difference > 0).mean()))


def _by_cluster(
    items: Float[NDArray[np.float64], "n k"], cluster: Int[NDArray[np.integer], " n"], clusters: int
) -> Float[NDArray[np.float64], "clusters k"]:
    """Column sums of the items of each cluster."""
    return np.stack([np.bincount(cluster, weights=items[:, k], minlength=clusters) for k in range(items.shape[1])], axis=1)


def _moments(
    x: Float[NDArray[np.floating], " n"], y: Float[NDArray[np.floating], " n"], w: Float[NDArray[np.float64], " n"]
) -> Float[NDArray[np.float64], "n 6"]:
    """w, wx, wy, wxx, wyy, wxy of every item; x and y are first shifted by their weighted means, so that nothing cancels."""
    total = w.sum()
    x = np.asarray(x, np.float64) - (np.asarray(x, np.float64) @ w) / total
    y = np.asarray(y, np.float64) - (np.asarray(y, np.float64) @ w) / total
    return np.stack([w, w * x, w * y, w * x * x, w * y * y, w * x * y], axis=1)


def _correlation(moments: Float[NDArray[np.float64], "draws 6"]) -> Float[NDArray[np.float64], " draws"]:
    """Correlation from the sums of `_moments`; NaN where a variance is zero but for rounding."""
    with np.errstate(invalid="ignore", divide="ignore"):
        _, x, y, xx, yy, xy = (moments / moments[:, :1]).T
        varx, vary = xx - x * x, yy - y * y
        varx[varx <= 1e-12 * np.maximum(xx, 1e-300)] = np.nan
        vary[vary <= 1e-12 * np.maximum(yy, 1e-300)] = np.nan
        return np.asarray(np.clip((xy - x * y) / np.sqrt(varx * vary), -1, 1))
