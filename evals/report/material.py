"""What a report is made of, read from the ledger."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dragoman.evals.jobs import asked_features, labeling_run
from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.records import JudgeAnswer, Label, Run, Score
from dragoman.store.trail import Cost, costs_of
from dragoman.store.trails import Trails
from dragoman.store.verdicts import made_by_people


@dataclass(frozen=True)
class Material:
    """What a report is made of."""

    store: Path
    """Folder of the store."""
    labels: Mapping[int, Label]
    """The labels, by feature."""
    scores: Mapping[int, Sequence[Score]]
    """The scores of one scoring run, by feature."""
    features: Sequence[int]
    """All features the report is about, dead ones too."""
    run: str
    """Id of the scoring run; empty when nothing is scored."""
    judge: str
    """Name of the judge; empty when nothing is scored."""
    answers: Sequence[JudgeAnswer] = ()
    """What a judge that reads words answered about labels, beside the truth."""
    labeling: str = ""
    """Id of the labeling run; empty when nothing is labeled."""
    trails: Sequence[int] = ()
    """Features on which that run left a trail."""
    costs: Mapping[int, Cost] = field(default_factory=dict)
    """What it spent on each feature, where it left trails."""
    reasons: Mapping[int, str] = field(default_factory=dict)
    """Why it gave no label, by feature."""


def gather(store: Store, run: str | None = None, features: Sequence[int] | None = None) -> Material:
    """Labels and scores of a scoring run (default: the latest; else the labels of the latest labeling run; else nothing).

    Raises UserError when `run` names no single scoring run.
    """
    scoring = scoring_run(store, run)
    config = json.loads(scoring.config) if scoring else {}
    labeled = any(known.kind == "label" for known in store.ledger.runs())
    source = labeling_run(store, config.get("labels")) if labeled else None
    every = asked_features(source) if source else range(store.width)
    wanted = set(every if features is None else features)
    labels = {label.feature: label for label in store.ledger.labels(run=source.id) if label.feature in wanted} if source else {}
    scores: dict[int, list[Score]] = {}
    for score in store.ledger.scores(run=scoring.id) if scoring else []:
        if score.feature in wanted:
            scores.setdefault(score.feature, []).append(score)
    answers = store.ledger.answers(scoring.id, "label") if scoring else []
    known = [answer for answer in answers if answer.feature in wanted]
    return Material(
        store=store.path,
        labels=labels,
        scores=scores,
        features=sorted(wanted),
        run=scoring.id if scoring else "",
        judge=config.get("judge", ""),
        answers=known,
        **(_work(store, source, wanted) if source else {}),
    )


def _work(store: Store, source: Run, wanted: Collection[int]) -> dict[str, Any]:
    """What a labeling run did besides labels."""
    trails = Trails(store.ledger.path)
    try:
        costs = costs_of(trails, source.id)
        return {
            "labeling": source.id,
            "trails": [feature for feature in trails.features(source.id) if feature in wanted],
            "costs": {feature: cost for feature, cost in costs.items() if feature in wanted},
            "reasons": {feature: reason for feature, _, reason in store.ledger.failures(source.id) if feature in wanted},
        }
    finally:
        trails.close()


def scoring_run(store: Store, run: str | None) -> Run | None:
    """The scoring run with this id or beginning of an id, or the latest one, if there is any; one of labels that a person wrote
    only where there is no other.
    """
    known_runs = store.ledger.runs()
    runs = [known for known in known_runs if known.kind == "score"]
    if run is None:
        people = {known.id for known in known_runs if made_by_people(known)}
        others = [known for known in runs if json.loads(known.config).get("labels") not in people]
        return next(reversed(others or runs), None)
    fitting = [known for known in runs if known.id.startswith(run)]
    if len(fitting) != 1:
        raise UserError(
            f"There is no single scoring run {run!r} in this store: choose one of {', '.join(k.id for k in runs) or 'none'}."
        )
    return fitting[0]
