"""A scoring run with a judge that reads words: labels and their controls on the test split.

1. Resolve the run (store, labels, judge, scores, seed, sizes, interval width). What is scored already is left out, and questions
   that were answered before the run was stopped are answered from the ledger.
2. A few features at a time: draw the exam, then put every score's questions about the label and about the shuffled label.
   Where several labeling runs are given, the label is chosen on validation first, and so is the shuffled one among as many.
3. One transaction for each score of each contestant writes its figures, or the reasons why there are none.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.records import JudgeAnswer, Label, Run

from .exams import Examiner
from .gateway.budget import Budget
from .gateway.gateway import Gateway
from .gateway.models import Model
from .jobs import Job, content_hash, jobs_of, labeling_run
from .judge.concurrency import together
from .judge.heard import Heard
from .judge.model import ModelReader
from .judge.reader import Step
from .progress import Progress
from .questions import FIGURES, Questions, needs
from .runs import resolve, spec, store_hash, working_on
from .scorers.evaluate import evaluate
from .scorers.exam import Exam
from .scorers.measure import Measure, unscored
from .scorers.sample import Sizes
from .scoring import ALL, STEP, as_scores
from .selection import select

log = logging.getLogger(__name__)

SIZES = Sizes(positives=40, negatives=40, top=10, quarter=3, silent=10)
"""Every question costs tokens, so that a reader is asked about fewer contexts than a rule."""
RIVALS = 8
"""So many nearest features come with an exam: collision chooses among them."""
AT_ONCE = 8
"""Features in flight; the gateway decides how many of their questions are."""
LOOKED_UP = ("detection", "simulation")
"""Scores that the token lookup is a control of."""
SHARING = ("detection", "fuzzing")
"""Asked about one after the other, since the second shows a judge the texts of the first, which a server then remembers."""
CHOSEN_BY = ("detection", "detection.auroc")
"""Score and figure by which a label is chosen among candidates, on validation."""


@dataclass(frozen=True)
class Wish:
    """What is to be scored, and how; everything here is part of what identifies the run."""

    scores: tuple[str, ...]
    """Names of scores, see `questions.FIGURES`."""
    features: tuple[int, ...] | None = None
    """Global ids; None for all that the labeling run was asked about."""
    labels: tuple[str, ...] = ()
    """Labeling runs; empty for the latest. Of several, each feature's label is chosen on validation."""
    seed: int = 0
    """Of every draw, order and bootstrap."""
    width: float | None = None
    """Stop asking once a 95 % interval is at most so wide, where a score can; None asks everything."""
    texts: int = 1
    """Texts that detection and fuzzing ask about in one request, where the server tells log-probabilities."""
    sizes: Sizes = field(default_factory=lambda: SIZES)
    """How many contexts a feature is examined on at most."""


@dataclass(frozen=True)
class Means:
    """What may be spent on it; a run that goes on may be given other ones."""

    budget: Budget = field(default_factory=Budget)
    """Tokens and dollars, over all processes of the run."""
    patience: float = 600.0
    """Seconds that a server may stay away."""
    in_flight: int = 64
    """Calls in flight at most."""
    reuse: bool = False
    """Take answers to the same questions from other runs."""


class Outcome(NamedTuple):
    """How a scoring run ended."""

    run: Run
    """The run."""
    remarks: tuple[str, ...]
    """Sentences about the judge that a reader of the scores needs."""
    tokens: int
    """Tokens spent on the run so far, by all its processes."""
    dollars: float
    """US dollars likewise."""


def ask_scores(path: Path, model: Model, wish: Wish, means: Means, fresh: bool = False, progress: bool = True) -> Outcome:
    """Score labels with a language model as the judge; resumes where it was stopped.

    Raises UserError when there is no such run or no label, when another process works on the same run, when the server cannot be
    asked (it is away for longer than the patience, refuses the key, does not have the model), and when the budget is reached:
    what was scored until then is kept, and the same command goes on.
    """
    return asyncio.run(_ask_scores(path, model, wish, means, fresh, progress))


