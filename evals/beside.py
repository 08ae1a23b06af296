"""Two runs, or two labels of one feature, beside each other: only what the same judge measured on test is compared, in pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dragoman.store.features import Store
from dragoman.store.records import JudgeAnswer, Label, Run, Score

from .statistics import Interval, Pairing, auroc, auroc_draws, median_interval, multiplicities, paired, percentile_interval
from .summary import SCORERS


class Beside(NamedTuple):
    """One score of two runs."""

    scorer: str
    """What was measured."""
    judge: str
    """Who predicted, the same for both."""
    first: Interval
    """Median of the first over the features that both have."""
    second: Interval
    """Of the second."""
    pairing: Pairing
    """First minus second."""


class Pair(NamedTuple):
    """One score of two labels of a feature."""

    scorer: str
    """What was measured."""
    judge: str
    """Who predicted."""
    first: Score | None
    """Of the first label, the newest; None where this was not measured."""
    second: Score | None
    """Of the second."""
    difference: Interval | None
    """First minus second on the same questions, documents resampled; None where the answers were not kept."""


def runs_beside(store: Store, first: Run, second: Run, seed: int = 0) -> list[Beside]:
    """Scores of two runs on the features that both have, in the order of display.

    A labeling run has the scores of its labels, from whichever scoring runs there are (the newest where there are several); a
    scoring run has its own.
    """
    ours, theirs = _values(store, first), _values(store, second)
    found = []
    for place, key in enumerate(_in_order(key for key in ours if key in theirs)):
        both = sorted(ours[key].keys() & theirs[key].keys())
        if both:
            rng = np.random.default_rng([seed, place])
            one, two = (np.array([values[key][feature] for feature in both], np.float64) for values in (ours, theirs))
            found.append(Beside(*key, median_interval(one, rng), median_interval(two, rng), paired(one, two, rng)))
    return found


def labels_beside(store: Store, first: Label, second: Label, seed: int = 0) -> list[Pair]:
    """The test scores of two labels; in pairs where both are of one feature and a judge was asked the same questions."""
    ours, theirs = _newest(store, first), _newest(store, second)
    pairs = []
    for place, key in enumerate(_in_order({*ours, *theirs})):
        one, two = ours.get(key), theirs.get(key)
        difference = None
        if one and two and first.feature == second.feature and key[0] in ("detection.auroc", "fuzzing.auroc"):
            difference = _difference(store, one, two, np.random.default_rng([seed, place]))
        pairs.append(Pair(*key, one, two, difference))
    return pairs


def auroc_difference(
    first: Sequence[JudgeAnswer], second: Sequence[JudgeAnswer], documents: Mapping[int, int], rng: np.random.Generator
) -> Interval | None:
    """AUROC of the first minus that of the second on the questions that both answered, whole documents resampled.

    documents: the document of each context. None where no question was answered by both, or all have one truth.
    """
    given = {a.item: a for a in second if a.probability is not None and a.truth is not None}
    both = [(a, given[a.item]) for a in first if a.probability is not None and a.truth is not None and a.item in given]
    if not both or len({one.truth for one, _ in both}) < 2:
        return None
    truth = np.array([one.truth for one, _ in both], bool)
    ours, theirs = (np.array([pair[side].probability for pair in both], np.float64) for side in (0, 1))
    names, cluster = np.unique([documents[one.context] for one, _ in both], return_inverse=True)
    drawn = multiplicities(len(names), rng)
    draws = auroc_draws(truth, ours, cluster, drawn) - auroc_draws(truth, theirs, cluster, drawn)
    return Interval(auroc(truth, ours) - auroc(truth, theirs), *percentile_interval(draws), len(names))


def _difference(store: Store, one: Score, two: Score, rng: np.random.Generator) -> Interval | None:
    kind = one.scorer.partition(".")[0]
    first, second = (store.ledger.answers(score.run, "label", kind, score.feature) for score in (one, two))
    contexts = sorted({answer.context for answer in (*first, *second)})
    documents = {context.id: context.document for context in store.contexts(contexts)} if contexts else {}
    return auroc_difference(first, second, documents, rng)


Key = tuple[str, str]
"""Scorer and judge."""


def _values(store: Store, run: Run) -> dict[Key, dict[int, float]]:
    """Scored test values by scorer, judge and feature; later ones replace earlier ones."""
    if run.kind == "score":
        scores: Iterable[Score] = store.ledger.scores(run=run.id, contestant="label", split="test")
    else:
        own = {label.id for label in store.ledger.labels(run=run.id)}
        scores = (score for score in store.ledger.scores(contestant="label", split="test") if score.label in own)
    found: dict[Key, dict[int, float]] = {}
    for score in scores:
        if score.value is not None:
            found.setdefault((score.scorer, score.judge), {})[score.feature] = score.value
    return found


def _newest(store: Store, label: Label) -> dict[Key, Score]:
    scores = store.ledger.scores(feature=label.feature, label=label.id, contestant="label", split="test")
    return {(score.scorer, score.judge): score for score in scores}


def _in_order(keys: Iterable[Key]) -> list[Key]:
    places = {name: place for place, name in enumerate(SCORERS)}
    return sorted(keys, key=lambda key: (places.get(key[0], len(places)), key))
