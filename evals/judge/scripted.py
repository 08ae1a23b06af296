"""Readers without a model, of which it is known what they are: they test scorers, and are what a score is compared with."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from .reader import Answer, Chosen, Marked, Passage, Simulated, Step, Written

Activity = Callable[[str, Passage], Sequence[float]]
"""From a claim and a passage to how active such a feature is on each token: 0 is silent, 1 its strongest."""
Author = Callable[[str, bool, int], Sequence[str]]
"""From a claim, whether it should fire, and a number, to texts."""

FIRES = 0.2
"""A token fires above this share of the maximum, as everywhere."""
SURE = 0.95
"""What a reader says that is sure, and with the sign turned where it is sure of the opposite."""


class Knowing:
    """Knows the truth: how active the feature of any claim is on any token. Of a shuffled label it knows that label's truth."""

    name = "scripted:knowing"

    def __init__(self, activity: Activity, author: Author | None = None) -> None:
        """`author` writes texts; without one it cannot write."""
        self.activity = activity
        self.author = author

    async def detect(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Answer]:
        """Sure of yes where a token fires."""
        return [_sure(any(v > FIRES for v in self.activity(claim, passage))) for passage in passages]

    async def fuzz(self, claim: str, marked: Sequence[Marked], step: Step, among: Sequence[Passage] = ()) -> list[Answer]:
        """The share of the highlighted tokens that fire."""
        answers = []
        for passage, highlights in marked:
            values = self.activity(claim, passage)
            share = float(np.mean([values[i] > FIRES for i in highlights])) if highlights else 0.0
            answers.append(Answer(1 - SURE + (2 * SURE - 1) * share, "scripted"))
        return answers

    async def simulate(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Simulated]:
        """The truth."""
        return [Simulated(tuple(float(v) for v in self.activity(claim, passage)), "scripted") for passage in passages]

    async def choose(self, claim: str, task: Literal["passage", "continuations"], options: Sequence[str], step: Step) -> Chosen:
        """The option with most activity; what is equally active is equally likely."""
        totals = np.array([sum(self.activity(claim, Passage((option,)))) for option in options])
        best = (totals == totals.max()).astype(float)
        return Chosen(tuple((best / best.sum()).tolist()), "scripted")

    async def write(self, claim: str, fires: bool, n: int, step: Step) -> Written:
        """What its author writes."""
        if self.author is None:
            return Written((), "this reader cannot write")
        return Written(tuple(self.author(claim, fires, n))[:n])


class Agreeing:
    """Says yes to everything, takes the first option, and writes the same text whatever it is asked for."""

    name = "scripted:agreeing"

    async def detect(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Answer]:
        """Yes."""
        return [_sure(True)] * len(passages)

    async def fuzz(self, claim: str, marked: Sequence[Marked], step: Step, among: Sequence[Passage] = ()) -> list[Answer]:
        """Yes."""
        return [_sure(True)] * len(marked)

    async def simulate(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Simulated]:
        """Everything is as active as can be."""
        return [Simulated((1.0,) * len(passage.strings), "scripted") for passage in passages]

    async def choose(self, claim: str, task: Literal["passage", "continuations"], options: Sequence[str], step: Step) -> Chosen:
        """The first one."""
        return Chosen((1.0,) + (0.0,) * (len(options) - 1), "scripted")

    async def write(self, claim: str, fires: bool, n: int, step: Step) -> Written:
        """One text, n times."""
        return Written(("Yes, this is a text.",) * n)


class Guessing:
    """Answers at random: the same to the same question of the same step, whatever is asked in between."""

    name = "scripted:guessing"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    async def detect(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Answer]:
        """Any probability."""
        return [Answer(float(value), "scripted") for value in self._draw(step).random(len(passages))]

    async def fuzz(self, claim: str, marked: Sequence[Marked], step: Step, among: Sequence[Passage] = ()) -> list[Answer]:
        """Any probability."""
        return [Answer(float(value), "scripted") for value in self._draw(step).random(len(marked))]

    async def simulate(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Simulated]:
        """Any activation on any token."""
        draw = self._draw(step)
        return [Simulated(tuple(draw.random(len(passage.strings)).tolist()), "scripted") for passage in passages]

    async def choose(self, claim: str, task: Literal["passage", "continuations"], options: Sequence[str], step: Step) -> Chosen:
        """Any probabilities."""
        weights = self._draw(step).random(len(options))
        return Chosen(tuple((weights / weights.sum()).tolist()), "scripted")

    async def write(self, claim: str, fires: bool, n: int, step: Step) -> Written:
        """Letters."""
        drawn = self._draw(step).integers(97, 123, (n, 30))
        return Written(tuple("".join(map(chr, text)) for text in drawn))

    def _draw(self, step: Step) -> np.random.Generator:
        return np.random.default_rng([self.seed, step.feature + 1, zlib.crc32(step.name.encode())])


class Copying:
    """Answers by the place of an item alone, the first the likeliest: right where items come in the order of the truth."""

    name = "scripted:copying"

    async def detect(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Answer]:
        """From 1 down to 0."""
        return [Answer(float(value), "scripted") for value in np.linspace(1, 0, len(passages))]

    async def fuzz(self, claim: str, marked: Sequence[Marked], step: Step, among: Sequence[Passage] = ()) -> list[Answer]:
        """From 1 down to 0."""
        return [Answer(float(value), "scripted") for value in np.linspace(1, 0, len(marked))]

    async def simulate(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Simulated]:
        """Each text all alike, from 1 down to 0."""
        levels = np.linspace(1, 0, len(passages))
        return [Simulated((float(v),) * len(p.strings), "scripted") for p, v in zip(passages, levels, strict=True)]

    async def choose(self, claim: str, task: Literal["passage", "continuations"], options: Sequence[str], step: Step) -> Chosen:
        """The earlier, the likelier."""
        weights = np.arange(len(options), 0, -1)
        return Chosen(tuple((weights / weights.sum()).tolist()), "scripted")

    async def write(self, claim: str, fires: bool, n: int, step: Step) -> Written:
        """The claim itself."""
        return Written((claim,) * n)


class Refusing:
    """Answers nothing."""

    name = "scripted:refusing"
    reason = "the judge refused"

    async def detect(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Answer]:
        """Nothing."""
        return [Answer(None, unscored=self.reason)] * len(passages)

    async def fuzz(self, claim: str, marked: Sequence[Marked], step: Step, among: Sequence[Passage] = ()) -> list[Answer]:
        """Nothing."""
        return [Answer(None, unscored=self.reason)] * len(marked)

    async def simulate(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Simulated]:
        """Nothing."""
        return [Simulated(None, unscored=self.reason)] * len(passages)

    async def choose(self, claim: str, task: Literal["passage", "continuations"], options: Sequence[str], step: Step) -> Chosen:
        """Nothing."""
        return Chosen(None, unscored=self.reason)

    async def write(self, claim: str, fires: bool, n: int, step: Step) -> Written:
        """Nothing."""
        return Written((), self.reason)


def _sure(yes: bool) -> Answer:
    return Answer(SURE if yes else 1 - SURE, "scripted")