async def _ask_scores(path: Path, model: Model, wish: Wish, means: Means, fresh: bool, progress: bool) -> Outcome:
    with Store.open(path) as store:
        runs = [labeling_run(store, name) for name in wish.labels or (None,)]
        jobs = candidates([jobs_of(store, run, wish.seed, wish.features) for run in runs])
        await model.check()
        run = resolve(store.ledger, "score", _config(store, runs, jobs, model, wish), fresh)
        with working_on(path, store.ledger, run), ExitStack() as opened:
            gateway = Gateway(
                store.ledger,
                run.id,
                wish.seed,
                means.budget,
                means.reuse,
                patience=means.patience,
                most=means.in_flight,
                say=_tell if progress else None,
            )
            async with gateway:
                reader = Heard(ModelReader(gateway, model, texts=wish.texts))
                inquiry = Inquiry(store, run.id, _questions(path, reader, wish, opened), wish)
                await inquiry.all(jobs, lambda: f"{gateway.spent[0]:,} tokens", progress)
                return Outcome(run, tuple(reader.remarks()), *gateway.spent)


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def _questions(path: Path, reader: Heard, wish: Wish, opened: ExitStack) -> Questions:
    """The questions with what they need; `opened` closes it."""
    modelled, embedded = needs(wish.scores)
    laboratory = encoder = None
    if modelled:
        from dragoman.tools.workbench import Workbench

        from .scorers.laboratory import WorkbenchLaboratory

        bench = opened.enter_context(Workbench.open(path))
        laboratory = opened.enter_context(WorkbenchLaboratory(bench))
    if embedded:
        from .scorers.encoder import SentenceEncoder

        encoder = SentenceEncoder()
    return Questions(reader, wish.width, laboratory, encoder)


def _config(store: Store, runs: Sequence[Run], jobs: Sequence[Candidates], model: Model, wish: Wish) -> dict[str, object]:
    return {
        "store": store_hash(store),
        "labels": runs[0].id,
        "candidates": [run.id for run in runs[1:]],
        "content": content_hash(label for job in jobs for label in job.labels),
        "judge": model.name,
        "scores": list(wish.scores),
        "features": None if wish.features is None else spec(wish.features),
        "seed": wish.seed,
        "width": wish.width,
        "texts": wish.texts,
        "sizes": asdict(wish.sizes),
    }


@dataclass(frozen=True)
class Candidates:
    """One feature to score."""

    feature: int
    """Global id."""
    labels: tuple[Label, ...]
    """Its labels, one from each labeling run that made one."""
    others: tuple[Label, ...]
    """Labels of other features, as many: the shuffled control."""
    missing: str
    """Why there is no label, where there is none."""


def candidates(runs: Sequence[Sequence[Job]]) -> list[Candidates]:
    """The jobs of several labeling runs, put together by feature."""
    by_feature: dict[int, list[Job]] = {}
    for jobs in runs:
        for job in jobs:
            by_feature.setdefault(job.feature, []).append(job)
    found = []
    for feature, jobs in sorted(by_feature.items()):
        labels = tuple(job.label for job in jobs if job.label)
        others = tuple(job.other for job in jobs if job.other and job.label)
        found.append(Candidates(feature, labels, others, jobs[0].missing))
    return found


