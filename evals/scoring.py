"""A scoring run: every label of a labeling run, and its controls, on the test split.

1. Resolve the run (store, labels, judge, seed, sizes); features that are scored already are left out.
2. In worker processes, for each feature: draw its test contexts, score label, token lookup and shuffled label on them.
3. One transaction a feature writes all its figures, or the reasons why there are none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from dragoman.evals.judge import CannotJudge, Judge
from dragoman.store.features import Store
from dragoman.store.records import Label, Run, Score
from dragoman.store.tokens import TokenTable

from .exams import Examiner
from .jobs import Job, content_hash, jobs_of, labeling_run
from .judges import judge_named
from .progress import Progress
from .runs import resolve, spec, store_hash, working_on
from .scorers import detection, simulation
from .scorers.evaluate import Contestant, evaluate
from .scorers.exam import Exam
from .scorers.measure import Measure, unscored
from .scorers.sample import Rows, Sizes
from .statistics import DRAWS
from .workforce import Done, Failed, work

log = logging.getLogger(__name__)

ALL = (*simulation.NAMES, *detection.FIRES, *detection.ACTIVE)
"""Every scorer of this run."""
RULE = "scores the rule, not the words"
"""Flag of judges that execute a label's pattern instead of reading its words."""
HEADLINE = ("simulation.r", "label")
"""Scorer and contestant whose median the progress bar shows."""
STEP = "score"
"""Name of this step in the ledger's failures."""


@dataclass(frozen=True)
class Plan:
    """What a worker needs to know of the run."""

    store: Path
    """Folder of the store."""
    run: str
    """Id of the run."""
    judge: str
    """Name of the judge."""
    seed: int
    """Seed of samples and bootstraps."""
    sizes: Sizes = field(default_factory=Sizes)
    """Sizes of the samples."""


def score(
    path: Path,
    labels: str | None = None,
    judge: str = "pattern",
    seed: int = 0,
    workers: int = 2,
    fresh: bool = False,
    progress: bool = True,
    features: Sequence[int] | None = None,
) -> Run:
    """Score the labels of a labeling run (default: the latest one) on test, beside their controls; resumes where it was stopped.

    `features` are global ids; None stands for all that the run was asked about. Raises UserError when there is no such run or no
    label, and when another process works on the same run.
    """
    with Store.open(path) as store:
        source = labeling_run(store, labels)
        jobs = jobs_of(store, source, seed, features)
        config = {
            "store": store_hash(store),
            "labels": source.id,
            "content": content_hash(job.label for job in jobs),
            "judge": judge,
            "seed": seed,
            "sizes": asdict(Sizes()),
            "draws": DRAWS,
            **({} if features is None else {"features": spec(features)}),
        }
        run = resolve(store.ledger, "score", config, fresh)
        with working_on(path, store.ledger, run):
            _score_all(store, Plan(path, run.id, judge, seed), jobs, workers, progress)
        return run


def _score_all(store: Store, plan: Plan, jobs: Sequence[Job], workers: int, progress: bool) -> None:
    ledger = store.ledger
    done = ledger.scored_features(plan.run) | {feature for feature, _, _ in ledger.failures(plan.run)}
    left = [job for job in jobs if job.feature not in done]
    so_far: list[float] = []
    with Progress("score", len(jobs), len(jobs) - len(left), progress) as bar:
        for job, outcome in work(left, partial(_bench, plan), workers):
            if isinstance(outcome, Failed):
                log.warning("feature %d could not be scored: %s\n%s", job.feature, outcome.reason, outcome.trace)
                ledger.add_failure(plan.run, job.feature, STEP, outcome.reason)
            elif isinstance(outcome, Done):
                ledger.add_scores(outcome.value)
                so_far += [s.value for s in outcome.value if (s.scorer, s.contestant) == HEADLINE and s.value is not None]
            bar.advance(f"median r {np.median(so_far):.2f}" if so_far else "")


def _bench(plan: Plan) -> Callable[[Job], list[Score]]:
    """Runs in a worker: opens what scoring needs and returns the function from job to scores."""
    return Bench(plan).score


class Bench:
    """Holds the token tables, the judge and the statistics; scores one feature at a time."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.store = Store.open(plan.store)
        self.judge = judge_named(plan.judge, self.store)
        self.examiner = Examiner(self.store, plan.seed, plan.sizes)
        self.stats = self.examiner.stats

    def score(self, job: Job) -> list[Score]:
        """All figures of one feature, or the reasons why there are none."""
        stats = self.stats[job.feature]
        if stats["liveness"] != "live":
            return self._records(job, "label", job.label, unscored(ALL, stats["liveness"]))
        exam = self.examiner.exam(job.feature)
        scores: list[Score] = []
        for contestant, label in (("label", job.label), ("shuffled", job.other)):
            if label is None:
                reason = f"no label: {job.missing}" if contestant == "label" else "there is no other label"
                measures = unscored(ALL, reason)
            else:
                measures = self._judged(Judged(self.judge, label), exam)
            scores += self._records(job, contestant, label, measures)
        measures = evaluate(self.examiner.lookup(job.feature), exam)
        return scores + self._records(job, "token_lookup", None, measures)

    def _judged(self, contestant: Contestant, exam: Exam) -> list[Measure]:
        try:
            return evaluate(contestant, exam)
        except CannotJudge as error:
            return unscored(ALL, str(error))

    def _records(self, job: Job, contestant: str, label: Label | None, measures: Sequence[Measure]) -> list[Score]:
        flags = (RULE,) if contestant != "token_lookup" and self.judge.executes else ()
        if self.stats[job.feature]["sampled"]:
            flags = (*flags, "sampled")
        judge = "none" if contestant == "token_lookup" else self.plan.judge
        return as_scores(self.plan.run, judge, job.feature, contestant, label, measures, flags)


def as_scores(
    run: str,
    judge: str,
    feature: int,
    contestant: str,
    label: Label | None,
    measures: Sequence[Measure],
    flags: tuple[str, ...] = (),
) -> list[Score]:
    """Measures on test as rows of the ledger."""
    return [
        Score(
            label=label.id if label else f"{contestant}/{feature}",
            feature=feature,
            run=run,
            scorer=m.scorer,
            judge=judge,
            contestant=contestant,
            split="test",
            value=m.value,
            low=m.low,
            high=m.high,
            n=m.n,
            unscored=m.unscored,
            flags=(*flags, *m.flags),
        )
        for m in measures
    ]


@dataclass(frozen=True)
class Judged:
    """A label read by a judge, as a contestant."""

    judge: Judge
    """Who predicts."""
    label: Label
    """From what."""

    def simulate(self, tokens: TokenTable, rows: Rows) -> Float[NDArray[np.float32], " tokens"]:
        """The judge's prediction at every token of the contexts."""
        return np.asarray(self.judge.simulate(self.label, tokens, rows), np.float32)

    def detect(self, tokens: TokenTable, rows: Rows) -> Float[NDArray[np.float32], " contexts"]:
        """The judge's probability for every context."""
        return np.asarray(self.judge.detect(self.label, tokens, rows), np.float32)
