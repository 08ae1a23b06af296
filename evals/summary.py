"""A scoring run in a few figures: medians over features with intervals, and contestants compared on the same features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dragoman.store.records import Score

from .statistics import Interval, Pairing, median_interval, paired

CONTESTANTS = ("label", "token_lookup", "shuffled")
SCORERS: Mapping[str, str] = {
    "simulation.r": "simulation, r per token",
    "simulation.r_top_random": "simulation, r on 1 : 1 top and random",
    "detection.auroc": "detection, AUROC",
    "detection.balanced_accuracy": "detection, balanced accuracy",
    "detection_active.auroc": "detection at > 0, AUROC",
    "detection_active.balanced_accuracy": "detection at > 0, balanced accuracy",
    "detection_facets.auroc": "detection by facets together, AUROC",
    "detection_facets.balanced_accuracy": "detection by facets together, balanced accuracy",
    "fuzzing.auroc": "fuzzing, AUROC",
    "fuzzing.balanced_accuracy": "fuzzing, balanced accuracy",
    "simulation.r2": "simulation, R2",
    "simulation.absolute_deviation": "simulation, absolute deviation score",
    "embedding.auroc": "embedding, AUROC",
    "collision.accuracy": "collision, right text chosen",
    "collision.probability": "collision, probability of the right text",
    "generation.trigger_rate": "generation, texts that fire it",
    "generation.auroc": "generation, AUROC",
    "generation.specificity": "generation, near texts that do not",
    "counterfactual.auroc": "counterfactual, AUROC",
    "counterfactual.balanced_accuracy": "counterfactual, balanced accuracy",
    "intervention.accuracy": "intervention, right continuations chosen",
    "intervention.control": "intervention, a random direction chosen",
}
"""What is scored, in the order of display, with plain names."""


@dataclass(frozen=True)
class Line:
    """One scorer and contestant over all features."""

    scorer: str
    """What was measured."""
    contestant: str
    """Who predicted: the label or a control."""
    median: Interval
    """Median over scored features."""
    unscored: Mapping[str, int]
    """Features without a figure, by reason."""


@dataclass(frozen=True)
class Comparison:
    """The label against one control on the same features."""

    scorer: str
    """What was measured."""
    against: str
    """The control."""
    pairing: Pairing
    """Label minus control."""


@dataclass(frozen=True)
class Summary:
    """What a scoring run says as a whole."""

    lines: tuple[Line, ...]
    """A line for each scorer and contestant that was tried, in the order of display."""
    comparisons: tuple[Comparison, ...]
    """Label against each control, for each scorer."""

    @property
    def scorers(self) -> list[str]:
        """What was measured or tried, in the order of display."""
        return [scorer for scorer in SCORERS if any(self.tried(scorer, contestant) for contestant in CONTESTANTS)]

    def tried(self, scorer: str, contestant: str) -> bool:
        """Whether anything was measured, or tried, of this scorer and contestant."""
        return any((line.scorer, line.contestant) == (scorer, contestant) for line in self.lines)

    def line(self, scorer: str, contestant: str) -> Line:
        """The line of this scorer and contestant; an empty one where nothing was tried."""
        for line in self.lines:
            if (line.scorer, line.contestant) == (scorer, contestant):
                return line
        return Line(scorer, contestant, median_interval(np.zeros(0), np.random.default_rng(0)), {})

    def against(self, scorer: str, control: str) -> Pairing:
        """The label against this control; an empty comparison where it was not tried."""
        for comparison in self.comparisons:
            if (comparison.scorer, comparison.against) == (scorer, control):
                return comparison.pairing
        return paired(np.zeros(0), np.zeros(0), np.random.default_rng(0))


def summarise(scores: Iterable[Score], seed: int = 0) -> Summary:
    """Medians and paired comparisons of one scoring run (one judge, one split)."""
    values, reasons = tabulate(scores)
    lines, comparisons = [], []
    for number, scorer in enumerate(SCORERS):
        tried = [c for c in CONTESTANTS if (scorer, c) in values or (scorer, c) in reasons]
        for place, contestant in enumerate(CONTESTANTS):
            if contestant not in tried:
                continue
            rng = np.random.default_rng([seed, number, place])
            own = values.get((scorer, contestant), {})
            figures = _array(own, sorted(own))
            lines.append(Line(scorer, contestant, median_interval(figures, rng), reasons.get((scorer, contestant), {})))
        for place, control in enumerate(CONTESTANTS[1:]):
            if control not in tried:
                continue
            rng = np.random.default_rng([seed, number, place, 1])
            ours, theirs = values.get((scorer, "label"), {}), values.get((scorer, control), {})
            both = sorted(set(ours) & set(theirs))
            comparisons.append(Comparison(scorer, control, paired(_array(ours, both), _array(theirs, both), rng)))
    return Summary(tuple(lines), tuple(comparisons))


def tabulate(
    scores: Iterable[Score],
) -> tuple[dict[tuple[str, str], dict[int, float]], dict[tuple[str, str], Counter[str]]]:
    """Values by (scorer, contestant) and feature, and counts of the reasons of what is unscored."""
    values: dict[tuple[str, str], dict[int, float]] = {}
    reasons: dict[tuple[str, str], Counter[str]] = {}
    for score in scores:
        key = (score.scorer, score.contestant)
        if score.value is not None:
            values.setdefault(key, {})[score.feature] = score.value
        else:
            reasons.setdefault(key, Counter())[(score.unscored or "no reason").split(" (")[0]] += 1
    return values, reasons


def _array(values: Mapping[int, float], features: Iterable[int]) -> NDArray[np.float64]:
    return np.array([values[feature] for feature in features], np.float64)
