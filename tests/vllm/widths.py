"""How many questions an interval of a given width takes: probabilities as answers, and an early end, against yes and no; and how
many short texts simulation takes, against the usual long ones.

Both ways have the same judge, and their intervals come from the same function (`detection.two_classes`): the wider of the
bootstrap by document and of the interval in closed form. The usual way asks every label the same number of questions; of its two
intervals, that of the AUROC and that of balanced accuracy, the narrower is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman.evals.scorers import simulation
from dragoman.evals.scorers.detection import two_classes
from dragoman.evals.statistics import batches
from dragoman.store.tokens import TokenTable
from tests.evals.scorers.world import world

NAMES = ("auroc", "balanced_accuracy")
FEWEST = 10
"""Questions before the first look, and in each batch."""

PREDICTED = 0.5
"""Features count whose prediction correlates so well."""

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


class Shorter(NamedTuple):
    """Short texts in the place of long ones."""

    features: int
    """Features whose intervals were averaged."""
    usual: float
    """Mean width with the usual number of long texts."""
    texts: float
    """Short texts that reach it."""


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


def shorter(texts: int, long: int, short: int, seed: int = 0) -> Shorter:
    """How many short texts give r as narrow an interval as `texts` long ones: half of each those on which the feature is most
    active, one a document, half random ones, and the same function makes the intervals.

    Features are made from the concepts of the corpus, and predicted by the mean of every token on other documents; those are left
    out for which that is no good prediction (r below 0.5 on all of the text).
    """
    text = world()
    tokens = text.tokens
    known = tokens.document[tokens.row] % 2 == 0
    counts = range(4, 2 * texts + 1, 2)
    seen = np.maximum(np.bincount(tokens.ids[known], minlength=tokens.ids.max() + 1), 1)
    found = []
    for number, concept in enumerate(text.labels.concepts):
        real = text.real(concept).astype(np.float64)
        predicted = (np.bincount(tokens.ids[known], real[known], len(seen)) / seen)[tokens.ids]
        if np.ptp(real[~known]) == 0 or np.ptp(predicted[~known]) == 0:
            continue
        if np.corrcoef(real[~known], predicted[~known])[0, 1] < PREDICTED:
            continue
        rng = np.random.default_rng([seed, number])
        widths = [_simulated(tokens, ~known, real, predicted, texts, long, rng)]
        widths += [_simulated(tokens, ~known, real, predicted, n, short, rng) for n in counts]
        if None not in widths:
            found.append(widths)
    usual, *ours = np.array(found, float).mean(0)
    return Shorter(len(found), float(usual), _crossing(np.array(ours), np.array(counts, float), float(usual)))


def _simulated(
    tokens: TokenTable, asked: Bools, real: Doubles, predicted: Doubles, texts: int, length: int, rng: np.random.Generator
) -> float | None:
    """Width of the interval of r over some texts of so many tokens; None where the feature fires in too few documents."""
    begin = np.concatenate([np.arange(a, b - length + 1, length) for a, b in _documents(tokens) if asked[a]])
    best = np.array([real[a : a + length].max() for a in begin])
    document = tokens.document[tokens.row[begin]]
    order = rng.permutation(len(begin))
    order = order[np.argsort(-best[order], kind="stable")]
    _, first = np.unique(document[order], return_index=True)
    top = order[np.sort(first)][: texts // 2]
    if len(top) < texts // 2 or best[top[-1]] == 0:
        return None
    chosen = np.concatenate([top, rng.choice(np.setdiff1d(np.arange(len(begin)), top), texts // 2, replace=False)])
    at = (begin[chosen][:, None] + np.arange(length)).ravel()
    said, truth = (part[at].astype(np.float32) for part in (predicted, real))
    r = simulation.score("r", said, truth, np.ones(len(at)), np.repeat(document[chosen], length), texts, 0, 0)
    return None if r.low is None or r.high is None else r.high - r.low


def _documents(tokens: TokenTable) -> list[tuple[int, int]]:
    """First token of each document, and the one after its last."""
    of = tokens.document[tokens.row]
    edges = np.flatnonzero(np.diff(of)) + 1
    return list(pairwise([0, *edges.tolist(), len(of)]))


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
