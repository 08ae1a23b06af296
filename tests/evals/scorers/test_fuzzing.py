"""Fuzzing: wrong highlights that differ from right ones in nothing but being wrong."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from dragoman.evals.judge.reader import Answer, Marked, Passage, Step
from dragoman.evals.judge.scripted import Agreeing, Guessing
from dragoman.evals.organism.concepts import CONCEPTS
from dragoman.evals.scorers import detection, fuzzing
from dragoman.evals.scorers.exam import Exam
from dragoman.evals.scorers.sample import DetectionSample

from .planted import STEP, exam
from .readers import Recording
from .world import world


def check(made: Exam, asked: fuzzing.Questions) -> None:
    """The definition, read literally."""
    firing = made.sample.fires.rows[made.sample.fires.truth].tolist()
    assert set(asked.rows.tolist()) <= set(firing) and len(asked.rows) + asked.full == len(firing)
    for row, right, wrong in zip(asked.rows.tolist(), asked.right, asked.wrong, strict=True):
        values = made.real[made.tokens.starts[row] : made.tokens.starts[row + 1]]
        assert list(right) == [i for i, v in enumerate(values) if v > made.threshold]
        assert len(wrong) == len(right) and all(values[i] == 0 for i in wrong) and list(wrong) == sorted(set(wrong))
        assert sorted(lengths(right)) == sorted(lengths(wrong))


def lengths(positions: Sequence[int]) -> list[int]:
    """Lengths of runs, by walking."""
    found: list[int] = []
    for i, at in enumerate(positions):
        if i and at == positions[i - 1] + 1:
            found[-1] += 1
        else:
            found.append(1)
    return found


def test_wrong_highlights_are_silent_tokens_of_the_same_text_in_runs_of_the_same_lengths() -> None:
    check(exam(), fuzzing.questions(exam()))
    for concept in ("price", "quoted", "name.female"):
        made = world().exam(concept)
        check(made, fuzzing.questions(made))


def test_every_place_is_equally_likely() -> None:
    free = np.ones(9, bool)
    free[4] = False
    possible = [(a, a + 1, b) for a in range(8) for b in range(9) if free[[a, a + 1, b]].all() and (b > a + 2 or b < a - 1)]
    rng = np.random.default_rng(0)
    found = Counter(tuple(sorted(fuzzing.elsewhere([2, 1], free, rng) or ())) for _ in range(4000))
    assert set(found) == {tuple(sorted(p)) for p in possible}
    # One order of the runs has as many places as the other here, so all are equally likely.
    assert stats.chisquare(list(found.values())).pvalue > 1e-4


def test_a_place_is_found_exactly_where_there_is_one() -> None:
    rng = np.random.default_rng(1)
    for _ in range(150):
        free = rng.random(7) < 0.7
        wanted = rng.integers(1, 3, rng.integers(1, 4)).tolist()
        possible = any(
            sorted(lengths(places)) == sorted(wanted) for places in combinations(np.flatnonzero(free).tolist(), sum(wanted))
        )
        places = fuzzing.elsewhere(wanted, free, rng)
        assert (places is not None) == possible
        assert places is None or (sorted(lengths(places)) == sorted(wanted) and free[list(places)].all())


def test_texts_without_room_are_left_out_and_counted() -> None:
    made = exam()
    full = made.sample.fires.rows[made.sample.fires.truth][:7]
    real = made.real.copy()
    for row in full.tolist():
        real[made.tokens.starts[row] : made.tokens.starts[row + 1]] = 5
    crowded = replace(made, real=real)
    asked = fuzzing.questions(crowded)
    assert asked.full == 7 and not set(full.tolist()) & set(asked.rows.tolist())
    area = asyncio.run(fuzzing.ask(Guessing(), "c", crowded, STEP))[0]
    assert f"7 of {len(asked.rows) + 7} contexts without room for wrong highlights" in area.flags
    everywhere = replace(made, real=np.full_like(made.real, 5))
    none = asyncio.run(fuzzing.ask(Guessing(), "c", everywhere, STEP))[0]
    assert none.value is None and "more without room for wrong highlights" in str(none.unscored)


def test_figures_equal_a_plain_computation_and_both_versions_are_asked() -> None:
    made, reader = exam(), Recording(Guessing(3))
    told = asyncio.run(fuzzing.collect(reader, "c", made, STEP))
    area, accuracy = fuzzing.measures(made, told)
    texts = Counter(marked.passage for marked in reader.marked)
    assert set(texts.values()) == {2} and len(reader.marked) == 2 * len(told.questions.rows) == area.n
    n = len(told.questions.rows)
    right, wrong = told.probability[:n], told.probability[n:]
    u = stats.mannwhitneyu(right, wrong, method="asymptotic").statistic / n**2
    assert area.value == pytest.approx(u, abs=1e-12)
    assert accuracy.value == pytest.approx((np.mean(right > 0.5) + np.mean(wrong <= 0.5)) / 2, abs=1e-12)


@pytest.mark.parametrize("width", [None, 0.05])
def test_a_judge_is_told_the_texts_of_detection_batch_by_batch(width: float | None) -> None:
    class Detecting(Guessing):
        def __init__(self) -> None:
            super().__init__(3)
            self.detected: list[list[Passage]] = []
            self.told: list[list[Passage]] = []

        async def detect(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Answer]:
            self.detected.append(list(passages))
            return await super().detect(claim, passages, step)

        async def fuzz(self, claim: str, marked: Sequence[Marked], step: Step, among: Sequence[Passage] = ()) -> list[Answer]:
            assert {item.passage for item in marked} <= set(among)
            self.told.append(list(among))
            return await super().fuzz(claim, marked, step, among)

    reader, made = Detecting(), exam()
    asyncio.run(detection.collect(reader, "c", made, STEP, width))
    found = asyncio.run(fuzzing.collect(reader, "c", made, STEP, width))
    assert reader.told == reader.detected and (len(reader.told) > 1) == (width is not None)
    assert all(answer is not None for answer in found.answers)


@pytest.mark.parametrize("width", [None, 0.05])
def test_contexts_that_detection_does_not_ask_about_are_asked_about_all_the_same(width: float | None) -> None:
    made = exam()
    fires = made.sample.fires
    kept = fires.truth | (np.cumsum(~fires.truth) <= 3)
    few = DetectionSample(fires.rows[kept], fires.truth[kept], fires.near_misses)
    made = replace(made, sample=replace(made.sample, fires=few))
    asked = detection.batched(made, width)
    assert asked and not np.isin(fires.rows[fires.truth], np.concatenate(asked)).all(), "too few silent ones, so it is not asked"
    found = asyncio.run(fuzzing.collect(Guessing(3), "c", made, STEP, width))
    assert len(found.answers) == 80 and all(answer is not None for answer in found.answers)


def test_a_reader_that_looks_at_number_or_shape_of_highlights_learns_nothing() -> None:
    class Counting(Agreeing):
        """Likes many highlights, long runs, or many of them."""

        def __init__(self, kind: str) -> None:
            self.kind = kind

        async def fuzz(self, claim: str, marked: Sequence[Marked], step: Step, among: Sequence[Passage] = ()) -> list[Answer]:
            found = [lengths(m.highlights) for m in marked]
            seen = {"number": map(sum, found), "longest": map(max, found), "runs": map(len, found)}[self.kind]
            return [Answer(value / 50, "scripted") for value in seen]

    made = world().exam("name.female")
    for kind in ("number", "longest", "runs"):
        area = asyncio.run(fuzzing.ask(Counting(kind), CONCEPTS["name.female"].description, made, STEP))[0]
        assert area.value == pytest.approx(0.5, abs=1e-9), kind


def test_asking_ends_early_in_steps_of_their_own() -> None:
    class Sharp(Agreeing):
        async def fuzz(self, claim: str, marked: Sequence[Marked], step: Step, among: Sequence[Passage] = ()) -> list[Answer]:
            return [Answer(0.9 if 3 in [m.passage.ids[i] for i in m.highlights] else 0.1, "schema") for m in marked]

    reader = Recording(Sharp())
    area = asyncio.run(fuzzing.ask(reader, "c", exam(), STEP, width=0.3))[0]
    assert area.value == 1 and reader.steps == [f"{STEP.name}/{i}" for i in range(len(reader.steps))]
    assert len(reader.marked) == area.n < 80 and "read from a schema" in area.flags
