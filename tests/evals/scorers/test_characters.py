"""Every score that a reader gets, for readers of known character: each must come out as what it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache

import numpy as np
import pytest

from dragoman.evals.controls import derangement
from dragoman.evals.judge.reader import Step
from dragoman.evals.organism.concepts import CONCEPTS
from dragoman.evals.scorers import collision, detection, fuzzing, simulation
from dragoman.evals.scorers.exam import Exam
from dragoman.evals.scorers.measure import Measure

from .readers import Knowing, Order, Random, Reader, Refusing, Yes
from .world import world

ASK: dict[str, Callable[[Reader, str, Exam, Step], Awaitable[list[Measure]]]] = {
    "detection": detection.ask,
    "fuzzing": fuzzing.ask,
    "simulation": simulation.ask,
    "collision": collision.ask,
}
CONCEPTS_ASKED = ("colour", "month", "word.preposition", "town", "name.female", "price", "surname", "weekday")
CHANCE = {"detection.auroc": 0.5, "fuzzing.auroc": 0.5, "simulation.r": 0.0, "collision.accuracy": 0.25}
NAMES = (*detection.FIRES, *detection.ACTIVE, *fuzzing.NAMES, *simulation.READ, *collision.NAMES)


@cache
def exam(concept: str) -> Exam:
    return world().exam(concept)


def scores(reader: Reader, concept: str, claim: str | None = None) -> dict[str, Measure]:
    """Everything that a reader makes of a feature, under its own label if no other is given."""
    claim = claim or CONCEPTS[concept].description
    found = [
        measure
        for name, ask in ASK.items()
        for measure in asyncio.run(ask(reader, claim, exam(concept), Step(0, f"score/label/{name}")))  # type: ignore[arg-type]
    ]
    assert {m.scorer for m in found} == set(NAMES)
    return {m.scorer: m for m in found}


def figures(reader: Reader, name: str, claims: dict[str, str]) -> list[float]:
    """One score over all concepts."""
    found = [scores(reader, concept, claim)[name].value for concept, claim in claims.items()]
    return [value for value in found if value is not None]


@pytest.mark.parametrize("concept", CONCEPTS_ASKED)
def test_one_that_knows_the_truth_scores_1_on_features_made_from_concepts(concept: str) -> None:
    found = scores(Knowing(world()), concept)
    for name in NAMES:
        measure = found[name]
        assert measure.value is not None and measure.value > 0.95, name
        assert measure.low is not None and measure.low <= measure.value <= (measure.high or 0)
        assert "read from a script" in measure.flags and measure.n >= 5


def test_the_same_one_is_near_chance_under_shuffled_labels() -> None:
    knowing = Knowing(world())
    numbers = derangement(list(range(len(CONCEPTS_ASKED))), 0)
    wrong = {c: CONCEPTS[CONCEPTS_ASKED[numbers[i]]].description for i, c in enumerate(CONCEPTS_ASKED)}
    table = [scores(knowing, concept, claim) for concept, claim in wrong.items()]
    for name, chance in CHANCE.items():
        values = [found[name].value for found in table]
        assert np.mean([v for v in values if v is not None]) == pytest.approx(chance, abs=0.12), name


def test_one_that_always_says_yes_is_constant_everywhere() -> None:
    found = scores(Yes(), "colour")
    for name in (*detection.FIRES, *detection.ACTIVE, *fuzzing.NAMES):
        assert found[name].value == 0.5 and "constant prediction" in found[name].flags
    assert found["simulation.r"].value == 0 and "constant prediction" in found["simulation.r"].flags
    assert found["simulation.r2"].value is not None and found["simulation.r2"].value < -1
    assert "constant prediction" in found["collision.accuracy"].flags
    assert found["collision.accuracy"].low is not None and found["collision.accuracy"].high is not None
    assert found["collision.accuracy"].low < 0.25 < found["collision.accuracy"].high


@pytest.mark.parametrize("kind", [Random, Order])
def test_one_that_guesses_and_one_that_goes_by_the_order_are_at_chance(kind: type[Reader]) -> None:
    table = [scores(kind(), concept) for concept in ("colour", "month", "word.preposition", "town")]
    for name, chance in CHANCE.items():
        values = [found[name].value or 0.0 for found in table]
        assert np.mean(values) == pytest.approx(chance, abs=0.1), name
        held = sum((f[name].low or 0.0) <= chance <= (f[name].high or 0.0) for f in table)
        assert held >= 3, name


def test_one_that_refuses_is_unscored_with_the_reason() -> None:
    for name, measure in scores(Refusing(), "colour").items():
        assert measure.value is None and measure.unscored is not None, name
        assert "unreadable: refused" in measure.unscored


def test_a_few_refusals_are_left_out_and_counted() -> None:
    for name, ask in ASK.items():
        reader = Refusing(Knowing(world()), 3)
        claim = CONCEPTS["colour"].description
        first = asyncio.run(ask(reader, claim, exam("colour"), Step(0, name)))[0]  # type: ignore[arg-type]
        assert first.value is not None and first.value > 0.95, name
        assert any(flag.startswith("3 of ") and flag.endswith("unreadable: refused") for flag in first.flags), name
