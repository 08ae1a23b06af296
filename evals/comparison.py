"""Two judges on the same questions: do they say the same?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.records import JudgeAnswer, Run

from .statistics import Agreement, agreement

SAME = ("store", "content", "seed", "sizes")
"""What two runs must share for their questions to be the same."""


@dataclass(frozen=True)
class Comparison:
    """Two scoring runs compared on one score."""

    score: str
    """`detection` or `fuzzing`."""
    features: int
    """Features that both were asked about."""
    questions: int
    """Questions that both were asked."""
    agreement: Agreement
    """How far they agree on the label's questions."""


def compare(store: Store, first: str, second: str) -> list[Comparison]:
    """Agreement of the judges of two scoring runs, question by question.

    Raises UserError where a run is not there, has no answers, or was asked other questions.
    """
    runs = [_run(store, name) for name in (first, second)]
    configs = [json.loads(run.config) for run in runs]
    for name in SAME:
        if configs[0].get(name) != configs[1].get(name):
            raise UserError(
                f"Runs {runs[0].id} and {runs[1].id} differ in their {name}: only the same questions can be compared."
            )
    answers = [store.ledger.answers(run.id, "label") for run in runs]
    for run, given in zip(runs, answers, strict=True):
        if not given:
            raise UserError(
                f"Run {run.id} holds no answers: only judges that read words, asked for detection or fuzzing, leave them."
            )
    tables = [_by_question(found) for found in answers]
    shared = sorted(set(tables[0]) & set(tables[1]))
    if not shared:
        raise UserError(f"Runs {runs[0].id} and {runs[1].id} share no question: score the same features with both judges.")
    found = []
    for number, score in enumerate(sorted({key[0] for key in shared})):
        keys = [key for key in shared if key[0] == score]
        features = sorted({key[1] for key in keys})
        sides = [[_probabilities(table, [k for k in keys if k[1] == f]) for f in features] for table in tables]
        agreed = agreement(sides[0], sides[1], np.random.default_rng([0, number]))
        found.append(Comparison(score, len(features), len(keys), agreed))
    return found


Question = tuple[str, int, int]
"""Score, feature and number of a question."""


def _by_question(answers: Sequence[JudgeAnswer]) -> dict[Question, float]:
    return {(a.score, a.feature, a.item): float("nan") if a.probability is None else a.probability for a in answers}


def _probabilities(table: dict[Question, float], keys: Sequence[Question]) -> NDArray[np.float64]:
    return np.array([table[key] for key in keys], np.float64)


def _run(store: Store, name: str) -> Run:
    fitting = [run for run in store.ledger.runs() if run.kind == "score" and run.id.startswith(name)]
    if len(fitting) != 1:
        raise UserError(f"There is no single scoring run {name!r} in this store: `dragoman sql` on the table run lists them.")
    return fitting[0]
