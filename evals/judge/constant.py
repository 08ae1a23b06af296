"""A judge that answers the same to everything: found over a run, because one feature's answers may well be alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from textwrap import shorten

ALIKE = 0.01
"""Answers that differ by no more than this are the same."""
NEARLY = 0.98
"""A judge is constant where this share of its answers is the same."""
FEWEST = 20
"""Of fewer answers nothing is said."""
LONGEST = 120
"""Characters of a reason that are shown; what servers say can be long."""


def constant(values: Sequence[float | None]) -> str | None:
    """One sentence about a judge that answers the same to everything, or None. Items without a value are left out.

    values: probabilities of yes over a run, about claims and texts that call for both answers.
    """
    told = sorted(value for value in values if value is not None)
    if len(told) < FEWEST:
        return None
    first = most = begin = 0
    for end, value in enumerate(told):
        while value - told[begin] > ALIKE:
            begin += 1
        if end + 1 - begin > most:
            first, most = begin, end + 1 - begin
    if most < NEARLY * len(told):
        return None
    middle = told[first + most // 2]
    word = "yes" if middle > 0.5 else "no"
    return f"The judge answers {word} (probability {middle:.2f}) to {most} of {len(told)} questions: its scores say nothing."


def unreadable(reasons: Iterable[str | None]) -> str | None:
    """One sentence about answers that could not be read, with the commonest reasons; None where all could."""
    given = list(reasons)
    lost = Counter(shorten(reason, LONGEST, placeholder=" …") for reason in given if reason)
    if not lost:
        return None
    named = ", ".join(f"{count} times {reason}" for reason, count in lost.most_common(3))
    return f"{lost.total()} of {len(given)} answers could not be read: {named}."
