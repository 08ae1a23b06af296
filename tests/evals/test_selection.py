"""Choosing on validation and publishing on test: no figure is inflated by the choice, the control's neither."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace

import numpy as np
import pytest

from dragoman.evals.judge.reader import Step
from dragoman.evals.scorers.exam import Exam
from dragoman.evals.scorers.measure import Measure
from dragoman.evals.selection import select, shuffled

from .scorers.planted import exam

TEST = exam()
VALIDATION = replace(TEST, tokens=replace(TEST.tokens, split="validation"))
NAME = "detection.auroc"


class Noisy:
    """Scores of claims that say how good they are: that, plus noise that depends on claim and split."""

    def __init__(self, seed: int, noise: float = 0.1) -> None:
        self.seed, self.noise = seed, noise
        self.steps: list[str] = []

    async def __call__(self, claim: str, made: Exam, step: Step) -> list[Measure]:
        self.steps.append(step.name)
        quality, number = (float(part) for part in claim.split("/"))
        split = made.tokens.split == "test"
        value = quality + self.noise * np.random.default_rng([self.seed, int(number), split]).normal()
        return [Measure("other", 0.0), Measure(NAME, float(value), n=80)]


Asking = Callable[[str, Exam, Step], Awaitable[list[Measure]]]


def published(candidates: list[str], ask: Asking) -> float:
    chosen = asyncio.run(select(candidates, NAME, ask, VALIDATION, TEST, Step(1, "score/label/selection")))
    return chosen.published[1].value or 0.0


def test_the_best_of_k_is_inflated_where_it_is_chosen_and_not_where_it_is_published() -> None:
    """Ten candidates that are all worth .7: the best figure among them is .85 on average, the published one .7."""
    candidates = [f"0.7/{i}" for i in range(10)]
    best, honest = [], []
    for seed in range(300):
        chosen = asyncio.run(select(candidates, NAME, Noisy(seed), VALIDATION, TEST, Step(1, "s")))
        best.append(max(value for value in chosen.validation if value is not None))
        honest.append(chosen.published[1].value or 0.0)
    assert np.mean(best) > 0.83
    assert np.mean(honest) == pytest.approx(0.7, abs=0.02)


def test_choosing_does_help_where_candidates_differ() -> None:
    candidates = [f"{quality}/{i}" for i, quality in enumerate((0.5, 0.6, 0.9, 0.6))]
    assert np.mean([published(candidates, Noisy(seed)) for seed in range(100)]) == pytest.approx(0.9, abs=0.03)


def test_a_control_with_one_try_flatters_the_label_and_one_with_as_many_does_not() -> None:
    """Labels that know nothing, eight a feature, against other features' labels, of which some fit a little by luck."""
    rng = np.random.default_rng(0)
    once, equal = [], []
    for feature in range(200):
        quality = {f: float(rng.normal(0.5, 0.1)) for f in range(60)}
        labels = {f: f"{q}/{f}" for f, q in quality.items()}
        own = [f"{rng.normal(0.5, 0.1)}/{100 + i}" for i in range(8)]
        ask = Noisy(feature, noise=0.05)
        figure = published(own, ask)
        once.append(figure - published(shuffled(labels, feature % 60, 1, 0), ask))
        equal.append(figure - published(shuffled(labels, feature % 60, 8, 0), ask))
    assert np.mean(once) > 0.08
    assert np.mean(equal) == pytest.approx(0, abs=0.03)


def test_the_choice_is_on_validation_and_steps_and_flags_say_so() -> None:
    ask = Noisy(0, noise=0.0)
    candidates = ["0.5/0", "0.9/1", "0.9/2"]
    chosen = asyncio.run(select(candidates, NAME, ask, VALIDATION, TEST, Step(1, "score/label/selection")))
    assert chosen.chosen == 1 and chosen.validation == (0.5, 0.9, 0.9)
    assert ask.steps == [f"score/label/selection/{part}" for part in ("validation/0", "validation/1", "validation/2", "test")]
    assert all(f"best of 3 on validation by {NAME}" in measure.flags for measure in chosen.published)


def test_one_candidate_needs_no_validation_and_none_is_refused() -> None:
    ask = Noisy(0)
    only = asyncio.run(select(["0.5/0"], NAME, ask, VALIDATION, TEST, Step(1, "s")))
    assert ask.steps == ["s/test"] and only.published[1].flags == ()
    with pytest.raises(ValueError, match="nothing to choose from"):
        published([], ask)


def test_exams_of_the_wrong_split_and_unknown_scorers_are_refused() -> None:
    with pytest.raises(ValueError, match="want validation and test"):
        asyncio.run(select(["0.5/0", "0.6/1"], NAME, Noisy(0), TEST, TEST, Step(1, "s")))
    with pytest.raises(ValueError, match=re.escape("no figure is called fuzzing.auroc")):
        asyncio.run(select(["0.5/0", "0.6/1"], "fuzzing.auroc", Noisy(0), VALIDATION, TEST, Step(1, "s")))


def test_where_nothing_is_scored_the_first_is_published_and_the_flag_says_so() -> None:
    async def silent(claim: str, made: Exam, step: Step) -> list[Measure]:
        validation = made.tokens.split == "validation"
        return [Measure(NAME, None, unscored="refused") if validation else Measure(NAME, 0.6)]

    chosen = asyncio.run(select(["a", "b"], NAME, silent, VALIDATION, TEST, Step(1, "s")))
    assert chosen.chosen == 0 and chosen.published[0].flags == ("first of 2: none could be scored on validation",)


def test_the_control_s_candidates_are_others_labels_none_twice() -> None:
    labels = {f: f"label {f}" for f in range(9)}
    for feature in range(9):
        drawn = shuffled(labels, feature, 5, 0)
        assert len(set(drawn)) == 5 and f"label {feature}" not in drawn and drawn == shuffled(labels, feature, 5, 0)
    assert len(shuffled(labels, 0, 50, 0)) == 8
    assert len({tuple(shuffled(labels, 0, 5, seed)) for seed in range(9)}) > 5
