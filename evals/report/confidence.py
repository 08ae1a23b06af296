"""What labels' makers expected of them, beside what they reached on test: is their confidence worth anything?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from markupsafe import Markup
from numpy.typing import NDArray

from dragoman.evals.statistics import DRAWS, Interval, percentile_interval, plain, spearman
from dragoman.store.features import Store
from dragoman.store.records import Label, Score

from .material import Material
from .plots import Axis, Dot, scatter

FIGURES: Mapping[str, tuple[str, float]] = {"pattern.r": ("simulation.r", 0.0), "detection.auroc": ("detection.auroc", 0.5)}
"""The scorer on test that answers to a figure on validation, and its chance level."""
LEAST = 8
"""Labels below which nothing is said."""
BINS = 4
"""Rows of the table, each with as many labels."""


class Believed(NamedTuple):
    """Labels of similar confidence."""

    n: int
    """How many."""
    confidence: float
    """Mean of what was expected."""
    reached: float
    """Mean of what was reached on test."""
    low: float
    """Lowest of what was reached."""
    high: float
    """Highest."""


class Confidence(NamedTuple):
    """Confidence against test scores."""

    scorer: str
    """What was measured on test."""
    rho: Interval
    """Spearman correlation over labels."""
    rows: list[Believed]
    """From the least to the most confident."""


def confidence_rows(material: Material) -> Confidence | None:
    """The comparison; None where fewer than `LEAST` labels have both."""
    found = _pairs(material)
    if len(found) < LEAST:
        return None
    expected = np.array([one for one, _ in found.values()])
    reached = np.array([one for _, one in found.values()])
    rng = np.random.default_rng([len(found), 31])
    draws = np.array([_rho(expected[at], reached[at]) for at in rng.integers(0, len(found), (DRAWS, len(found)))])
    order = np.argsort(expected, kind="stable")
    rows = [
        Believed(
            len(at), float(expected[at].mean()), float(reached[at].mean()), float(reached[at].min()), float(reached[at].max())
        )
        for at in np.array_split(order, BINS)
    ]
    return Confidence(_scorers(material), Interval(_rho(expected, reached), *percentile_interval(draws), len(found)), rows)


def confidence_plot(material: Material, store: Store) -> list[Markup]:
    """A dot a label: what was expected of it against what it reached."""
    found = confidence_rows(material)
    if found is None:
        return []
    pairs = _pairs(material)
    dots = [Dot(c, r, f"{store.key(f)}: expected {c:.2f}, reached {r:.2f}", f"#f{f}") for f, (c, r) in pairs.items()]
    low = min(0.0, *(r for _, r in pairs.values()), 0.0)
    title = f"Confidence of labels against test: Spearman {plain(found.rho.value, '.2f')}"
    across = Axis("confidence: the score that was expected (0 is chance)", 0.0, 1.0)
    return [scatter(title, across, Axis(f"{found.scorer} on test (0 is chance)", low, 1.0), dots, True)]


def _pairs(material: Material) -> dict[int, tuple[float, float]]:
    """Confidence and test score, 0 for chance and 1 for perfect, of every label that has both."""
    found: dict[int, tuple[float, float]] = {}
    for feature, label in material.labels.items():
        scorer, chance = FIGURES[_figure(label)]
        score = next((one for one in material.scores.get(feature, ()) if _is(one, scorer)), None)
        if label.confidence is not None and score is not None and score.value is not None:
            found[feature] = (label.confidence, (score.value - chance) / (1 - chance))
    return found


def _scorers(material: Material) -> str:
    return ", ".join(sorted({FIGURES[_figure(label)][0] for label in material.labels.values()}))


def _figure(label: Label) -> str:
    """Which figure on validation a label's confidence was made from."""
    validation = json.loads(label.notes).get("validation")
    figure = str(validation.get("figure")) if isinstance(validation, dict) else ""
    return figure if figure in FIGURES else "pattern.r"


def _is(score: Score, scorer: str) -> bool:
    return (score.scorer, score.contestant, score.split) == (scorer, "label", "test")


def _rho(x: Float[NDArray[np.float64], " n"], y: Float[NDArray[np.float64], " n"]) -> float:
    """Spearman's correlation, NaN where one side is constant."""
    return float(spearman(x, y))
