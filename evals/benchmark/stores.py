"""Suites without a known truth: features of a store that somebody has. Only predictive scores can be had there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dragoman.evals.jobs import asked_features
from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.hashing import seed_of
from dragoman.store.manifest import FEATURES, MANIFEST
from dragoman.store.records import Run

from .entrants import Entry, Said
from .records import FreshText, Truth
from .suite import Trial

PREFIX = "import:"
"""What names of imported labels begin with, as contestants."""


@dataclass(frozen=True)
class StoreTrial:
    """Some live features of a store."""

    store: Path
    """The store."""
    features: tuple[int, ...]
    """Features that are asked about."""
    truths: Mapping[int, Truth] = field(default_factory=dict)
    """Nothing is known."""

    def fresh(self, feature: int, seed: int, n: int) -> Sequence[FreshText]:
        """See `Trial`; never asked for where there is no truth."""
        raise ValueError(f"nothing is known of feature {feature}")


@dataclass(frozen=True)
class StoreSuite:
    """Live features of a store, drawn anew for each seed; what contestants make goes into ledgers of the benchmark's own."""

    path: Path
    """The store."""
    name: str = "store"
    """What it is called in `--suite`."""
    known: bool = False
    """Nothing is known of the features."""

    def prepare(self, folder: Path, seed: int, features: int) -> StoreTrial:
        """See `Suite`."""
        with Store.open(self.path) as store:
            live = store.features("live")
        return StoreTrial(_beside(self.path, folder), _drawn(live, features, seed, self.path))


@dataclass(frozen=True)
class ImportSuite:
    """Live features for which imported labels are in the store."""

    path: Path
    """The store."""
    name: str = "import"
    """What it is called in `--suite`."""
    known: bool = False
    """Nothing is known of the features."""

    def prepare(self, folder: Path, seed: int, features: int) -> StoreTrial:
        """See `Suite`. Raises UserError where nothing was imported."""
        with Store.open(self.path) as store:
            live = set(store.features("live"))
            told = {feature for run in imported(store) for feature in asked_features(run)} & live
        if not told:
            first = f"run `dragoman import {self.path} FILE` first"
            raise UserError(f"{self.path} holds no imported labels of live features: {first}.")
        return StoreTrial(_beside(self.path, folder), _drawn(sorted(told), features, seed, self.path))


@dataclass(frozen=True)
class Imported:
    """Labels that others made, as a contestant."""

    path: Path
    """The store that they were imported into."""
    run: str
    """The run that the import made."""
    name: str
    """What it is called: `import:`, who made them, and the first letters of the run."""
    suite: str = "import"
    """It takes part in this suite alone."""

    def enter(self, trial: Trial, seed: int) -> Entry:
        """See `Entrant`."""
        with Store.open(self.path) as store:
            labels = {
                label.feature: Said(label.name, label.description, label.pattern, label.confidence)
                for label in store.ledger.labels(run=self.run)
                if label.feature in trial.features
            }
        return Entry(
            labels, {feature: "nothing was imported" for feature in trial.features if feature not in labels}, run=self.run
        )


def imported(store: Store) -> list[Run]:
    """Runs of labels that came from files."""
    return [run for run in store.ledger.runs() if run.kind == "label" and '"imported' in run.config]


def importers(path: Path) -> list[Imported]:
    """A contestant for each import of a store."""
    with Store.open(path) as store:
        return [Imported(path, run.id, _called(run)) for run in imported(store)]


def _called(run: Run) -> str:
    """Such as `import:neuronpedia-oai_token-act-pair-3f2a10bc`: nothing of a file that a list with commas could not hold."""
    config = json.loads(run.config)
    told = "-".join(str(config[part]) for part in ("imported", "agent", "model") if config.get(part))
    return f"{PREFIX}{re.sub(r'[^A-Za-z0-9._]+', '-', told).strip('-')[:40]}-{run.id[:8]}"


def _beside(path: Path, folder: Path) -> Path:
    """A store that shares the sealed features of another one, with a ledger of its own.

    Labels of a benchmark are of a few features, and must not become the ones that the store's reports and scores go by.
    """
    own = folder / "store"
    own.mkdir(parents=True, exist_ok=True)
    for name in (FEATURES, MANIFEST):
        if (own / name).resolve() != (path / name).resolve():
            (own / name).unlink(missing_ok=True)
            (own / name).symlink_to((path / name).resolve())
    return own


def _drawn(features: Sequence[int], n: int, seed: int, path: Path) -> tuple[int, ...]:
    if not features:
        raise UserError(f"No feature of {path} is live: harvest more text.")
    order = np.random.default_rng(seed_of("bench", "store", seed)).permutation(np.asarray(features))
    return tuple(sorted(int(feature) for feature in order[:n]))
