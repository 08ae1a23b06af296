"""Detection: does the feature fire anywhere in this context?"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from dragoman.evals.statistics import auroc, auroc_draws, balanced_accuracy, balanced_accuracy_draws, multiplicities

from .measure import FEWEST, PREDICTS, Measure, measured, unscored
from .sample import DetectionSample

FIRES = ("detection.auroc", "detection.balanced_accuracy")
"""At the definition of firing, value > 0.2 of the train maximum."""
ACTIVE = ("detection_active.auroc", "detection_active.balanced_accuracy")
"""At > 0, the field's usual definition."""


def score(
    sample: DetectionSample,
    probability: Float[NDArray[np.float32], " contexts"],
    document: Int[NDArray[np.int64], " contexts"],
    names: tuple[str, str],
    seed: int,
    feature: int,
) -> list[Measure]:
    """AUROC and balanced accuracy of a judge's probabilities over the sampled contexts.

    AUROC is the chance that a firing context gets a higher probability than a silent one, ties counting half. Balanced
    accuracy is the mean of the two classes' hit rates, a probability above 0.5 counting as "fires". Intervals resample
    documents. Source: the detection score of Paulo et al., Automatically Interpreting Millions of Features (2024), with
    negatives that were checked to be silent and half of them near misses.
    """
    refused = too_few(sample)
    if refused:
        return unscored(names, refused)
    _, cluster = np.unique(document, return_inverse=True)
    documents = int(cluster.max()) + 1
    drawn = multiplicities(documents, np.random.default_rng([seed, feature, 1]))
    flags: tuple[str, ...] = () if sample.near_misses else ("no near misses",)
    if np.ptp(probability) == 0:
        flags = (*flags, "constant prediction")
    predicted = probability > PREDICTS
    n = len(sample.rows)
    area = measured(
        names[0], auroc(sample.truth, probability), auroc_draws(sample.truth, probability, cluster, drawn), n, documents, flags
    )
    accuracy = measured(
        names[1],
        balanced_accuracy(sample.truth, predicted),
        balanced_accuracy_draws(sample.truth, predicted, cluster, drawn),
        n,
        documents,
        flags,
    )
    return [area, accuracy]


def too_few(sample: DetectionSample) -> str | None:
    """Why this sample cannot be scored, or None."""
    positives, negatives = int(sample.truth.sum()), int((~sample.truth).sum())
    if positives < FEWEST:
        return f"too few contexts in which it fires ({positives}, at least {FEWEST} are needed)"
    if negatives < FEWEST:
        return f"too few silent contexts ({negatives}, at least {FEWEST} are needed)"
    return None
