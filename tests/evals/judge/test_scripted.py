"""Readers without a model come out as what they are."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from dragoman.evals.judge.reader import Marked, Passage, Reader, Step
from dragoman.evals.judge.scripted import Agreeing, Copying, Guessing, Knowing, Refusing

STEP = Step(3, "score/label/detection")
BIRDS = Passage(("An", " old", " robin", " sang", " to", " a", " wren"))
STONES = Passage(("An", " old", " stone"))


def activity(claim: str, passage: Passage) -> list[float]:
    """Active on the words that a claim names: fully on the first of them, at a third on the others, as text or as token."""
    words = claim.split()
    return [
        max(
            (1.0 if w == words[0] else 1 / 3 for w in words if w == token.strip() or (w in token and " " in token.strip())),
            default=0,
        )
        for token in passage.strings
    ]


def test_the_one_who_knows_answers_as_the_truth_is() -> None:
    reader = Knowing(activity, lambda claim, fires, n: [claim if fires else "stone"] * n)

    async def ask() -> None:
        assert [a.value for a in await reader.detect("robin wren", [BIRDS, STONES], STEP)] == [0.95, pytest.approx(0.05)]
        marked = [Marked(BIRDS, (2, 6)), Marked(BIRDS, (2, 3)), Marked(BIRDS, (0, 1))]
        assert [a.value for a in await reader.fuzz("robin wren", marked, STEP)] == pytest.approx([0.95, 0.5, 0.05])
        (simulated,) = await reader.simulate("robin wren", [BIRDS], STEP)
        assert simulated.values == pytest.approx((0, 0, 1, 0, 0, 0, 1 / 3))
        assert (await reader.choose("wren", "passage", [STONES.text, BIRDS.text], STEP)).probabilities == (0, 1)
        assert (await reader.choose("owl", "passage", [STONES.text, BIRDS.text], STEP)).probabilities == (0.5, 0.5)
        assert (await reader.write("wren", True, 2, STEP)).texts == ("wren", "wren")
        assert (await reader.write("wren", False, 1, STEP)).texts == ("stone",)
        assert (await Knowing(activity).write("wren", True, 1, STEP)).unscored

    asyncio.run(ask())


def test_the_one_who_guesses_is_near_chance_and_repeats_itself() -> None:
    reader = Guessing(seed=5)

    async def ask() -> None:
        first = [a.value for a in await reader.detect("x", [BIRDS] * 2000, STEP)]
        assert first == [a.value for a in await reader.detect("x", [BIRDS] * 2000, STEP)]
        assert first != [a.value for a in await reader.detect("x", [BIRDS] * 2000, Step(4, STEP.name))]
        assert first != [a.value for a in await Guessing(6).detect("x", [BIRDS] * 2000, STEP)]
        assert np.mean([value or 0 for value in first]) == pytest.approx(0.5, abs=0.03)
        chosen = (await reader.choose("x", "continuations", ["a", "b", "c"], STEP)).probabilities
        assert chosen is not None and sum(chosen) == pytest.approx(1) and len(set(chosen)) == 3

    asyncio.run(ask())


def test_the_one_who_copies_the_order_sees_nothing_but_places() -> None:
    async def ask() -> None:
        forward = await Copying().detect("robin", [BIRDS, STONES, STONES], STEP)
        backward = await Copying().detect("robin", [STONES, STONES, BIRDS], STEP)
        assert forward == backward and [a.value for a in forward] == [1, 0.5, 0]
        chosen = await Copying().choose("x", "passage", ["a", "b", "c"], STEP)
        assert chosen.probabilities == pytest.approx((1 / 2, 1 / 3, 1 / 6))

    asyncio.run(ask())


@pytest.mark.parametrize("reader", [Knowing(activity), Agreeing(), Guessing(), Copying(), Refusing()], ids=lambda r: r.name)
def test_every_reader_answers_every_question_item_by_item(reader: Reader) -> None:
    async def ask() -> None:
        detected = await reader.detect("robin", [BIRDS, STONES], STEP)
        fuzzed = await reader.fuzz("robin", [Marked(BIRDS, (1,))], STEP)
        simulated = await reader.simulate("robin", [BIRDS, STONES], STEP)
        chosen = await reader.choose("robin", "passage", ["a", "b", "c"], STEP)
        refuses = isinstance(reader, Refusing)
        assert [len(detected), len(fuzzed), len(simulated)] == [2, 1, 2]
        for answer in (*detected, *fuzzed):
            assert (answer.value is None) == (answer.unscored is not None) == refuses
            assert answer.way == ("" if refuses else "scripted")
            assert answer.value is None or 0 <= answer.value <= 1
        for one, passage in zip(simulated, (BIRDS, STONES), strict=True):
            assert refuses if one.values is None else len(one.values) == len(passage.strings)
        assert refuses if chosen.probabilities is None else sum(chosen.probabilities) == pytest.approx(1)
        assert len((await reader.write("robin", True, 3, STEP)).texts) in (
            (0,) if refuses or isinstance(reader, Knowing) else (3,)
        )

    asyncio.run(ask())
