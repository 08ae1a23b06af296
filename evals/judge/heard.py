"""A judge that is listened to: its answers pass through unchanged, and what they say about the judge is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from .constant import constant, unreadable
from .reader import Answer, Chosen, Marked, Passage, Reader, Simulated, Step, Written


class Heard:
    """A reader around another one."""

    def __init__(self, reader: Reader) -> None:
        """`reader` gives the answers."""
        self.reader = reader
        self.name = reader.name
        self._values: list[float | None] = []
        self._reasons: list[str | None] = []

    async def detect(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Answer]:
        """As the judge answers."""
        return self._keep(await self.reader.detect(claim, passages, step))

    async def fuzz(self, claim: str, marked: Sequence[Marked], step: Step, among: Sequence[Passage] = ()) -> list[Answer]:
        """As the judge answers."""
        return self._keep(await self.reader.fuzz(claim, marked, step, among))

    async def simulate(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Simulated]:
        """As the judge answers."""
        found = await self.reader.simulate(claim, passages, step)
        self._note(answer.unscored for answer in found)
        return found

    async def choose(self, claim: str, task: Literal["passage", "continuations"], options: Sequence[str], step: Step) -> Chosen:
        """As the judge answers."""
        found = await self.reader.choose(claim, task, options, step)
        self._note([found.unscored])
        return found

    async def write(self, claim: str, fires: bool, n: int, step: Step) -> Written:
        """As the judge answers."""
        found = await self.reader.write(claim, fires, n, step)
        self._note([found.unscored])
        return found

    def remarks(self) -> list[str]:
        """Sentences about the judge: that it answers the same to everything, that some of its answers could not be read."""
        return [said for said in (constant(self._values), unreadable(self._reasons)) if said]

    def _keep(self, answers: list[Answer]) -> list[Answer]:
        self._values += [answer.value for answer in answers]
        self._note(answer.unscored for answer in answers)
        return answers

    def _note(self, reasons: Iterable[str | None]) -> None:
        self._reasons += reasons
