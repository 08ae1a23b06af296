"""Which scores a judge that reads words can be asked for, and what each needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dragoman.store.errors import UserError
from dragoman.store.records import Label

from .judge.reader import Answer, Reader, Step
from .scorers import collision, counterfactual, detection, embedding, fuzzing, generation, intervention, simulation
from .scorers.claims import claims
from .scorers.encoder import Encoder
from .scorers.exam import Exam
from .scorers.laboratory import Laboratory
from .scorers.measure import Measure

FIGURES: Mapping[str, tuple[str, ...]] = {
    "detection": (*detection.FIRES, *detection.ACTIVE),
    "facets": detection.FACETS,
    "fuzzing": fuzzing.NAMES,
    "simulation": simulation.READ,
    "embedding": embedding.NAMES,
    "collision": collision.NAMES,
    "generation": generation.NAMES,
    "counterfactual": counterfactual.NAMES,
    "intervention": intervention.NAMES,
}
"""The scores that can be asked for, each with the names of its figures."""
MODELLED = ("generation", "counterfactual", "intervention")
"""These run the subject and its dictionary, not only the judge."""
USUAL = ("detection", "fuzzing", "simulation")
"""What is asked where nobody says what."""


def named(text: str) -> tuple[str, ...]:
    """The scores in a list with commas, in the order of `FIGURES`; `all` stands for every one but embedding.

    Raises UserError for a name that is none.
    """
    asked = [part.strip() for part in text.split(",") if part.strip()]
    if asked == ["all"]:
        return tuple(name for name in FIGURES if name != "embedding")
    unknown = [name for name in asked if name not in FIGURES]
    if unknown or not asked:
        which = f"There is no score called {unknown[0]!r}" if unknown else "No score is named"
        raise UserError(f"{which}: choose from {', '.join(FIGURES)}, or all.")
    return tuple(name for name in FIGURES if name in asked)


class Item(NamedTuple):
    """One question with its answer, beside the truth."""

    number: int
    """Which question of the score; the same for every judge."""
    context: int
    """Number of the context that was shown."""
    truth: bool | None
    """Whether yes is right; None where neither is."""
    answer: Answer
    """What the judge said."""


class Scored(NamedTuple):
    """What a score comes to."""

    measures: list[Measure]
    """Its figures, or the reasons why there are none."""
    items: tuple[Item, ...] = ()
    """The questions behind them, for detection and fuzzing."""


@dataclass(frozen=True)
class Questions:
    """Puts the questions of a score to a judge."""

    reader: Reader
    """The judge."""
    width: float | None
    """Stop asking once a 95 % interval is at most so wide, where a score can; None asks everything."""
    laboratory: Laboratory | None = None
    """For the scores in `MODELLED`."""
    encoder: Encoder | None = None
    """For embedding."""

    async def put(self, score: str, label: Label, exam: Exam, step: Step) -> Scored:
        """Ask all that one score of a label wants to know."""
        said, width = claims(label), self.width
        if score == "detection":
            found = await detection.collect(self.reader, said.whole, exam, step, width)
            return Scored(detection.measures(exam, found), detected(exam, found))
        if score == "fuzzing":
            marks = await fuzzing.collect(self.reader, said.whole, exam, step, width)
            return Scored(fuzzing.measures(exam, marks), fuzzed(exam, marks))
        if score == "facets":
            return Scored(await detection.ask_facets(self.reader, said.facets, exam, step, width))
        if score == "simulation":
            return Scored(await simulation.ask(self.reader, said.whole, exam, step, width))
        if score == "collision":
            return Scored(await collision.ask(self.reader, said.whole, exam, step, width=width))
        if score == "embedding" and self.encoder is not None:
            return Scored(await embedding.ask(self.encoder, said.whole, exam))
        if score in MODELLED and self.laboratory is not None:
            return Scored(await self._modelled(score, label, said.whole, exam, step, self.laboratory))
        raise ValueError(f"{score} is no score, or lacks what it needs")

    async def _modelled(
        self, score: str, label: Label, claim: str, exam: Exam, step: Step, laboratory: Laboratory
    ) -> list[Measure]:
        if score == "generation":
            return await generation.ask(self.reader, claim, exam, laboratory, step)
        if score == "counterfactual":
            return await counterfactual.ask(self.reader, claim, exam, laboratory, step)
        about, read = intervention.ask_about(label)
        return await intervention.ask(self.reader, about, exam, laboratory, step, read, width=self.width)


def detected(exam: Exam, found: detection.Predictions) -> tuple[Item, ...]:
    """Detection's answers; a context that is active without firing has no truth."""
    fires = dict(zip(exam.sample.fires.rows.tolist(), exam.sample.fires.truth.tolist(), strict=True))
    pairs = enumerate(zip(found.rows.tolist(), found.answers, strict=False))
    return tuple(Item(n, int(exam.tokens.context_ids[row]), fires.get(row), a) for n, (row, a) in pairs if a is not None)


def fuzzed(exam: Exam, found: fuzzing.Predictions) -> tuple[Item, ...]:
    """Fuzzing's answers: first the right highlights, then the wrong ones."""
    context = exam.tokens.context_ids[np.tile(found.questions.rows, 2)].tolist()
    rows = enumerate(zip(context, found.truth.tolist(), found.answers, strict=False))
    return tuple(Item(n, c, truth, answer) for n, (c, truth, answer) in rows if answer is not None)


def needs(scores: Sequence[str]) -> tuple[bool, bool]:
    """Whether these scores need a laboratory, and whether they need an encoder."""
    return any(score in MODELLED for score in scores), "embedding" in scores
