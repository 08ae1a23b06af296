"""Recovery and detection as a judge that reads words sees them: it is told the description and asked where such a feature fires.

A label without a pattern can be recovered in this way only. Figures under two judges are never compared with one another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import numpy as np

from dragoman.evals.asking import SIZES
from dragoman.evals.exams import Examiner
from dragoman.evals.gateway.budget import Budget
from dragoman.evals.gateway.gateway import Gateway
from dragoman.evals.gateway.models import Model
from dragoman.evals.judge.model import ModelReader
from dragoman.evals.judge.reader import Reader, Step
from dragoman.evals.questions import Questions
from dragoman.evals.runs import canonical, digest, resolve, store_hash, working_on
from dragoman.evals.statistics import auroc, balanced_accuracy

from .entrants import Entry, Said
from .examine import Room, as_label

RECOVERED = ("recovery.read_balanced_accuracy", "recovery.read_auroc")
"""Figures on fresh texts: text by text, whether the concept holds anywhere."""
DETECTED = {"detection.balanced_accuracy": "detection.read_balanced_accuracy", "detection.auroc": "detection.read_auroc"}
"""Figures on test, and what they are called here."""
YES = 0.5
"""A probability above this is a yes."""


class ModelReads:
    """A language model reads the labels; what it was asked is in the ledger of the trial's store, and is not asked again."""

    def __init__(self, spec: str, model: Model, budget: Budget) -> None:
        """spec: the model as the command names it; budget: of each contestant in each trial."""
        self.name, self.model, self.budget = spec, model, budget

    def read(self, room: Room, contestant: str, entry: Entry) -> Mapping[int, Mapping[str, float]]:
        """See `Reads`. Raises UserError where the server cannot be asked or the budget is reached."""
        return asyncio.run(self._read(room, contestant, entry))

    async def _read(self, room: Room, contestant: str, entry: Entry) -> dict[int, dict[str, float]]:
        await self.model.check()
        said = {str(feature): label.description for feature, label in entry.labels.items()}
        config = {
            "store": store_hash(room.store),
            "benchmark": contestant,
            "content": digest(canonical(said)),
            "judge": self.model.name,
            "seed": room.seed,
            "texts": room.texts,
        }
        ledger, path = room.store.ledger, room.store.path
        run = resolve(ledger, "score", config, False)
        with working_on(path, ledger, run):
            async with Gateway(ledger, run.id, room.seed, self.budget) as gateway:
                return await read_all(ModelReader(gateway, self.model), room, entry)


async def read_all(reader: Reader, room: Room, entry: Entry) -> dict[int, dict[str, float]]:
    """What a reader makes of the labels of a trial, by feature."""
    questions, examiner = Questions(reader, None), Examiner(room.store, room.seed, SIZES)
    found: dict[int, dict[str, float]] = {}
    for feature in room.trial.features:
        said = entry.labels.get(feature)
        known = feature in room.trial.truths
        if said is None:
            found[feature] = dict.fromkeys((*(RECOVERED if known else ()), *DETECTED.values()), 0.5)
            continue
        figures = await recovered(reader, room, feature, said) if known else {}
        step = Step(feature, "detection")
        scored = await questions.put("detection", as_label(feature, said), examiner.exam(feature), step)
        figures |= {DETECTED[m.scorer]: m.value for m in scored.measures if m.scorer in DETECTED and m.value is not None}
        found[feature] = figures
    return found


async def recovered(reader: Reader, room: Room, feature: int, said: Said) -> dict[str, float]:
    """Whether the reader can tell from the words in which fresh texts the concept holds; nothing where no answer can be read."""
    fresh = room.fresh(feature)
    answers = await reader.detect(said.description, fresh.passages(), Step(feature, "recovery"))
    told = np.array([answer.value is not None for answer in answers])
    truth = fresh.holds[told]
    probability = np.array([answer.value for answer in answers if answer.value is not None], np.float64)
    if truth.all() or not truth.any():
        return {}
    return dict(zip(RECOVERED, (balanced_accuracy(truth, probability > YES), auroc(truth, probability)), strict=True))
