"""Contestants: whoever gives labels for the features of a trial, and what that took."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from dragoman.evals.controls import derangement
from dragoman.evals.explainer import Explainer, Explanation
from dragoman.evals.validation import Validator
from dragoman.store.features import Store
from dragoman.tools.patterns import Usage, usage_of

from .suite import Trial


@dataclass(frozen=True)
class Said:
    """A label, as far as a benchmark reads it."""

    name: str
    """At most eight words."""
    description: str
    """What a judge reads."""
    pattern: str | None
    """What is executed; None for words only."""
    confidence: float | None = None
    """The score that its maker expects of it, from 0 to 1; None where nothing is said."""


@dataclass(frozen=True)
class Spent:
    """What labels took, over all features of a trial."""

    tokens: int = 0
    """Model tokens."""
    dollars: float = 0.0
    """US dollars, cache hits at their original price."""
    forwarded: int = 0
    """Tokens run through the subject."""
    read: int = 0
    """Examples read."""
    calls: int = 0
    """Tools called."""
    requests: int = 0
    """Requests to a language model."""
    unpriced: int = 0
    """Those of them whose price is not known: the dollars leave them out."""


@dataclass(frozen=True)
class Entry:
    """The labels of one contestant in one trial."""

    labels: Mapping[int, Said]
    """By feature."""
    missing: Mapping[int, str] = field(default_factory=dict)
    """Why a feature has none."""
    spent: Spent = field(default_factory=Spent)
    """What they took."""
    run: str | None = None
    """The labeling run in the trial's store, where there is one."""
    seconds: float | None = None
    """How long labeling took, where that was measured when the labels were made; else it is how long entering took."""
    knows: bool = False
    """It is the truth itself: where it has no pattern, the generator is executed."""


class Entrant(Protocol):
    """A contestant."""

    @property
    def name(self) -> str:
        """What it is called in `--contestants` and in tables."""
        ...

    def enter(self, trial: Trial, seed: int) -> Entry:
        """Label the features of a trial; killed and called again, it goes on or starts again, with the same labels."""
        ...


Make = Callable[[Store, Usage], Explainer]
"""Builds an explainer; the usage is learned from train tokens."""


@dataclass
class Explained:
    """One explanation a feature, by an explainer."""

    name: str
    """What it is called."""
    make: Make
    """Builds the explainer."""
    kept: dict[tuple[Path, int], Entry] = field(default_factory=dict)
    """The entry of the latest trial, because a shuffled contestant asks for it again."""

    def enter(self, trial: Trial, seed: int) -> Entry:
        """See `Entrant`."""
        if (trial.store, seed) not in self.kept:
            self.kept.clear()
            self.kept[trial.store, seed] = self._enter(trial, seed)
        return self.kept[trial.store, seed]

    def _enter(self, trial: Trial, seed: int) -> Entry:
        labels, missing, start = {}, {}, time.monotonic()
        with Store.open(trial.store) as store:
            view, usage = store.train_view(), usage_of(store.tokens("train"))
            explainer, validator = self.make(store, usage), Validator(store, usage)
            for feature in trial.features:
                try:
                    labels[feature] = _said(explainer.explain(view, feature, validator.of(feature), seed))
                except ValueError as reason:
                    missing[feature] = str(reason)
        return Entry(labels, missing, seconds=time.monotonic() - start)


@dataclass(frozen=True)
class Shuffled:
    """Every feature gets the label of another one."""

    of: Entrant
    """Whose labels."""
    name: str = "shuffled"
    """What it is called."""

    def enter(self, trial: Trial, seed: int) -> Entry:
        """See `Entrant`."""
        entry = self.of.enter(trial, seed)
        other = derangement(list(entry.labels), seed)
        return Entry({feature: entry.labels[other[feature]] for feature in other}, seconds=entry.seconds)


@dataclass(frozen=True)
class Oracle:
    """The truth itself: what no label can be better than."""

    name: str = "oracle"
    """What it is called."""
    knows: bool = True
    """It has nothing to say where nothing is known."""

    def enter(self, trial: Trial, seed: int) -> Entry:
        """See `Entrant`."""
        labels = {feature: Said(truth.kind, truth.text, truth.pattern, 1.0) for feature, truth in trial.truths.items()}
        missing = {feature: "nothing is known of it" for feature in trial.features if feature not in labels}
        return Entry(labels, missing, knows=True)


def paid(store: Store, run: str) -> Spent:
    """What a run spent on language models, over all its processes."""
    query = (
        "SELECT coalesce(sum(tokens), 0) AS tokens, coalesce(sum(cost), 0) AS dollars, count(*) AS requests, "
        "coalesce(sum(CASE WHEN status = 'settled' AND cost IS NULL THEN 1 ELSE 0 END), 0) AS unpriced "
        f"FROM model_call WHERE run = '{run}'"
    )
    (row,) = list(store.sql(query))
    tokens, requests, unpriced = int(row["tokens"]), int(row["requests"]), int(row["unpriced"])
    return Spent(tokens=tokens, dollars=float(row["dollars"]), requests=requests, unpriced=unpriced)


def _said(one: Explanation) -> Said:
    return Said(one.name, one.description, one.pattern)
