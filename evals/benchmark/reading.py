"""Recovery and detection as a judge that reads words sees them: it is told the description and asked where such a feature fires.

A label without a pattern can be recovered in this way only. Figures under two judges are never compared with one another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dragoman.evals.asking import AT_ONCE, SIZES
from dragoman.evals.exams import Examiner
from dragoman.evals.gateway.budget import Budget
from dragoman.evals.gateway.gateway import Gateway
from dragoman.evals.gateway.models import Model
from dragoman.evals.judge.concurrency import together
from dragoman.evals.judge.model import ModelReader
from dragoman.evals.judge.reader import Reader, Step
from dragoman.evals.questions import Questions
from dragoman.evals.runs import canonical, digest, resolve, store_hash, working_on
from dragoman.evals.scorers.sample import Sizes
from dragoman.evals.statistics import auroc, balanced_accuracy
from dragoman.store.hashing import seed_of

from .entrants import Entry, Said, Spent, paid
from .examine import Room, as_label
from .recovery import Fresh

RECOVERED = ("recovery.read_balanced_accuracy", "recovery.read_auroc")
"""Figures on fresh texts: text by text, whether the concept holds anywhere."""
DETECTED = {"detection.balanced_accuracy": "detection.read_balanced_accuracy", "detection.auroc": "detection.read_auroc"}
"""Figures on test, and what they are called here."""
YES = 0.5
"""A probability above this is a yes."""


SCORES = ("recovery", "detection")
"""What a judge may be asked about: the fresh texts, and texts of the test split."""


@dataclass(frozen=True)
class Portion:
    """How much of a trial a judge reads: every text of every label is a request, so that all of it may be too much."""

    scores: tuple[str, ...] = SCORES
    """Some of `SCORES`."""
    features: int | None = None
    """Features of a trial at most, drawn for all contestants alike; None for all."""
    texts: int | None = None
    """Texts for each score of a label at most, half of them with the concept; None for all."""

    def of(self, room: Room) -> set[int]:
        """The features that are read."""
        order = np.random.default_rng(seed_of("bench", "read", room.seed)).permutation(np.array(room.trial.features))
        return {int(feature) for feature in order[: self.features]}

    def rows(self, fresh: Fresh, feature: int, seed: int) -> NDArray[np.int64]:
        """Which fresh texts of a feature are read, ascending."""
        holds = fresh.holds
        if self.texts is None or self.texts >= len(holds):
            return np.arange(len(holds))
        order = np.random.default_rng(seed_of("bench", "read", seed, feature)).permutation(len(holds))
        near = np.array([text.kind == "near" for text in fresh.texts], bool)
        yes = order[holds[order]][: self.texts // 2]
        no = order[~holds[order]]
        no = no[np.argsort(~near[no], kind="stable")]  # near misses first: they tell labels apart
        return np.sort(np.concatenate([yes, no[: self.texts - len(yes)]]))

    @property
    def sizes(self) -> Sizes:
        """Of the exams on test."""
        half = None if self.texts is None else self.texts // 2
        return (
            SIZES if half is None else replace(SIZES, positives=min(SIZES.positives, half), negatives=min(SIZES.negatives, half))
        )


ALL = Portion()
"""Everything."""


@dataclass(frozen=True)
class Read:
    """What a judge made of the labels of a contestant in a trial."""

    figures: Mapping[int, Mapping[str, float]]
    """By feature."""
    spent: Spent
    """What it took."""


class ModelReads:
    """A language model reads the labels; what it was asked is in the ledger of the trial's store, and is not asked again."""

    def __init__(self, spec: str, model: Model, budget: Budget, portion: Portion = ALL) -> None:
        """spec: the model as the command names it; budget: of each contestant in each trial."""
        self.name, self.model, self.budget, self.portion = spec, model, budget, portion

    def read(self, room: Room, contestant: str, entry: Entry) -> Read:
        """See `Reads`. Raises UserError where the server cannot be asked or the budget is reached."""
        return asyncio.run(self._read(room, contestant, entry))

    async def _read(self, room: Room, contestant: str, entry: Entry) -> Read:
        await self.model.check()
        said = {str(feature): label.description for feature, label in entry.labels.items()}
        config = {
            "store": store_hash(room.store),
            "benchmark": contestant,
            "content": digest(canonical(said)),
            "judge": self.model.name,
            "seed": room.seed,
            "texts": room.texts,
            "portion": asdict(self.portion),
        }
        ledger, path = room.store.ledger, room.store.path
        run = resolve(ledger, "score", config, False)
        with working_on(path, ledger, run):
            async with Gateway(ledger, run.id, room.seed, self.budget) as gateway:
                reader = ModelReader(gateway, self.model)
                figures = await read_all(reader, room, entry, self.portion)
        if not reader.tells:  # found out once, not for every contestant
            self.model.capabilities = replace(self.model.capabilities, logprobs=0)
        return Read(figures, paid(room.store, run.id))


async def read_all(reader: Reader, room: Room, entry: Entry, portion: Portion = ALL) -> dict[int, dict[str, float]]:
    """What a reader makes of the labels of a trial, by feature; of features that are not read, nothing."""
    questions, examiner = Questions(reader, None), Examiner(room.store, room.seed, portion.sizes)
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(feature: int) -> dict[str, float]:
        async with limit:
            return await _feature(reader, questions, examiner, room, feature, entry.labels.get(feature), portion)

    features = sorted(portion.of(room))
    return dict(zip(features, await together(one(feature) for feature in features), strict=True))


async def _feature(
    reader: Reader, questions: Questions, examiner: Examiner, room: Room, feature: int, said: Said | None, portion: Portion
) -> dict[str, float]:
    known = feature in room.trial.truths and "recovery" in portion.scores
    tested = "detection" in portion.scores
    if said is None:
        return dict.fromkeys((*(RECOVERED if known else ()), *(DETECTED.values() if tested else ())), 0.5)
    found = await recovered(reader, room, feature, said, portion) if known else {}
    if tested:
        scored = await questions.put("detection", as_label(feature, said), examiner.exam(feature), Step(feature, "detection"))
        found |= {DETECTED[m.scorer]: m.value for m in scored.measures if m.scorer in DETECTED and m.value is not None}
    return found


async def recovered(reader: Reader, room: Room, feature: int, said: Said, portion: Portion) -> dict[str, float]:
    """Whether the reader can tell from the words in which fresh texts the concept holds; nothing where no answer can be read."""
    fresh = room.fresh(feature)
    rows = portion.rows(fresh, feature, room.seed)
    passages = fresh.passages()
    answers = await reader.detect(said.description, [passages[row] for row in rows], Step(feature, "recovery"))
    told = np.array([answer.value is not None for answer in answers])
    truth = fresh.holds[rows][told]
    probability = np.array([answer.value for answer in answers if answer.value is not None], np.float64)
    if truth.all() or not truth.any():
        return {}
    return dict(zip(RECOVERED, (balanced_accuracy(truth, probability > YES), auroc(truth, probability)), strict=True))
