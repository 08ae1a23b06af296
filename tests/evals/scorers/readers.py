"""Readers of known character."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np

from dragoman.evals.judge.reader import Answer, Chosen, Marked, Passage, Simulated, Step, Way, Written
from dragoman.evals.organism.concepts import CONCEPTS

from .world import VAGUE, World

WAY: Way = "scripted"
CONCEPT = {concept.description: name for name, concept in CONCEPTS.items()}


class Reader:
    """Says 0.5 to everything; writes down what it was asked."""

    name = "scripted"

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.asked: list[Passage] = []
        self.marked: list[Marked] = []

    async def detect(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Answer]:
        self.steps.append(step.name)
        self.asked += passages
        return [self.yes(claim, Marked(passage, ()), i, len(passages)) for i, passage in enumerate(passages)]

    async def fuzz(self, claim: str, marked: Sequence[Marked], step: Step) -> list[Answer]:
        self.steps.append(step.name)
        self.marked += marked
        return [self.yes(claim, each, i, len(marked)) for i, each in enumerate(marked)]

    async def simulate(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Simulated]:
        self.steps.append(step.name)
        self.asked += passages
        return [self.active(claim, passage, i, len(passages)) for i, passage in enumerate(passages)]

    async def choose(self, claim: str, task: Literal["passage", "continuations"], options: Sequence[str], step: Step) -> Chosen:
        self.steps.append(step.name)
        return self.choice(claim, options)

    async def write(self, claim: str, fires: bool, n: int, step: Step) -> Written:
        raise NotImplementedError

    def yes(self, claim: str, marked: Marked, i: int, n: int) -> Answer:
        return Answer(0.5, WAY)

    def active(self, claim: str, passage: Passage, i: int, n: int) -> Simulated:
        answers = [self.yes(claim, Marked(passage, (at,)), i, n) for at in range(len(passage.strings))]
        lost = [answer.unscored for answer in answers if answer.value is None]
        return Simulated(None, WAY, lost[0]) if lost else Simulated(tuple(answer.value or 0.0 for answer in answers), WAY)

    def choice(self, claim: str, options: Sequence[str]) -> Chosen:
        return Chosen((1 / len(options),) * len(options), WAY)


class Knowing(Reader):
    """Knows the truth about every text of a world, and says so for whatever concept a claim describes; a vague one fits all."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        table = world.tokens
        self.row = {tuple(table.ids[table.starts[row] : table.starts[row + 1]].tolist()): row for row in range(table.n_contexts)}
        self.texts = {table.text(row): row for row in range(table.n_contexts)}

    def truth(self, claim: str, row: int) -> np.ndarray:
        first, end = self.world.tokens.starts[row : row + 2]
        if claim == VAGUE:
            return np.ones(end - first, np.float32)
        return self.world.real(CONCEPT[claim])[first:end]

    def yes(self, claim: str, marked: Marked, i: int, n: int) -> Answer:
        truth = self.truth(claim, self.row[marked.passage.ids])
        here = truth[list(marked.highlights)].mean() if marked.highlights else truth.max()
        return Answer(0.03 + 0.94 * float(here), WAY)

    def active(self, claim: str, passage: Passage, i: int, n: int) -> Simulated:
        return Simulated(tuple(self.truth(claim, self.row[passage.ids]).tolist()), WAY)

    def choice(self, claim: str, options: Sequence[str]) -> Chosen:
        fits = np.array([0.01 + self.fits(claim, option) for option in options])
        return Chosen(tuple((fits / fits.sum()).tolist()), WAY)

    def fits(self, claim: str, option: str) -> float:
        """Share of the highlighted tokens of a text that the claim holds for."""
        row = self.texts[re.sub("<<|>>", "", option)]
        on, highlights, rest = False, [], option
        for at, string in enumerate(self.world.tokens.strings(row)):
            if rest.startswith(">>"):
                on, rest = False, rest[2:]
            if rest.startswith("<<"):
                on, rest = True, rest[2:]
            assert rest.startswith(string)
            rest = rest[len(string) :]
            if on:
                highlights.append(at)
        return float(self.truth(claim, row)[highlights].mean())


class Yes(Reader):
    """Always says yes."""

    def yes(self, claim: str, marked: Marked, i: int, n: int) -> Answer:
        return Answer(0.9, WAY)

    def choice(self, claim: str, options: Sequence[str]) -> Chosen:
        return Chosen((0.7, *(0.3 / (len(options) - 1),) * (len(options) - 1)), WAY)


class Random(Reader):
    """Answers at random."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.rng = np.random.default_rng(seed)

    def yes(self, claim: str, marked: Marked, i: int, n: int) -> Answer:
        return Answer(float(self.rng.random()), WAY)

    def choice(self, claim: str, options: Sequence[str]) -> Chosen:
        return Chosen(tuple(self.rng.dirichlet(np.ones(len(options))).tolist()), WAY)


class Order(Reader):
    """Goes by the order of the questions, as if those that fire came first; of options it takes the first."""

    def yes(self, claim: str, marked: Marked, i: int, n: int) -> Answer:
        return Answer(1 - i / n, WAY)

    def choice(self, claim: str, options: Sequence[str]) -> Chosen:
        return Chosen((0.9, *(0.1 / (len(options) - 1),) * (len(options) - 1)), WAY)


class Refusing(Reader):
    """Refuses, at most so many times."""

    def __init__(self, within: Reader | None = None, times: int = 10**9) -> None:
        super().__init__()
        self.other, self.left = within or Reader(), times

    def yes(self, claim: str, marked: Marked, i: int, n: int) -> Answer:
        return Answer(None, "", "refused") if self.refuses() else self.other.yes(claim, marked, i, n)

    def active(self, claim: str, passage: Passage, i: int, n: int) -> Simulated:
        return Simulated(None, "", "refused") if self.refuses() else self.other.active(claim, passage, i, n)

    def choice(self, claim: str, options: Sequence[str]) -> Chosen:
        return Chosen(None, "", "refused") if self.refuses() else self.other.choice(claim, options)

    def refuses(self) -> bool:
        self.left -= 1
        return self.left >= 0
