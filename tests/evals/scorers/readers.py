"""Readers for tests, beside those of `evals/judge/scripted.py`: one that knows a world, and wrappers that count and that fail."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np

from dragoman.evals.judge.reader import Answer, Chosen, Marked, Passage, Reader, Simulated, Step, Written
from dragoman.evals.judge.scripted import Knowing
from dragoman.evals.organism.concepts import CONCEPTS

from .world import World

VAGUE = "something that occurs in a text"
"""A claim that fits everything."""
CONCEPT = {concept.description: name for name, concept in CONCEPTS.items()}


def knowing(world: World) -> Knowing:
    """A reader that knows whatever is true in this world of the concept that a claim describes. A vague claim fits all."""
    table = world.tokens
    rows = {tuple(table.ids[table.starts[row] : table.starts[row + 1]].tolist()): row for row in range(table.n_contexts)}
    texts = {table.text(row): row for row in range(table.n_contexts)}
    return Knowing(partial(_activity, world, rows, texts))


def _activity(
    world: World, rows: dict[tuple[int, ...], int], texts: dict[str, int], claim: str, passage: Passage
) -> Sequence[float]:
    """The truth about every token; of an option, which comes as one string with marks, how much of what is marked fits."""
    row = rows[passage.ids] if passage.ids else texts[passage.text.replace("<<", "").replace(">>", "")]
    first, end = (int(world.tokens.starts[row + i]) for i in (0, 1))
    truth = [1.0] * (end - first) if claim == VAGUE else world.real(CONCEPT[claim])[first:end].tolist()
    if passage.ids:
        return truth
    marked = _marked(passage.text)
    ends = np.cumsum([len(string) for string in world.tokens.strings(row)])
    fits = [any(marked[a:b]) for a, b in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)]
    return [float(np.mean([value for value, fit in zip(truth, fits, strict=True) if fit]))]


def _marked(option: str) -> list[bool]:
    """For every character of an option's own text, whether it stands between marks."""
    found, on, at = [], False, 0
    while at < len(option):
        if option[at : at + 2] in ("<<", ">>"):
            on, at = option[at] == "<", at + 2
        else:
            found.append(on)
            at += 1
    return found


class Recording:
    """Passes everything on and writes down what was asked."""

    def __init__(self, reader: Reader) -> None:
        self.reader, self.name = reader, reader.name
        self.steps: list[str] = []
        self.passages: list[Passage] = []
        self.marked: list[Marked] = []
        self.options: list[Sequence[str]] = []

    async def detect(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Answer]:
        self.steps.append(step.name)
        self.passages += passages
        return await self.reader.detect(claim, passages, step)

    async def fuzz(self, claim: str, marked: Sequence[Marked], step: Step, among: Sequence[Passage] = ()) -> list[Answer]:
        self.steps.append(step.name)
        self.marked += marked
        return await self.reader.fuzz(claim, marked, step, among)

    async def simulate(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Simulated]:
        self.steps.append(step.name)
        self.passages += passages
        return await self.reader.simulate(claim, passages, step)

    async def choose(self, claim: str, task: Literal["passage", "continuations"], options: Sequence[str], step: Step) -> Chosen:
        self.steps.append(step.name)
        self.options.append(options)
        return await self.reader.choose(claim, task, options, step)

    async def write(self, claim: str, fires: bool, n: int, step: Step) -> Written:
        return await self.reader.write(claim, fires, n, step)


class Failing(Recording):
    """Cannot be read on the first `times` items."""

    def __init__(self, reader: Reader, times: int) -> None:
        super().__init__(reader)
        self.left = times

    async def detect(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Answer]:
        return [Answer(None, "", "no JSON") if self.fails() else a for a in await super().detect(claim, passages, step)]

    async def fuzz(self, claim: str, marked: Sequence[Marked], step: Step, among: Sequence[Passage] = ()) -> list[Answer]:
        return [Answer(None, "", "no JSON") if self.fails() else a for a in await super().fuzz(claim, marked, step, among)]

    async def simulate(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Simulated]:
        return [Simulated(None, "", "no JSON") if self.fails() else s for s in await super().simulate(claim, passages, step)]

    async def choose(self, claim: str, task: Literal["passage", "continuations"], options: Sequence[str], step: Step) -> Chosen:
        chosen = await super().choose(claim, task, options, step)
        return Chosen(None, "", "no JSON") if self.fails() else chosen

    def fails(self) -> bool:
        self.left -= 1
        return self.left >= 0
