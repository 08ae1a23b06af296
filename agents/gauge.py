"""How well a hypothesis does on validation: one figure, all that agents ever learn of that split."""

from __future__ import annotations

import asyncio
from typing import Protocol

from dragoman.evals.exams import Examiner
from dragoman.evals.judge.reader import Reader, Step
from dragoman.evals.scorers import detection
from dragoman.evals.scorers.sample import Sizes
from dragoman.evals.validation import Validator
from dragoman.store.errors import ToolError
from dragoman.store.features import Store
from dragoman.store.findings import Gauged, Hypothesis
from dragoman.tools.patterns import parse

__all__ = ["MARGIN", "NO_READER", "Gauge", "Gauged", "JudgeGauge", "PatternGauge"]

SIZES = Sizes(positives=12, negatives=12, top=4, quarter=1, silent=4)
"""Validation contexts that a judge is asked about for each hypothesis."""
NO_READER = "it has no pattern, and no judge that reads words was given"
"""Why the words of a hypothesis could not be gauged."""
MARGIN = 0.05
"""A label that does as well on a neighbour, up to this, says too little."""


class Gauge(Protocol):
    """Says how well hypotheses predict on validation."""

    @property
    def name(self) -> str:
        """The judge behind it."""
        ...

    @property
    def chance(self) -> float:
        """What a label of nothing reaches."""
        ...

    async def of(self, hypothesis: Hypothesis, step: str) -> Gauged:
        """The figure of a hypothesis on its feature. `step` is where questions stand in the ledger."""
        ...

    async def elsewhere(self, hypothesis: Hypothesis, neighbour: int, step: str) -> Gauged:
        """The figure of the same words on another feature: as high there, they say too little."""
        ...


class PatternGauge:
    """Executes the hypothesis's pattern: Pearson correlation with the activation over all validation tokens."""

    name = "pattern"
    chance = 0.0

    def __init__(self, validator: Validator) -> None:
        self._validator = validator
        self._lock = asyncio.Lock()

    async def of(self, hypothesis: Hypothesis, step: str) -> Gauged:
        """See `Gauge.of`; a hypothesis without a pattern is unscored."""
        return await self._on(hypothesis, hypothesis.feature)

    async def elsewhere(self, hypothesis: Hypothesis, neighbour: int, step: str) -> Gauged:
        """See `Gauge.elsewhere`."""
        return await self._on(hypothesis, neighbour)

    async def _on(self, hypothesis: Hypothesis, feature: int) -> Gauged:
        if hypothesis.pattern is None:
            return Gauged("pattern.r", None, 0, unscored=NO_READER)
        try:
            pattern = parse(hypothesis.pattern)
        except ToolError as error:
            return Gauged("pattern.r", None, 0, unscored=f"its pattern cannot be read ({error})")
        async with self._lock:
            fit = await asyncio.to_thread(lambda: self._validator.of(feature)(pattern))
        return Gauged("pattern.r", fit.r, self._validator.text.row[-1].item() + 1 if len(self._validator.text) else 0)


class JudgeGauge:
    """Asks a judge that reads words: detection on a few validation contexts, half of the silent ones near misses."""

    chance = 0.5

    def __init__(self, store: Store, reader: Reader, seed: int, sizes: Sizes = SIZES) -> None:
        self._examiner = Examiner(store, seed, sizes, "validation")
        self._reader = reader
        self._lock = asyncio.Lock()

    @property
    def name(self) -> str:
        """The judge."""
        return self._reader.name

    async def of(self, hypothesis: Hypothesis, step: str) -> Gauged:
        """See `Gauge.of`."""
        return await self._on(hypothesis, hypothesis.feature, step)

    async def elsewhere(self, hypothesis: Hypothesis, neighbour: int, step: str) -> Gauged:
        """See `Gauge.elsewhere`."""
        return await self._on(hypothesis, neighbour, step)

    async def _on(self, hypothesis: Hypothesis, feature: int, step: str) -> Gauged:
        async with self._lock:
            exam = await asyncio.to_thread(self._examiner.exam, feature)
        measures = await detection.ask(self._reader, hypothesis.description, exam, Step(hypothesis.feature, step), active=False)
        (found,) = [one for one in measures if one.scorer == detection.FIRES[0]]
        return Gauged(found.scorer, found.value, found.n, found.low, found.high, found.unscored)
