"""Collision: of several texts, on which nearest neighbours fire but one, which one fits the claim?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from dragoman.evals.judge.concurrency import together
from dragoman.evals.judge.reader import Chosen, Marked, Reader, Step
from dragoman.evals.statistics import multiplicities, ratio_draws, wilson

from .asked import gather, parted, remarks, unreadable, within
from .exam import Exam
from .measure import CONSTANT, FEWEST, Measure, measured, remarked, unscored
from .sample import Rows

NAMES = ("collision.accuracy", "collision.probability")
"""How often the right text is chosen, and how probable it is to the reader on average."""
SIZE = 10
"""Questions in a batch."""


@dataclass(frozen=True)
class Question:
    """Texts of which the feature fires on one."""

    options: tuple[Marked, ...]
    """The texts in the order shown; highlighted are the tokens on which the feature or the neighbour fires."""
    right: int
    """Place of the text on which the feature fires."""
    row: int
    """Context of that text."""


async def ask(
    reader: Reader, claim: str, exam: Exam, step: Step, k: int = 4, width: float | None = None, size: int = SIZE
) -> list[Measure]:
    """One of k texts: in one the feature fires, in the others its nearest neighbours do while it is silent.

    Every text shows what fires there, so a vague label, which fits the neighbours as well, comes out at chance, 1 / k. The
    accuracy counts a tie of m options, the right one among them, as 1 / m. Intervals are Wilson's and resample documents, the
    wider of both; with `width`, asking ends once that of the accuracy is no wider. Source: the choice among candidates of the
    output scores of Gur-Arieh et al., Enhancing automated interpretability with output-centric feature descriptions (2025),
    asked of inputs.
    """
    asked = questions(exam, k)
    if len(asked) < FEWEST:
        return measures(exam, asked, (), k)

    async def put(batch: Int[NDArray[np.int64], " batch"], where: Step) -> list[Chosen]:
        found = await together(
            reader.choose(claim, "passage", [option.shown() for option in asked[i].options], within(where, int(i))) for i in batch
        )
        return [checked(chosen, k) for chosen in found]

    def look(answers: Sequence[Chosen | None]) -> tuple[float | None, float | None]:
        accuracy = measures(exam, asked, answers, k)[0]
        return accuracy.low, accuracy.high

    rng = np.random.default_rng([exam.seed, exam.feature, 7])
    answers = await gather(parted(np.zeros(len(asked), np.int64), rng, width, size), put, look, step, width)
    return measures(exam, asked, answers, k)


def checked(chosen: Chosen, k: int) -> Chosen:
    """The choice with probabilities that sum to 1, or the reason why it is none."""
    given = chosen.probabilities
    if given is None:
        return Chosen(None, chosen.way, chosen.unscored or "no answer")
    if len(given) != k or not all(0 <= p <= 1 + 1e-6 for p in given) or sum(given) <= 0:
        return Chosen(None, chosen.way, f"no probabilities of {k} options")
    return Chosen(tuple(p / sum(given) for p in given), chosen.way)


def measures(exam: Exam, asked: Sequence[Question], answers: Sequence[Chosen | None], k: int) -> list[Measure]:
    """The figures from a reader's choices."""
    if len(asked) < FEWEST:
        return unscored(NAMES, f"too few texts to choose from ({len(asked)} questions of {k}, at least {FEWEST} are needed)")
    read = [(q, a.probabilities) for q, a in zip(asked, answers, strict=True) if a is not None and a.probabilities is not None]
    if len(read) < FEWEST:
        return unscored(NAMES, f"too few readable answers: {unreadable(answers)}")
    table = np.array([p for _, p in read], np.float64)
    right = table[np.arange(len(read)), [q.right for q, _ in read]]
    document = exam.tokens.document[[q.row for q, _ in read]]
    flags = (f"one of {k}: chance {1 / k:.3g}", *((CONSTANT,) if np.ptp(table, axis=0).max() == 0 else ()))
    figures = (credit(table, right), right)
    found = [_rate(exam, name, values, document, flags) for name, values in zip(NAMES, figures, strict=True)]
    return remarked(found, remarks(answers))


def credit(
    table: Float[NDArray[np.float64], "questions k"], right: Float[NDArray[np.float64], " questions"]
) -> Float[NDArray[np.float64], " questions"]:
    """1 where the right option is the likeliest, 1 / m where m options share that place, 0 elsewhere."""
    likeliest = table >= table.max(1, keepdims=True) - 1e-9
    return np.where(right >= table.max(1) - 1e-9, 1 / likeliest.sum(1), 0.0)


def questions(exam: Exam, k: int) -> list[Question]:
    """A question for each firing context of the detection sample, from (seed, feature) alone.

    The others of a question come from the k - 1 nearest neighbours that fire anywhere while the feature is silent, from each in
    turn. None where these have fewer than k - 1 contexts.
    """
    rng = np.random.default_rng([exam.seed, exam.feature, 8])
    pools = _pools(exam, k, rng)
    if len({row for rows, _ in pools for row in rows.tolist()}) < k - 1:
        return []
    used = [0] * len(pools)
    found = []
    for right in rng.permutation(exam.sample.fires.rows[exam.sample.fires.truth]).tolist():
        options = [_marked(exam, right, np.flatnonzero(exam.real > exam.threshold))]
        taken: set[int] = set()
        turn = 0
        while len(options) < k:
            pool = turn % len(pools)
            turn += 1
            rows, fires = pools[pool]
            for _ in range(len(rows)):
                row = int(rows[used[pool] % len(rows)])
                used[pool] += 1
                if row not in taken:
                    taken.add(row)
                    options.append(_marked(exam, row, fires))
                    break
        order = rng.permutation(k)
        found.append(Question(tuple(options[i] for i in order), int(np.flatnonzero(order == 0)[0]), right))
    return found


def _pools(exam: Exam, k: int, rng: np.random.Generator) -> list[tuple[Rows, Int[NDArray[np.int64], " firing"]]]:
    """Of the nearest neighbours: contexts in which they fire while the feature is silent, shuffled, and where they fire."""
    silent = np.maximum.reduceat(exam.real, exam.tokens.starts[:-1]) == 0
    silent[exam.unknown] = False
    pools = []
    for neighbour in exam.neighbours:
        rows = np.unique(exam.tokens.row[neighbour.fires])
        rows = rows[silent[rows]]
        if len(rows):
            pools.append((rng.permutation(rows).astype(np.int64), neighbour.fires))
        if len(pools) == k - 1:
            break
    return pools


def _marked(exam: Exam, row: int, fires: Int[NDArray[np.int64], " firing"]) -> Marked:
    """A context with the tokens highlighted that are among these."""
    first, end = (int(exam.tokens.starts[row + i]) for i in (0, 1))
    here = fires[(fires >= first) & (fires < end)] - first
    return Marked(exam.passage(row), tuple(here.tolist()))


def _rate(
    exam: Exam,
    name: str,
    values: Float[NDArray[np.float64], " questions"],
    document: Int[NDArray[np.int64], " questions"],
    flags: tuple[str, ...],
) -> Measure:
    """Mean of values between 0 and 1 with its interval."""
    _, cluster = np.unique(document, return_inverse=True)
    documents, n = int(cluster.max()) + 1, len(values)
    drawn = multiplicities(documents, np.random.default_rng([exam.seed, exam.feature, 9]))
    draws = ratio_draws(values, np.ones(n), cluster, drawn)
    return measured(name, float(values.mean()), draws, n, documents, flags, wilson(float(values.sum()), n))