class Inquiry:
    """Scores features of one run, several at a time."""

    def __init__(self, store: Store, run: str, questions: Questions, wish: Wish) -> None:
        self.store, self.run, self.questions, self.wish = store, run, questions, wish
        self.judge = questions.reader.name
        self.test = Examiner(store, wish.seed, wish.sizes, "test", RIVALS)
        self.validation = Examiner(store, wish.seed, wish.sizes, "validation", RIVALS)
        self.reading = asyncio.Lock()
        scores = store.ledger.scores(run=run)
        self.done = {(score.feature, score.contestant, score.scorer) for score in scores}

    async def all(self, jobs: Sequence[Candidates], spent: Callable[[], str], progress: bool) -> None:
        """Score every job; UserError ends the run, anything else that goes wrong ends one feature and is recorded."""
        failed = {feature for feature, _, _ in self.store.ledger.failures(self.run)}
        left = [job for job in jobs if job.feature not in failed and not self._complete(job)]
        waiting = iter(left)
        with Progress("score", len(jobs), len(jobs) - len(left), progress) as bar:

            async def crew() -> None:
                for job in waiting:
                    try:
                        await self.feature(job)
                    except UserError:
                        raise
                    except Exception as error:
                        log.warning("feature %d could not be scored", job.feature, exc_info=True)
                        reason = f"{type(error).__name__}: {error}".splitlines()[0]
                        self.store.ledger.add_failure(self.run, job.feature, STEP, reason)
                    bar.advance(spent())

            await together(crew() for _ in range(min(AT_ONCE, len(left))))

    async def feature(self, job: Candidates) -> None:
        """Every figure of one feature that is not in the ledger yet."""
        liveness = self.test.stats[job.feature]["liveness"]
        if liveness != "live" or not job.labels:
            reason = liveness if liveness != "live" else f"no label: {job.missing}"
            for name in self.wish.scores:
                self._record(job.feature, "label", None, unscored(FIGURES[name], reason))
            return
        exam = await self._exam(self.test, job.feature)
        named = {figure for name in LOOKED_UP if name in self.wish.scores for figure in FIGURES[name]}
        if any((job.feature, "token_lookup", figure) not in self.done for figure in named & set(ALL)):
            lookup = await asyncio.to_thread(self.test.lookup, job.feature)
            self._record(job.feature, "token_lookup", None, [m for m in evaluate(lookup, exam) if m.scorer in named])
        await together([self._contestant(job, exam, "label", job.labels), self._contestant(job, exam, "shuffled", job.others)])

    async def _contestant(self, job: Candidates, exam: Exam, contestant: str, labels: Sequence[Label]) -> None:
        left = [name for name in self._asked(contestant) if not self._scored(job.feature, contestant, name)]
        if not left:
            return
        if not labels:
            for name in left:
                self._record(job.feature, contestant, None, unscored(FIGURES[name], "there is no other label"))
            return
        label, flags = await self._chosen(job.feature, contestant, labels, exam)

        async def one(name: str) -> None:
            step = Step(job.feature, f"score/{contestant}/{name}")
            scored = await self.questions.put(name, label, exam, step)
            answers = [
                JudgeAnswer(
                    run=self.run,
                    feature=job.feature,
                    contestant=contestant,
                    score=name,
                    item=item.number,
                    context=item.context,
                    truth=item.truth,
                    probability=item.answer.value,
                    way=item.answer.way,
                    unscored=item.answer.unscored,
                )
                for item in scored.items
            ]
            self._record(job.feature, contestant, label, scored.measures, flags, answers)

        async def in_turn(names: Sequence[str]) -> None:
            for name in names:
                await one(name)

        first = [name for name in SHARING if name in left]
        await together([in_turn(first), *(one(name) for name in left if name not in first)])

    async def _chosen(self, feature: int, contestant: str, labels: Sequence[Label], test: Exam) -> tuple[Label, tuple[str, ...]]:
        """The label that does best on validation, and what has to be said of the choice."""
        if len(labels) == 1:
            return labels[0], ()
        by_claim = {label.description: label for label in labels}
        validation = await self._exam(self.validation, feature)

        async def on_validation(claim: str, exam: Exam, step: Step) -> list[Measure]:
            return (await self.questions.put(CHOSEN_BY[0], by_claim[claim], exam, step)).measures

        async def later(claim: str, exam: Exam, step: Step) -> list[Measure]:
            return []

        step = Step(feature, f"choose/{contestant}")
        found = await select(list(by_claim), CHOSEN_BY[1], on_validation, validation, test, step, later)
        chosen = list(by_claim.values())[found.chosen]
        return chosen, (f"best of {len(labels)} on validation by {CHOSEN_BY[1]}",)

    async def _exam(self, examiner: Examiner, feature: int) -> Exam:
        async with self.reading:
            return await asyncio.to_thread(examiner.exam, feature)

    def _asked(self, contestant: str) -> list[str]:
        """The scores of a contestant: facets are the label's own."""
        return [name for name in self.wish.scores if contestant == "label" or name != "facets"]

    def _scored(self, feature: int, contestant: str, name: str) -> bool:
        return (feature, contestant, FIGURES[name][0]) in self.done

    def _complete(self, job: Candidates) -> bool:
        asked = job.labels and self.test.stats[job.feature]["liveness"] == "live"
        contestants = ("label", "shuffled") if asked else ("label",)
        return all(self._scored(job.feature, c, name) for c in contestants for name in self._asked(c))

    def _record(
        self,
        feature: int,
        contestant: str,
        label: Label | None,
        measures: Sequence[Measure],
        flags: tuple[str, ...] = (),
        answers: Sequence[JudgeAnswer] = (),
    ) -> None:
        if self.test.stats[feature]["sampled"]:
            flags = ("sampled", *flags)
        judge = "none" if contestant == "token_lookup" else self.judge
        scores = as_scores(self.run, judge, feature, contestant, label, measures, flags)
        self.store.ledger.record(scores=scores, answers=answers)
