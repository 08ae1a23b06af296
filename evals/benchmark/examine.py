"""Measures of a contestant's labels in one trial: predictive scores on test, recovery on fresh texts, collision with siblings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from dragoman.evals.exams import Examiner
from dragoman.evals.judge.pattern import PatternJudge
from dragoman.evals.scorers import simulation
from dragoman.evals.scorers.evaluate import Contestant, evaluate
from dragoman.evals.scorers.exam import Exam
from dragoman.evals.scorers.sample import Rows, Sizes, token_index
from dragoman.evals.scoring import Judged
from dragoman.store.errors import ToolError
from dragoman.store.features import Store
from dragoman.store.records import Label, Split
from dragoman.store.tokens import TokenTable
from dragoman.tools.patterns import parse, usage_of

from .entrants import Entry, Said
from .recovery import CHANCE, FIRES, NAMES, Fresh, matthews, recovery
from .suite import Trial

PREDICTIVE = (*simulation.NAMES, "detection.auroc", "detection.balanced_accuracy")
"""Scores of the store's test split."""
NOTHING = dict.fromkeys(simulation.NAMES, 0.0) | {name: CHANCE.get(name, 0.5) for name in NAMES}
"""What a feature without a label comes to; 0.5 for figures that are not named."""
TEXTS = 20
"""Fresh texts of each kind."""


@runtime_checkable
class Knows(Protocol):
    """A trial whose truth can be executed where no pattern says it."""

    def holds(self, feature: int, split: Split) -> NDArray[np.bool_]:
        """Whether the true concept holds at each token of a split of the store (tokens,)."""
        ...


@dataclass(frozen=True)
class Examined:
    """What came out for one feature."""

    figures: Mapping[str, float]
    """By name; a figure that does not exist for this feature is not there."""
    unscored: str | None = None
    """Why a label was not executed; then only what needs no execution is there."""
    labeled: bool = True
    """Whether there is a label; without one, figures are those of saying nothing."""
    said: Mapping[str, Any] = field(default_factory=dict)
    """The label."""


class Room:
    """Where the labels of one trial are examined; holds its texts and truths. Every contestant gets the same exams."""

    def __init__(self, trial: Trial, seed: int, texts: int = TEXTS) -> None:
        """seed: of exams and of fresh texts; the contestants never see either."""
        self.trial, self.seed, self.texts = trial, seed, texts
        self.store = Store.open(trial.store)
        self.usage = usage_of(self.store.tokens("train"))
        self.judge = PatternJudge(self.usage)
        self.examiner = Examiner(self.store, seed, Sizes())
        self.exam = lru_cache(None)(self.examiner.exam)
        self.fresh = lru_cache(None)(self._fresh)

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def examine(self, entry: Entry) -> dict[int, Examined]:
        """All features of the trial."""
        return {feature: self._feature(feature, entry) for feature in self.trial.features}

    def _fresh(self, feature: int) -> Fresh:
        texts = self.trial.fresh(feature, self.seed, self.texts)
        return Fresh(texts, self.store.tokens("train").vocabulary, self.usage)

    def _feature(self, feature: int, entry: Entry) -> Examined:
        said = entry.labels.get(feature)
        known = feature in self.trial.truths
        if said is None:
            names = (*self._predictive(feature), *(NAMES if known else ()))
            return Examined({name: NOTHING.get(name, 0.5) for name in names}, entry.missing.get(feature, "no label"), False)
        told = {"name": said.name, "description": said.description, "pattern": said.pattern}
        figures = {} if said.confidence is None else {"confidence": said.confidence}
        truth = entry.knows and isinstance(self.trial, Knows)
        if said.pattern is None and not truth:
            return Examined(figures, "the label has no pattern to execute", said=told)
        if not truth:
            try:
                parse(said.pattern or "")
            except ToolError as error:
                return Examined(figures, f"its pattern cannot be read: {error}", said=told)
        exam = self.exam(feature)
        predicts = self._predicts(feature, said, exam, truth)
        figures |= {m.scorer: m.value for m in evaluate(predicts, exam) if m.value is not None and m.scorer in PREDICTIVE}
        if known:
            own = self.fresh(feature)
            strength = self._strength(own, said, truth)
            figures |= recovery(own, strength)
            figures |= self._collision(feature, said, figures, truth)
        return Examined(figures, said=told)

    def _predictive(self, feature: int) -> list[str]:
        """The predictive scores that a label of this feature could have: not all where it is dense or fires too seldom."""
        found = evaluate(self.examiner.lookup(feature), self.exam(feature))
        return [measure.scorer for measure in found if measure.value is not None and measure.scorer in PREDICTIVE]

    def _predicts(self, feature: int, said: Said, exam: Exam, truth: bool) -> Contestant:
        if truth and isinstance(self.trial, Knows):
            return Held(self.trial.holds(feature, "test"), _mean(exam))
        return Judged(self.judge, as_label(feature, said))

    def _strength(self, fresh: Fresh, said: Said, truth: bool) -> Float[NDArray[np.floating], " tokens"]:
        if truth:
            return fresh.truth.astype(np.float32)
        return np.asarray(parse(said.pattern or "").predict(fresh.text))

    def _collision(self, feature: int, said: Said, figures: Mapping[str, float], truth: bool) -> dict[str, float]:
        """How well the label fits the sibling that it fits best, and whether that is as well as it fits its own feature.

        Texts of a sibling in which its concept holds tell the two apart; both fits are Matthews correlations per token.
        """
        siblings = [one for one in self.trial.truths[feature].siblings if one in self.trial.truths]
        if truth or not siblings or "recovery.mcc" not in figures:
            return {}
        fits = [matthews(other.truth, self._strength(other, said, False) > FIRES) for other in map(self.fresh, siblings)]
        best = max((fit for fit in fits if not np.isnan(fit)), default=0.0)
        return {"collision.sibling": best, "collision": float(best >= figures["recovery.mcc"])}


@dataclass(frozen=True)
class Held:
    """The truth as a contestant."""

    holds: NDArray[np.bool_]
    """At each token of the split."""
    strength: float
    """What it says where the concept holds, as a share of the train maximum."""

    def simulate(self, tokens: TokenTable, rows: Rows) -> Float[NDArray[np.float32], " tokens"]:
        """The strength where the concept holds."""
        return np.asarray(self.holds[token_index(tokens, rows)] * self.strength, np.float32)

    def detect(self, tokens: TokenTable, rows: Rows) -> Float[NDArray[np.float32], " contexts"]:
        """1 where it holds anywhere."""
        parts = [self.holds[tokens.starts[row] : tokens.starts[row + 1]] for row in rows]
        return np.array([part.any() for part in parts], np.float32)


def as_label(feature: int, said: Said) -> Label:
    """A label that is in no ledger."""
    return Label(
        id=f"bench/{feature}",
        feature=feature,
        run="bench",
        name=said.name,
        description=said.description,
        pattern=said.pattern,
        agent="bench",
    )


def _mean(exam: Exam) -> float:
    fired = exam.real[exam.real > exam.threshold]
    return float(fired.mean() / exam.scale) if len(fired) else 0.5
