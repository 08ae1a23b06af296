"""Every score that a reader gets, for readers of known character: each must come out as what it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache

import numpy as np
import pytest

from dragoman.evals.controls import derangement
from dragoman.evals.judge.reader import Reader, Step
from dragoman.evals.judge.scripted import Agreeing, Copying, Guessing, Knowing, Refusing
from dragoman.evals.organism.concepts import CONCEPTS
from dragoman.evals.scorers import collision, detection, fuzzing, simulation
from dragoman.evals.scorers.exam import Exam
from dragoman.evals.scorers.measure import Measure

from .readers import VAGUE, Failing, knowing
from .world import world

Ask = Callable[[Reader, str, Exam, Step], Awaitable[list[Measure]]]
ASK: dict[str, Ask] = {
    "detection": detection.ask,
    "fuzzing": fuzzing.ask,
    "simulation": simulation.ask,
    "collision": collision.ask,
}
ASKED = ("colour", "month", "word.preposition", "town", "name.female", "price", "surname", "weekday")
CHANCE = {"detection.auroc": 0.5, "fuzzing.auroc": 0.5, "simulation.r": 0.0, "collision.accuracy": 0.25}
NAMES = (*detection.FIRES, *detection.ACTIVE, *fuzzing.NAMES, *simulation.READ, *collision.NAMES)


@cache
def exam(concept: str) -> Exam:
    return world().exam(concept)


@cache
def truth() -> Knowing:
    return knowing(world())


def asked(ask: Ask, reader: Reader, concept: str, claim: str, step: Step) -> list[Measure]:
    async def measures() -> list[Measure]:
        return await ask(reader, claim, exam(concept), step)

    return asyncio.run(measures())


def scores(reader: Reader, concept: str, claim: str | None = None) -> dict[str, Measure]:
    """Everything that a reader makes of a feature, under its own label if no other is given."""
    claim = claim or CONCEPTS[concept].description
    steps = {name: Step(exam(concept).feature, f"score/label/{name}") for name in ASK}
    found = {m.scorer: m for name, ask in ASK.items() for m in asked(ask, reader, concept, claim, steps[name])}
    assert set(found) == set(NAMES)
    return found


@pytest.mark.parametrize("concept", ASKED)
def test_one_that_knows_the_truth_scores_near_1_on_features_made_from_concepts(concept: str) -> None:
    found = scores(truth(), concept)
    for name in NAMES:
        measure = found[name]
        assert measure.value is not None and measure.value > 0.95, name
        assert measure.low is not None and measure.low <= measure.value <= (measure.high or 0), name
        assert "read from a script" in measure.flags and measure.n >= 5, name
    assert found["collision.accuracy"].value == found["detection.auroc"].value == found["fuzzing.auroc"].value == 1


def test_the_same_one_is_near_chance_under_shuffled_labels() -> None:
    numbers = derangement(list(range(len(ASKED))), 0)
    table = [scores(truth(), concept, CONCEPTS[ASKED[numbers[i]]].description) for i, concept in enumerate(ASKED)]
    for name, chance in CHANCE.items():
        values = [found[name].value for found in table]
        assert np.mean([v for v in values if v is not None]) == pytest.approx(chance, abs=0.12), name


def test_under_a_label_that_fits_the_neighbours_as_well_it_cannot_tell_the_texts_apart() -> None:
    """A vague label is seen by collision, whatever detection makes of it."""
    for concept in ("colour", "town"):
        accuracy, probability = asked(collision.ask, truth(), concept, VAGUE, Step(0, "c"))
        assert accuracy.value == pytest.approx(0.25) and probability.value == pytest.approx(0.25)
        assert "constant prediction" in accuracy.flags


def test_one_that_always_says_yes_is_constant_everywhere() -> None:
    found = scores(Agreeing(), "colour")
    for name in (*detection.FIRES, *detection.ACTIVE, *fuzzing.NAMES):
        assert found[name].value == 0.5, name
    assert found["simulation.r"].value == 0
    assert found["simulation.r2"].value is not None and found["simulation.r2"].value < -1
    assert all("constant prediction" in found[name].flags for name in NAMES)
    accuracy = found["collision.accuracy"]
    assert accuracy.low is not None and accuracy.high is not None and accuracy.low < 0.25 < accuracy.high


@pytest.mark.parametrize("reader", [Guessing(), Copying()], ids=lambda reader: reader.name)
def test_one_that_guesses_and_one_that_goes_by_the_order_are_at_chance(reader: Reader) -> None:
    table = [scores(reader, concept) for concept in ("colour", "month", "word.preposition", "town")]
    for name, chance in CHANCE.items():
        values = [found[name].value or 0.0 for found in table]
        assert np.mean(values) == pytest.approx(chance, abs=0.1), name
        held = [(found[name].low or 0.0) <= chance <= (found[name].high or 0.0) for found in table]
        assert sum(held) >= 3, name


def test_one_that_refuses_is_unscored_with_the_reason() -> None:
    for name, measure in scores(Refusing(), "colour").items():
        assert measure.value is None and measure.unscored is not None, name
        assert "unreadable: the judge refused" in measure.unscored, name


def test_a_few_unreadable_answers_are_left_out_and_counted() -> None:
    for name, ask in ASK.items():
        first = asked(ask, Failing(truth(), 3), "colour", CONCEPTS["colour"].description, Step(0, name))[0]
        assert first.value is not None and first.value > 0.95, name
        assert any(flag.startswith("3 of ") and flag.endswith("unreadable: no JSON") for flag in first.flags), name
