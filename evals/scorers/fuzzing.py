"""Fuzzing: are the highlighted tokens the ones on which the feature fires?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from dragoman.evals.judge.reader import Answer, Marked, Reader, Step

from . import detection
from .asked import checked, gather, remarks, unreadable
from .detection import SIZE, two_classes
from .exam import Exam
from .measure import FEWEST, Measure, remarked, unscored

NAMES = ("fuzzing.auroc", "fuzzing.balanced_accuracy")
ORDERS = 8
"""Orders of the runs that are tried before a context counts as too full."""


@dataclass(frozen=True)
class Questions:
    """Contexts in which the feature fires, each with right and with wrong highlights."""

    rows: Int[NDArray[np.int64], " contexts"]
    """Contexts."""
    right: tuple[tuple[int, ...], ...]
    """For each, the positions on which the feature fires."""
    wrong: tuple[tuple[int, ...], ...]
    """For each, as many positions on which it is silent, in runs of the same lengths."""
    full: int
    """Contexts left out because such a place was not found."""


@dataclass(frozen=True)
class Predictions:
    """What a reader said about highlights: those of context i are items i (right) and n + i (wrong)."""

    questions: Questions
    """What was asked."""
    answers: tuple[Answer | None, ...]
    """An answer to each item; None where asking ended before it."""

    @property
    def truth(self) -> Bool[NDArray[np.bool_], " items"]:
        """Whether the highlights are right."""
        return np.arange(len(self.answers)) < len(self.questions.rows)

    @property
    def probability(self) -> Float[NDArray[np.float64], " items"]:
        """The answers as numbers, NaN where there is none."""
        return np.array([np.nan if a is None or a.value is None else a.value for a in self.answers], np.float64)


async def ask(reader: Reader, claim: str, exam: Exam, step: Step, width: float | None = None, size: int = SIZE) -> list[Measure]:
    """AUROC and balanced accuracy of telling right highlights from wrong ones, over the firing contexts of the detection sample.

    Each context is shown twice: with the tokens highlighted on which the feature fires, and with as many on which it is silent,
    in runs of the same lengths anywhere else in the same context. So neither the text nor the number or the shape of the
    highlights tells which is which. Contexts without room for the wrong ones are left out and counted. With `width`, asking
    ends once the interval of the AUROC is no wider (coverage: see `detection.ask`). Source: the fuzzing score of Paulo et al.,
    Automatically Interpreting Millions of Features (2024); that wrong highlights share context, number and shape with the right
    ones is ours.
    """
    return measures(exam, await collect(reader, claim, exam, step, width, size))


async def collect(
    reader: Reader, claim: str, exam: Exam, step: Step, width: float | None = None, size: int = SIZE
) -> Predictions:
    """The answers behind `ask`. They are asked for in the batches of detection, whose texts the reader is told."""
    asked = questions(exam)
    n = len(asked.rows)
    if n < FEWEST:
        return Predictions(asked, ())
    rng = np.random.default_rng([exam.seed, exam.feature, 4])
    items = [
        Marked(exam.passage(int(row)), positions)
        for highlights in (asked.right, asked.wrong)
        for row, positions in zip(asked.rows, highlights, strict=True)
    ]
    *batches, last = detection.batched(exam, width, size) or [asked.rows[:0]]
    known = np.concatenate([*batches, last])
    batches.append(np.concatenate([last, asked.rows[~np.isin(asked.rows, known)]]))
    parts = [np.flatnonzero(np.isin(np.tile(asked.rows, 2), rows)) for rows in batches]

    async def put(batch: Int[NDArray[np.int64], " batch"], where: Step) -> list[Answer]:
        number = next(i for i, part in enumerate(parts) if batch[0] in part)
        among = [exam.passage(row) for row in batches[number]]
        return [checked(a) for a in await reader.fuzz(claim, [items[i] for i in batch], where, among)]

    def look(answers: Sequence[Answer | None]) -> tuple[float | None, float | None]:
        area = measures(exam, Predictions(asked, tuple(answers)))[0]
        return area.low, area.high

    shuffled = [rng.permutation(part) for part in parts if len(part)]
    return Predictions(asked, tuple(await gather(shuffled, put, look, step, width)))


def measures(exam: Exam, predictions: Predictions) -> list[Measure]:
    """The figures from a reader's answers."""
    asked = predictions.questions
    n = len(asked.rows)
    if n < FEWEST:
        without = f" and {asked.full} more without room for wrong highlights" if asked.full else ""
        return unscored(NAMES, f"too few contexts in which it fires ({n}{without}, at least {FEWEST} are needed)")
    truth, probability = predictions.truth, predictions.probability
    read = ~np.isnan(probability)
    if min(int(truth[read].sum()), int((~truth[read]).sum())) < FEWEST:
        return unscored(NAMES, f"too few readable answers: {unreadable(predictions.answers)}")
    document = np.tile(exam.tokens.document[asked.rows], 2)[read]
    flags = (f"{asked.full} of {n + asked.full} contexts without room for wrong highlights",) if asked.full else ()
    found = two_classes(truth[read], probability[read], document, NAMES, exam.seed, exam.feature, flags)
    return remarked(found, remarks(predictions.answers))


def questions(exam: Exam) -> Questions:
    """Right and wrong highlights of every firing context of the detection sample, from (seed, feature) alone."""
    rng = np.random.default_rng([exam.seed, exam.feature, 5])
    rows, right, wrong = [], [], []
    full = 0
    for row in exam.sample.fires.rows[exam.sample.fires.truth].tolist():
        values = exam.real[exam.tokens.starts[row] : exam.tokens.starts[row + 1]]
        fires = values > exam.threshold
        places = elsewhere(runs(fires), values == 0, rng)
        if places is None:
            full += 1
            continue
        rows.append(row)
        right.append(tuple(np.flatnonzero(fires).tolist()))
        wrong.append(places)
    return Questions(np.array(rows, np.int64), tuple(right), tuple(wrong), full)


def runs(on: Bool[NDArray[np.bool_], " tokens"]) -> list[int]:
    """Lengths of the runs of true values, in order."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(np.int8)))
    return [int(length) for length in edges[1::2] - edges[::2]]


def elsewhere(
    lengths: Sequence[int], free: Bool[NDArray[np.bool_], " tokens"], rng: np.random.Generator
) -> tuple[int, ...] | None:
    """Positions of runs of these lengths on free tokens, none touching another; None where no order of them was found to fit.

    For a random order of the runs every way to place them is equally likely: ways[i][p] counts those of the runs from the i-th on
    that begin at p or later, and each start is drawn in proportion to the ways that it leaves.
    """
    size = len(free)
    taken = np.concatenate([[0], np.cumsum(~free)])
    for _ in range(ORDERS):
        order = [lengths[i] for i in rng.permutation(len(lengths))]
        ways = [np.ones(size + 2)]
        starts: list[Float[NDArray[np.float64], " tokens"]] = []
        for length in reversed(order):
            begin = np.zeros(size + 2)
            fits = np.arange(max(0, size - length + 1))
            fits = fits[taken[fits + length] == taken[fits]]
            begin[fits] = ways[-1][np.minimum(fits + length + 1, size + 1)]
            starts.append(begin)
            ways.append(np.cumsum(begin[::-1])[::-1])
        if ways[-1][0] == 0:
            continue
        positions: list[int] = []
        at = 0
        for length, begin in zip(order, reversed(starts), strict=True):
            left = begin.copy()
            left[:at] = 0
            start = int(rng.choice(size + 2, p=left / left.sum()))
            positions += range(start, start + length)
            at = start + length + 1
        return tuple(positions)
    return None
