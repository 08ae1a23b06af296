"""How much of the truth a label holds: on fresh texts, where the true concept holds and where only something like it does.

Token by token: balanced accuracy, Matthews correlation, AUROC of the strength, and the AUROC among tokens that are the same
(`context`): a positive against negatives of the same token id. No list of tokens does better there than 0.5, whatever it lists,
so that this figure is about context alone. Text by text: balanced accuracy and AUROC, where it counts whether the concept holds
anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from dragoman.evals.judge.reader import Passage
from dragoman.evals.statistics import auroc, balanced_accuracy
from dragoman.store.tokens import contributions
from dragoman.tools.patterns import PatternText, Usage
from dragoman.tools.patterns.loose import LooseTexts

from .records import FreshText

NAMES = (
    "recovery.mcc",
    "recovery.balanced_accuracy",
    "recovery.auroc",
    "recovery.context",
    "recovery.text_balanced_accuracy",
    "recovery.text_auroc",
)
"""Figures of a label whose pattern is executed; the first is the headline."""
CHANCE = {"recovery.mcc": 0.0}
"""What saying nothing comes to, where that is not 0.5."""
FIRES = 0.2
"""Share of the maximum above which a feature fires, and a pattern says so."""


class Fresh:
    """The fresh texts of one feature, ready for patterns and for judges."""

    def __init__(self, texts: Sequence[FreshText], vocabulary: list[str], usage: Usage) -> None:
        """vocabulary: text of each token id; usage: of the train tokens of the store in which labels were made."""
        self.texts = [text for text in texts if text.ids]
        self.vocabulary, self.usage = vocabulary, usage
        self.truth = np.array([one for text in self.texts for one in text.fires], bool)

    @cached_property
    def table(self) -> LooseTexts:
        """All tokens."""
        return LooseTexts(self.texts, self.vocabulary)

    @cached_property
    def text(self) -> PatternText:
        """The same, for patterns."""
        return PatternText(self.table, self.usage)

    @cached_property
    def holds(self) -> NDArray[np.bool_]:
        """Whether the concept holds anywhere in each text (texts,)."""
        return np.array([any(text.fires) for text in self.texts], bool)

    def peaks(self, strength: Float[NDArray[np.floating], " tokens"]) -> Float[NDArray[np.floating], " texts"]:
        """The largest strength in each text."""
        return np.asarray(np.maximum.reduceat(strength, self.table.starts[:-1]))

    def passages(self) -> list[Passage]:
        """The texts as a judge reads them."""
        strings = [contributions(text.text, [a for a, _ in text.offsets], [b for _, b in text.offsets]) for text in self.texts]
        return [Passage(tuple(parts), text.ids) for parts, text in zip(strings, self.texts, strict=True)]


def recovery(fresh: Fresh, strength: Float[NDArray[np.floating], " tokens"]) -> dict[str, float]:
    """All figures of a prediction of strengths; those that do not exist are left out (a class is missing, no token is shared)."""
    says, truth = strength > FIRES, fresh.truth
    peaks = fresh.peaks(strength)
    figures = (
        matthews(truth, says),
        balanced_accuracy(truth, says),
        auroc(truth, strength),
        within(truth, strength, fresh.table.ids),
        balanced_accuracy(fresh.holds, peaks > FIRES),
        auroc(fresh.holds, peaks),
    )
    return {name: figure for name, figure in zip(NAMES, figures, strict=True) if not np.isnan(figure)}


def matthews(truth: NDArray[np.bool_], says: NDArray[np.bool_]) -> float:
    """Matthews correlation of two yes-or-no arrays; 0 where one says the same everywhere, NaN where the truth does.

    Source: Matthews, Comparison of the predicted and observed secondary structure of T4 phage lysozyme (1975).
    """
    if truth.all() or not truth.any():
        return float("nan")
    hit, said, held, n = float((truth & says).sum()), float(says.sum()), float(truth.sum()), float(len(truth))
    below = (said * held * (n - said) * (n - held)) ** 0.5
    return (hit * n - said * held) / below if below > 0 else 0.0


def within(truth: NDArray[np.bool_], strength: Float[NDArray[np.floating], " tokens"], ids: NDArray[np.integer]) -> float:
    """AUROC over pairs of a positive and a negative of the same token id, ties counting half; NaN where there is no such pair.

    Every token id weighs as much as it has positives, so that a frequent negative does not outweigh the rest.
    """
    total = weight = 0.0
    for token in np.unique(ids[truth]):
        here = ids == token
        area = auroc(truth[here], strength[here])
        if not np.isnan(area):
            held = float(truth[here].sum())
            total, weight = total + held * area, weight + held
    return total / weight if weight else float("nan")
