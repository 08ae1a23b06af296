"""Simulation: how active is the feature at every token?"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from dragoman.evals.statistics import multiplicities, pearson, pearson_draws

from .measure import Measure, measured, unscored

NAMES = ("simulation.r", "simulation.r_top_random")
"""The headline at natural frequency, and the field's 1 : 1 sample of top and random contexts."""


def score(
    name: str,
    predicted: Float[NDArray[np.float32], " tokens"],
    real: Float[NDArray[np.float32], " tokens"],
    weight: Float[NDArray[np.float64], " tokens"],
    document: Int[NDArray[np.int64], " tokens"],
    contexts: int,
    seed: int,
    feature: int,
) -> Measure:
    """Weighted Pearson correlation of predicted with real activation over all non-special tokens of the sampled contexts.

    Predictions are shares of the train maximum and are never refitted on the scored split. A constant prediction scores 0 and
    is flagged; a constant truth is unscored. The interval resamples documents. Source: the correlation score of Bills et al.,
    Language models can explain neurons in language models (2023); the weights undo the stratified sampling of contexts.
    """
    if np.ptp(real) == 0:
        return unscored((name,), "constant truth")[0]
    if np.ptp(predicted) == 0:
        return Measure(name, 0.0, 0.0, 0.0, contexts, None, ("constant prediction",))
    _, cluster = np.unique(document, return_inverse=True)
    documents = int(cluster.max()) + 1
    drawn = multiplicities(documents, np.random.default_rng([seed, feature, 2]))
    draws = pearson_draws(predicted, real, weight, cluster, drawn)
    value = pearson(predicted, real, weight)
    return measured(name, value, draws, contexts, documents, ())
