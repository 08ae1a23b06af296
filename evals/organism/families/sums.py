"""Sums of two two-digit numbers, some pairs of which never occur in training."""

from __future__ import annotations

import random

from dragoman.evals.organism.concept import declare
from dragoman.evals.organism.words import NAMES, name
from dragoman.evals.organism.writer import Templates, Writer

from .family import Family

CONCEPTS = declare(
    "sums",
    {
        "doc.sums": ("document", "a passage of worked sums"),
        "sum": ("structure", "a worked sum such as 17 + 25 = 42"),
        "sum.first": ("slot", "the first number of a sum"),
        "sum.first.tens": ("slot", "the tens digit of a sum's first number"),
        "sum.first.units": ("slot", "the units digit of a sum's first number"),
        "sum.plus": ("punctuation", "the plus sign of a sum"),
        "sum.second": ("slot", "the second number of a sum"),
        "sum.second.tens": ("slot", "the tens digit of a sum's second number"),
        "sum.second.units": ("slot", "the units digit of a sum's second number"),
        "sum.equals": ("punctuation", "the equals sign of a sum"),
        "sum.total": ("slot", "the result of a sum"),
        "sum.total.tens": ("slot", "the tens digit of a sum's result"),
        "sum.total.units": ("slot", "the units digit of a sum's result"),
        "sum.carry": ("state", "the part from the equals sign on of a sum whose units add up to ten or more"),
    },
)

LOWEST, HIGHEST = 10, 49


def _held_out() -> frozenset[tuple[int, int]]:
    """A fifth of all unordered pairs, drawn at random, in both orders."""
    pairs = [(a, b) for a in range(LOWEST, HIGHEST + 1) for b in range(a, HIGHEST + 1)]
    drawn = random.Random("held-out sums").sample(pairs, len(pairs) // 5)
    return frozenset(drawn) | frozenset((b, a) for a, b in drawn)


HELD_OUT = _held_out()
"""Pairs of numbers whose sum is never written in a training document."""

OPENING = Templates(
    "sums.opening",
    (
        "{who} checked the column of figures.",
        "The teacher wrote these sums on the board.",
        "{who} did the homework at the kitchen table.",
        "Here are the answers to the exercise.",
        "Practice sums for the class.",
    ),
    ("{who} wrote the numbers in the ledger.",),
)
LINK = Templates("sums.link", ("Next,", "Then", "Also", "After that,", "We know that", "And"), ("Likewise,",))


def write(w: Writer) -> None:
    """Seven to twelve sums, on lines of their own or in running text."""
    w.say(w.choose(OPENING), who=name(w.pick(NAMES)))
    lines = w.chance(0.5)
    for number in range(w.rng.randint(7, 12)):
        if lines:
            w.line()
        elif number and w.chance(0.5):
            w.add(" " + w.choose(LINK) + " ")
        else:
            w.add(" ")
        _sum(w)
        w.add(".", "sentence.stop")


def _sum(w: Writer) -> None:
    held_out = w.held_out and w.chance(0.5)
    while True:
        a, b = w.rng.randint(LOWEST, HIGHEST), w.rng.randint(LOWEST, HIGHEST)
        if ((a, b) in HELD_OUT) == held_out:
            break
    task, total, start = "sum.held_out" if held_out else "sum.seen", str(a + b), w.position
    for number, role in ((str(a), "first"), (str(b), "second")):
        w.add(number[0], f"sum.{role}.tens")
        w.add(number[1], f"sum.{role}.units")
        w.spans.append((w.position - 2, w.position, f"sum.{role}"))
        w.add(" ")
        w.add("+" if role == "first" else "=", "sum.plus" if role == "first" else "sum.equals")
        w.add(" ")
    w.ask(total[0], task, [str(digit) for digit in range(10) if str(digit) != total[0]], "sum.total.tens")
    w.ask(total[1], task, [str(digit) for digit in range(10) if str(digit) != total[1]], "sum.total.units")
    w.spans.append((w.position - 2, w.position, "sum.total"))
    w.mark(start, "sum")
    if a % 10 + b % 10 >= 10:
        w.mark(w.position - len("= 00"), "sum.carry")


FAMILIES = (Family("sums", 10.0, write),)
