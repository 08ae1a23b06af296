"""Judges of every sort, checked: each comes out as what it is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from dragoman.evals.judge.check.findings import Findings
from dragoman.evals.judge.check.material import Known, known_claims
from dragoman.evals.judge.check.run import check, lengthened
from dragoman.evals.judge.reader import Answer, Passage, Reader, Step
from dragoman.evals.judge.scripted import Agreeing, Copying, Guessing, Knowing, Refusing


@pytest.fixture(scope="module")
def known() -> list[Known]:
    return known_claims(12, 6)


def knowing(known: Sequence[Known]) -> Knowing:
    """Knows where each claim holds, in a passage or in its whole text."""
    truth: dict[tuple[str, tuple[str, ...]], list[float]] = {}
    for claim in known:
        for text in (*claim.true, *claim.false):
            values = [float(i in text.where) for i in range(len(text.passage.strings))]
            for said in (claim.claim, lengthened(claim.claim)):
                truth[said, text.passage.strings] = values
                truth[said, (text.passage.text,)] = [sum(values)]
    return Knowing(lambda claim, passage: truth[claim, passage.strings], lambda claim, fires, n: [claim] * n)


def findings(reader: Reader, known: Sequence[Known]) -> Findings:
    return asyncio.run(check(reader, known))


def test_the_one_who_knows_is_fit(known: list[Known]) -> None:
    found = findings(knowing(known), known)
    assert found.verdict.startswith("Fit")
    assert {kind: interval.value for kind, interval in found.detection.items()} == {"all": 1, "word": 1, "concept": 1}
    assert found.fuzzing.value == 1 and found.simulation.value == pytest.approx(1)
    assert found.position.accuracy.value == 1 and found.position.shares == pytest.approx([0.25] * 4)
    assert found.calibration.brier == pytest.approx(0.05**2)
    assert found.length.value == pytest.approx(0)
    assert found.written.value == 1 and found.written.n == 3 * sum(claim.kind == "word" for claim in known)
    assert found.unreadable is None and found.constant is None
    assert found.ways == {"scripted": 12 * (12 + 12 + 6 + 2 + 4)}


def test_the_one_who_says_yes_is_constant(known: list[Known]) -> None:
    found = findings(Agreeing(), known)
    assert found.verdict.startswith("Constant. The judge answers yes (probability 0.95) to 144 of 144 questions")
    assert found.detection["all"].value == 0.5
    assert found.position.shares == (1, 0, 0, 0) and found.position.accuracy.value == 0.25
    assert found.simulation.value == 0


def test_the_one_who_guesses_is_not_fit(known: list[Known]) -> None:
    found = findings(Guessing(), known)
    assert found.verdict.startswith("Not fit")
    assert found.detection["all"].low < 0.5 < found.detection["all"].high
    assert found.calibration.brier == pytest.approx(1 / 3, abs=0.06)


def test_the_one_who_copies_the_order_gets_nothing_from_it(known: list[Known]) -> None:
    found = findings(Copying(), known)
    assert found.verdict.startswith("Not fit")
    assert found.position.spread == pytest.approx(0.4 - 0.1)


def test_the_one_who_refuses_is_broken(known: list[Known]) -> None:
    found = findings(Refusing(), known)
    assert found.verdict.startswith("Broken: no detection question could be read.")
    assert found.unreadable is not None and "times the judge refused" in found.unreadable
    assert found.detection["all"].n == found.calibration.n == found.position.accuracy.n == found.length.n == 0


class Wordy(Guessing):
    """Believes long claims."""

    name = "wordy"

    async def detect(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Answer]:
        return [Answer(min(1.0, len(claim) / 300), "scripted")] * len(passages)


def test_the_one_who_believes_long_claims_has_a_length_bias(known: list[Known]) -> None:
    found = findings(Wordy(), known)
    assert found.length.low > 0.3
