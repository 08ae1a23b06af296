"""Collision: the questions are what they say, and the figures equal plain ones."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from scipy import stats

from dragoman.evals.judge.reader import Chosen, Step
from dragoman.evals.judge.scripted import Agreeing, Guessing
from dragoman.evals.scorers import collision

from .planted import STEP, exam
from .readers import Recording


def test_in_one_text_the_feature_fires_and_in_the_others_different_neighbours_do_while_it_is_silent() -> None:
    made = exam()
    asked = collision.questions(made, 4)
    rows = {made.passage(row): row for row in range(made.tokens.n_contexts)}
    firing = made.sample.fires.rows[made.sample.fires.truth].tolist()
    assert sorted(question.row for question in asked) == sorted(firing)
    for question in asked:
        shown = [rows[option.passage] for option in question.options]
        assert len(set(shown)) == 4 and shown[question.right] == question.row
        highlighted = []
        for place, (row, option) in enumerate(zip(shown, question.options, strict=True)):
            values = made.real[made.tokens.starts[row] : made.tokens.starts[row + 1]]
            if place == question.right:
                assert list(option.highlights) == [i for i, v in enumerate(values) if v > made.threshold]
            else:
                assert values.max() == 0 and option.highlights
                highlighted.append({option.passage.ids[i] for i in option.highlights})
        assert sorted(min(tokens) for tokens in highlighted) == [10, 11, 12] and all(len(t) == 1 for t in highlighted)
    assert stats.chisquare(list(Counter(q.right for q in asked).values())).pvalue > 1e-3


def test_questions_depend_on_the_seed_and_unknown_contexts_are_not_silent() -> None:
    made = exam()
    assert collision.questions(made, 4) == collision.questions(made, 4) != collision.questions(replace(made, seed=1), 4)
    unknown = np.flatnonzero(np.arange(400) % 2 == 1)
    hidden = {made.passage(int(row)) for row in unknown}
    for question in collision.questions(replace(made, unknown=unknown), 4):
        assert not hidden & {o.passage for i, o in enumerate(question.options) if i != question.right}


def test_one_neighbour_gives_all_other_texts_and_none_leaves_it_unscored() -> None:
    made = exam()
    one = collision.questions(replace(made, neighbours=made.neighbours[:1]), 3)
    assert len(one) == 40 and all(len({o.passage for o in q.options}) == 3 for q in one)
    reader = Recording(Guessing())
    found = asyncio.run(collision.ask(reader, "c", replace(made, neighbours=()), STEP))
    assert (
        reader.options == []
        and [m.unscored for m in found] == ["too few texts to choose from (0 questions of 4, at least 5 are needed)"] * 2
    )


def test_figures_equal_plain_ones_and_a_tie_counts_for_its_share() -> None:
    made = exam()

    class Tying(Agreeing):
        """Sure of the right one in most, torn between two options now and then, unreadable once."""

        async def choose(
            self, claim: str, task: Literal["passage", "continuations"], options: Sequence[str], step: Step
        ) -> Chosen:
            number = int(step.name.rsplit("/", 1)[1])
            right = asked[number].right
            if number == 7:
                return Chosen((0.5, 0.5), "schema")
            if number % 4 == 0:
                return Chosen(tuple(0.8 if i in (right, (right + 1) % 4) else 0.1 for i in range(4)), "schema")
            wrong = (right + 1) % 4
            return Chosen(tuple(1.0 if i == (wrong if number % 4 == 1 else right) else 0.0 for i in range(4)), "schema")

    asked = collision.questions(made, 4)
    reader = Recording(Tying())
    accuracy, probability = asyncio.run(collision.ask(reader, "c", made, STEP))
    numbers = [i for i in range(len(asked)) if i != 7]
    credit = [{0: 0.5, 1: 0.0}.get(i % 4, 1.0) for i in numbers]
    chance = [{0: 0.8 / 1.8, 1: 0.0}.get(i % 4, 1.0) for i in numbers]
    assert accuracy.value == pytest.approx(np.mean(credit)) and probability.value == pytest.approx(np.mean(chance))
    assert accuracy.n == 39 and "one of 4: chance 0.25" in accuracy.flags
    assert "1 of 40 unreadable: no probabilities of 4 options" in accuracy.flags
    assert sorted(reader.steps) == sorted(f"{STEP.name}/{i}" for i in range(40))
    wilson = stats.binomtest(round(sum(credit) * 2), 78).proportion_ci(method="wilson")
    assert accuracy.low is not None and accuracy.high is not None
    assert accuracy.low < wilson.low and accuracy.high > wilson.high


def test_asking_ends_early_and_a_reader_that_stops_everything_leaves_nothing_running() -> None:
    class Right(Agreeing):
        async def choose(
            self, claim: str, task: Literal["passage", "continuations"], options: Sequence[str], step: Step
        ) -> Chosen:
            number = int(step.name.rsplit("/", 1)[1])
            return Chosen(tuple(float(i == asked[number].right) for i in range(4)), "schema")

    made = exam()
    asked = collision.questions(made, 4)
    accuracy, _ = asyncio.run(collision.ask(Right(), "c", made, STEP, width=0.3))
    assert accuracy.value == 1 and accuracy.n == 10 and "stopped early: 10 of 40 asked" in accuracy.flags
    assert accuracy.low == pytest.approx(stats.binomtest(10, 10).proportion_ci(method="wilson").low)

    class Stopping(Agreeing):
        running = 0

        async def choose(
            self, claim: str, task: Literal["passage", "continuations"], options: Sequence[str], step: Step
        ) -> Chosen:
            if step.name.endswith("/7"):
                raise RuntimeError("the budget is reached")
            self.running += 1
            try:
                await asyncio.sleep(60)
            finally:
                self.running -= 1
            raise AssertionError

    stopping = Stopping()
    with pytest.raises(RuntimeError, match="budget"):
        asyncio.run(collision.ask(stopping, "c", made, STEP))
    assert stopping.running == 0
