"""A labeling run: every live feature through an explainer, in worker processes, one transaction a feature.

1. Resolve the run (store, explainer, features, seed): the same command finds the same run and goes on with what is left.
2. Workers open the store read-only and explain one feature at a time; they see train rows, and validation as one number.
3. The parent alone writes: a label, or the reason why there is none. Killed at any moment, nothing acknowledged is lost and
   nothing is done twice, because labels are deterministic and their ids are hashes of their content.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dragoman.evals.explainer import Explainer, Explanation
from dragoman.evals.progress import Progress
from dragoman.evals.runs import canonical, resolve, spec, store_hash, working_on
from dragoman.evals.validation import Validator
from dragoman.evals.workforce import Failed, work
from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.ledger import label_id
from dragoman.store.records import Label, Run

log = logging.getLogger(__name__)

Make = Callable[[Store], tuple[Explainer, Validator]]
"""Builds an explainer and its validator in a worker; must be picklable."""
STEP = "label"
"""Name of this step in the ledger's failures."""


def label(
    path: Path,
    make: Make,
    explainer: str,
    features: Sequence[int] | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    workers: int = 2,
    fresh: bool = False,
    progress: bool = True,
) -> Run:
    """Label the live ones among `features` (default: all) and return the run; resumes where it was stopped.

    `explainer` is the explainer's name and `settings` whatever else it depends on: both are part of the run's identity.
    Raises UserError when none of the features is live, and when another process works on the same run.
    """
    with Store.open(path) as store:
        live = set(store.features("live"))
        asked = list(range(store.width)) if features is None else sorted(set(features))
        chosen = [feature for feature in asked if feature in live]
        if not chosen:
            raise UserError(
                f"None of the {len(asked)} features asked for is live in {path} (a live feature fires in at least 10 train, "
                "5 validation and 10 test documents): harvest more text, or choose others with --features."
            )
        config = {
            "store": store_hash(store),
            "explainer": explainer,
            "settings": dict(settings or {}),
            "features": spec(asked),
            "seed": seed,
        }
        run = resolve(store.ledger, "label", config, fresh)
        with working_on(path, store.ledger, run):
            _label_all(store, run, make, chosen, seed, workers, progress)
        return run


def _label_all(store: Store, run: Run, make: Make, chosen: Sequence[int], seed: int, workers: int, progress: bool) -> None:
    ledger = store.ledger
    done = ledger.labeled_features(run.id) | {feature for feature, _, _ in ledger.failures(run.id)}
    left = [feature for feature in chosen if feature not in done]
    with Progress("label", len(chosen), len(chosen) - len(left), progress) as bar:
        for feature, outcome in work(left, partial(_desk, store.path, run.id, make, seed), workers):
            if isinstance(outcome, Failed):
                log.warning("feature %d could not be labeled: %s\n%s", feature, outcome.reason, outcome.trace)
                ledger.add_failure(run.id, feature, STEP, outcome.reason)
            else:
                ledger.add_label(outcome.value)
            bar.advance()


def _desk(path: Path, run: str, make: Make, seed: int) -> Callable[[int], Label]:
    """Runs in a worker: opens the store and returns the function from feature to label."""
    store = Store.open(path)
    view = store.train_view()
    explainer, validator = make(store)

    def explain(feature: int) -> Label:
        return as_label(explainer.explain(view, feature, validator.of(feature), seed), explainer.name, feature, run)

    return explain


def as_label(explanation: Explanation, agent: str, feature: int, run: str) -> Label:
    """The ledger's record of an explanation; its id is a hash of run, feature and content."""
    content = {
        "name": explanation.name,
        "description": explanation.description,
        "facets": [facet.model_dump() for facet in explanation.facets],
        "pattern": explanation.pattern,
        "agent": agent,
        "model": explanation.model,
    }
    return Label(
        id=label_id(run, feature, canonical(content)),
        feature=feature,
        run=run,
        name=explanation.name,
        description=explanation.description,
        facets=explanation.facets,
        pattern=explanation.pattern,
        agent=agent,
        model=explanation.model,
        evidence=explanation.evidence,
        notes=json.dumps(explanation.notes, sort_keys=True),
    )
