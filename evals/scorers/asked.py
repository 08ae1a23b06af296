"""How the questions of a score are asked: in batches that are all alike, until the interval is narrow enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from dragoman.evals.judge.reader import Answer, Step, Way
from dragoman.evals.statistics import batches, narrow

WAYS: Mapping[Way, str] = {
    "log-probabilities": "read from log-probabilities",
    "sampled": "read from samples",
    "schema": "read from a schema",
    "executed": "read from a rule",
    "scripted": "read from a script",
}
"""Flags for how a figure's answers were read (`sampled` alone is a flag of stores)."""


class Read(Protocol):
    """What all answers of readers have."""

    @property
    def way(self) -> Way:
        """How it was read."""
        ...

    @property
    def unscored(self) -> str | None:
        """Why there is none."""
        ...


A = TypeVar("A", bound=Read)

Ask = Callable[[Int[NDArray[np.int64], " batch"], Step], Awaitable[Sequence[A]]]
"""Puts the questions of these numbers to a reader and returns an answer to each."""
Look = Callable[[Sequence[A | None]], tuple[float | None, float | None]]
"""The interval from the answers so far: one a question, None where it was not asked yet."""


def parted(
    classes: Int[NDArray[np.integer], " questions"], rng: np.random.Generator, width: float | None, size: int
) -> list[Int[NDArray[np.int64], " batch"]]:
    """The batches in which questions of these classes are asked: of about `size` with a width, else all in one."""
    return batches(classes, rng, len(classes) if width is None else size)


async def gather(
    parts: Sequence[Int[NDArray[np.int64], " batch"]], ask: Ask[A], look: Look[A], step: Step, width: float | None
) -> list[A | None]:
    """Ask batch after batch until the interval is at most `width` wide; None where nothing was asked.

    `parts` are the numbers of all questions. With a width, each batch is a step of its own, `step/0`, `step/1`, …; without one,
    a batch is asked under the step itself, and there is one alone. How well the interval covers the truth when asking stops like
    this is measured in `detection.ask` and `simulation.ask`.
    """
    answers: list[A | None] = [None] * sum(map(len, parts))
    for number, part in enumerate(parts):
        found = await ask(part, step if width is None else within(step, number))
        for place, answer in zip(part, found, strict=True):
            answers[place] = answer
        if number + 1 < len(parts) and narrow(look(answers), width):
            break
    return answers


def within(step: Step, name: str | int) -> Step:
    """A part of a step."""
    return Step(step.feature, f"{step.name}/{name}")


def checked(answer: Answer) -> Answer:
    """The answer, or the reason why it is none: no number, or not a probability."""
    if answer.value is None:
        return Answer(None, answer.way, answer.unscored or "no answer")
    if not 0 <= answer.value <= 1:  # nan is neither
        return Answer(None, answer.way, f"{answer.value} is not a probability")
    return answer


def remarks(answers: Sequence[Read | None]) -> tuple[str, ...]:
    """Flags: asking that ended early, answers that could not be read, and how the others were read."""
    asked = [answer for answer in answers if answer is not None]
    ways = Counter(answer.way for answer in asked if answer.unscored is None)
    flags = [] if len(asked) == len(answers) else [f"stopped early: {len(asked)} of {len(answers)} asked"]
    if len(asked) > ways.total():
        flags.append(unreadable(answers))
    together = sum(isinstance(answer, Answer) and answer.place > 0 for answer in asked)
    if together:
        flags.append(
            "several texts a request" if together == len(asked) else f"{together} of {len(asked)} with others in a request"
        )
    for way, text in WAYS.items():
        if ways[way]:
            flags.append(text if ways[way] == ways.total() else f"{ways[way]} of {ways.total()} {text}")
    return tuple(flags)


def unreadable(answers: Sequence[Read | None]) -> str:
    """How many of the answers could not be read, and the commonest reason."""
    asked = [answer for answer in answers if answer is not None]
    lost = Counter(answer.unscored for answer in asked if answer.unscored is not None)
    return f"{lost.total()} of {len(asked)} unreadable: {lost.most_common(1)[0][0]}" if lost else f"0 of {len(asked)} unreadable"
