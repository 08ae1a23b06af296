"""How many questions an interval of a given width takes: probabilities as answers, and an early end, against yes and no.

Both ways have the same judge, and their intervals come from the same function (`detection.two_classes`): the wider of the
bootstrap by document and of the interval in closed form. The usual way asks every label the same number of questions; of its two
intervals, that of the AUROC and that of balanced accuracy, the narrower is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman.evals.scorers.detection import two_classes
from dragoman.evals.statistics import batches

NAMES = ("auroc", "balanced_accuracy")
FEWEST = 10
"""Questions before the first look, and in each batch."""

Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Asked(NamedTuple):
    """What a judge said about one label."""

    truth: Bools
    probability: Doubles


class Widths(NamedTuple):
    """What the usual number of questions reaches, and what ours take to reach the same mean width."""

    usual: float
    """Mean width of the usual interval, yes or no, over the labels."""
    fixed: float
    """Questions a label with probabilities, the same number for every label."""
    early: float
    """Mean questions a label with probabilities and an early end."""


def compare(labels: Sequence[Asked], usual: int, seed: int = 0) -> Widths:
    """Of labels asked at least `usual` questions each, half of them positive."""
    orders = [_order(asked, np.random.default_rng([seed, i])) for i, asked in enumerate(labels)]
    wanted = float(np.mean([min(_widths(asked, order[:usual], hard=True)) for asked, order in zip(labels, orders, strict=True)]))
    counts = range(FEWEST, usual + 1, FEWEST)
    paths = np.array([[_widths(a, order[:n])[0] for n in counts] for a, order in zip(labels, orders, strict=True)])
    fixed = _crossing(paths.mean(0), np.array(counts, float), wanted)
    early = []
    for target in np.unique(paths):
        stop = np.argmax(np.column_stack((paths <= target, np.ones(len(paths), bool)))[:, : len(counts)], axis=1)
        stop[~(paths <= target).any(1)] = len(counts) - 1
        early.append((paths[np.arange(len(paths)), stop].mean(), np.array(counts)[stop].mean()))
    reached = [questions for width, questions in early if width <= wanted]
    return Widths(wanted, fixed, float(min(reached, default=usual)))


def of_ability(area: float, labels: int, questions: int, rng: np.random.Generator) -> list[Asked]:
    """Answers of a made-up judge whose AUROC is `area`: normal scores in both classes, told as calibrated probabilities."""
    from statistics import NormalDist

    shift = 2**0.5 * NormalDist().inv_cdf(area)
    made = []
    for _ in range(labels):
        truth = np.arange(questions) % 2 == 0
        score = rng.standard_normal(questions) + shift * truth
        made.append(Asked(truth, 1 / (1 + np.exp(-shift * (score - shift / 2)))))
    return made


def _order(asked: Asked, rng: np.random.Generator) -> NDArray[np.int64]:
    return np.concatenate(batches(asked.truth.astype(np.int64), rng, FEWEST))


def _widths(asked: Asked, at: NDArray[np.int64], hard: bool = False) -> list[float]:
    """Widths of the two intervals from some of the answers, each about a document of its own."""
    said = asked.probability[at]
    if hard:
        said = (said > 0.5).astype(np.float64)
    found = two_classes(asked.truth[at], said, np.arange(len(at)), NAMES, 0, 0)
    return [m.high - m.low if m.high is not None and m.low is not None else 1.0 for m in found]


def _crossing(widths: Doubles, counts: Doubles, wanted: float) -> float:
    """Where mean widths, which fall with the questions, come down to the one wanted; the largest count where they do not."""
    low = np.minimum.accumulate(widths)
    return float(np.interp(-wanted, -low, counts)) if low[-1] <= wanted else float(counts[-1])
