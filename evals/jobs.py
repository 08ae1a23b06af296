"""Which labels a scoring run is about: a labeling run's, each with the other label that is its shuffled control."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.records import Label, Run
from dragoman.store.verdicts import made_by_people

from .controls import derangement
from .runs import digest, features_of


@dataclass(frozen=True)
class Job:
    """One feature to score."""

    feature: int
    """Global id."""
    label: Label | None
    """Its label, if there is one."""
    other: Label | None
    """The label of another live feature: the shuffled control."""
    missing: str = ""
    """Why there is no label."""


def jobs_of(store: Store, run: Run, seed: int, features: Collection[int] | None = None) -> list[Job]:
    """The features that a labeling run was asked about, or those of them that are given, with their labels.

    Which other label a feature gets depends on the run and the seed, not on which features are given.
    Raises UserError when the run has no labels, or was not asked about a feature that is given.
    """
    found = {label.feature: label for label in store.ledger.labels(run=run.id)}
    if not found:
        raise UserError(f"Run {run.id} has no labels to score: run `dragoman label {store.path}` first.")
    asked = asked_features(run)
    strangers = sorted(set(features or ()) - set(asked))
    if strangers:
        first = store.key(strangers[0])
        raise UserError(
            f"Run {run.id} was not asked about {first}: label it first (`dragoman label {store.path} --features ...`)."
        )
    failed = {feature: reason for feature, _, reason in store.ledger.failures(run.id)}
    shuffled = derangement(list(found), seed)
    return [
        Job(f, found.get(f), found[shuffled[f]] if f in shuffled else None, failed.get(f, "none was made"))
        for f in asked
        if features is None or f in features
    ]


def labeling_run(store: Store, run: str | None) -> Run:
    """The labeling run with this id or beginning of an id, or the latest one that no person wrote (a person's, where there is no
    other). Raises UserError when there is none.
    """
    runs = [known for known in store.ledger.runs() if known.kind == "label"]
    if not runs:
        raise UserError(f"This store has no labels yet: run `dragoman label {store.path}` first.")
    if run is None:
        return next((known for known in reversed(runs) if not made_by_people(known)), runs[-1])
    fitting = [known for known in runs if known.id.startswith(run)]
    if len(fitting) != 1:
        known = ", ".join(known.id for known in runs)
        raise UserError(f"There is no single labeling run {run!r} in this store: choose one of {known}.")
    return fitting[0]


def asked_features(run: Run) -> list[int]:
    """The features that a labeling run was asked about, dead ones included."""
    return features_of(json.loads(run.config)["features"])


def content_hash(labels: Iterable[Label | None]) -> str:
    """What identifies the labels of a run in configurations."""
    return digest(",".join(sorted(label.id for label in labels if label)))
