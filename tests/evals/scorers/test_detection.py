"""Detection by readers: what is asked, when asking ends, and what facets add up to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from dragoman.evals.judge.reader import Answer, Passage, Step, Way
from dragoman.evals.judge.scripted import Agreeing, Guessing, Refusing
from dragoman.evals.scorers import detection
from dragoman.evals.scorers.measure import Measure
from dragoman.evals.scorers.sample import Sizes
from dragoman.evals.statistics import auroc_draws, multiplicities, percentile_interval

from .planted import STEP, TRIGGER, WEAK, exam
from .readers import Recording


class Says(Agreeing):
    """Says what a function of claim and token ids says."""

    def __init__(self, value: dict[str, int] | None = None, way: Way = "log-probabilities") -> None:
        self.token, self.way = value or {}, way

    async def detect(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Answer]:
        token = self.token.get(claim, TRIGGER)
        return [Answer(0.9 if token in p.ids else 0.2, self.way) for p in passages]


def by_name(measures: list[Measure]) -> dict[str, Measure]:
    return {m.scorer: m for m in measures}


def test_both_definitions_from_one_question_a_context() -> None:
    made = exam()
    reader = Recording(Says())
    found = by_name(asyncio.run(detection.ask(reader, "c", made, STEP)))
    rows = set(made.sample.fires.rows.tolist()) | set(made.sample.active.rows.tolist())
    assert len(reader.passages) == len(rows) == len(set(reader.passages)) < 2 * len(made.sample.fires.rows)
    assert reader.steps == [STEP.name]
    truth = made.sample.fires.truth
    said = np.array([TRIGGER in made.passage(int(row)).ids for row in made.sample.fires.rows])
    u = stats.mannwhitneyu(said[truth].astype(float), said[~truth].astype(float), method="asymptotic").statistic
    assert found["detection.auroc"].value == pytest.approx(u / (truth.sum() * (~truth).sum()), abs=1e-12)
    hits = (said[truth].mean() + (~said[~truth]).mean()) / 2
    assert found["detection.balanced_accuracy"].value == pytest.approx(hits, abs=1e-12)
    active = found["detection_active.auroc"].value
    assert active is not None and active < 1 and found["detection.auroc"].flags == ("read from log-probabilities",)


def test_without_the_other_definition_only_its_contexts_are_asked() -> None:
    made, reader = exam(), Recording(Says())
    found = asyncio.run(detection.ask(reader, "c", made, STEP, active=False))
    assert [m.scorer for m in found] == list(detection.FIRES)
    assert len(reader.passages) == len(made.sample.fires.rows)


def test_nothing_is_asked_where_nothing_can_be_scored() -> None:
    for made, reason in ((exam(dense=True), "dense"), (exam(sizes=Sizes(positives=4)), "too few contexts in which it fires")):
        reader = Recording(Says())
        found = asyncio.run(detection.ask(reader, "c", made, STEP))
        assert reader.passages == [] and all(m.value is None and reason in str(m.unscored) for m in found)


def test_what_is_no_probability_is_unreadable_and_ways_are_told_apart() -> None:
    class Odd(Says):
        async def detect(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Answer]:
            answers = await super().detect(claim, passages, step)
            odd = [Answer(1.5, "schema"), Answer(float("nan"), "schema"), Answer(None), Answer(0.4, "sampled")]
            return odd + answers[4:]

    made = exam()
    area = asyncio.run(detection.ask(Odd(), "c", made, STEP, active=False))[0]
    n = len(made.sample.fires.rows)
    assert area.n == n - 3
    assert any(flag.startswith(f"3 of {n} unreadable: ") for flag in area.flags)
    assert f"1 of {n - 3} read from samples" in area.flags and f"{n - 4} of {n - 3} read from log-probabilities" in area.flags


def test_asking_ends_when_the_interval_is_narrow_and_goes_on_when_it_is_not() -> None:
    made = exam()
    sure, guess = Recording(Says({"c": TRIGGER})), Recording(Guessing())
    area = asyncio.run(detection.ask(sure, "c", made, STEP, width=0.35))[0]
    assert len(sure.steps) < 4 and sure.steps == [f"{STEP.name}/{i}" for i in range(len(sure.steps))]
    assert area.low is not None and area.high is not None and area.high - area.low <= 0.35
    assert f"stopped early: {area.n} of {len(made.sample.fires.rows)} asked" in area.flags
    whole = asyncio.run(detection.ask(guess, "c", made, STEP, width=0.05))[0]
    assert whole.n == len(made.sample.fires.rows) and not any("stopped" in flag for flag in whole.flags)


def test_a_perfect_first_batch_does_not_end_asking_at_once() -> None:
    """Its bootstrap interval is [1, 1]; what is reported is not."""
    area = asyncio.run(detection.ask(Recording(Says({"c": 5})), "c", exam(), STEP, width=0.1))[0]
    assert area.value == 1 and area.low is not None and area.low < 0.97 and area.n > 40


@pytest.mark.slow
def test_the_interval_covers_the_truth_where_asking_ended_early() -> None:
    """120 features at a true AUROC of .95; the bootstrap alone, of the same answers, would not have held it."""
    made = exam(sizes=Sizes(positives=40, negatives=40))
    firing = {made.passage(int(row)) for row in made.sample.fires.rows[made.sample.fires.truth]}
    shift = np.sqrt(2) * stats.norm.ppf(0.95)

    class Noisy(Agreeing):
        def __init__(self, seed: int) -> None:
            self.rng = np.random.default_rng(seed)

        async def detect(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Answer]:
            scores = self.rng.normal([shift if p in firing else 0.0 for p in passages])
            return [Answer(float(p), "scripted") for p in stats.norm.cdf(scores / 3)]

    held, alone, asked = 0, 0, []
    for seed in range(120):
        told = asyncio.run(detection.collect(Noisy(seed), "c", made, STEP, width=0.2, active=False))
        area = detection.measures(made, told, active=False)[0]
        assert area.low is not None and area.high is not None
        held += area.low <= 0.95 <= area.high
        asked.append(area.n)
        read = ~np.isnan(told.probability)
        truth = np.array([p in firing for p in map(made.passage, told.rows[read].tolist())])
        drawn = multiplicities(int(read.sum()), np.random.default_rng(seed), 300)
        low, high = percentile_interval(auroc_draws(truth, told.probability[read], np.arange(read.sum()), drawn))
        alone += low <= 0.95 <= high
    assert held / 120 >= 0.93 and np.mean(asked) < 60
    assert alone / 120 < 0.85


def test_facets_add_up_to_any_of_them() -> None:
    made = exam()
    reader = Recording(Says({"one": TRIGGER, "two": WEAK}))
    found = by_name(asyncio.run(detection.ask_facets(reader, ["one", "two"], made, STEP)))
    assert list(found) == [*detection.FACETS, "detection_facet_1.auroc", "detection_facet_2.auroc"]
    assert reader.steps == [f"{STEP.name}/facet0", f"{STEP.name}/facet1"]
    rows, truth = made.sample.fires.rows, made.sample.fires.truth
    p = np.array([[0.9 if t in made.passage(int(row)).ids else 0.2 for t in (TRIGGER, WEAK)] for row in rows])
    both = p[:, 0] + p[:, 1] - p[:, 0] * p[:, 1]
    u = stats.mannwhitneyu(both[truth], both[~truth], method="asymptotic").statistic
    assert found[detection.FACETS[0]].value == pytest.approx(u / (truth.sum() * (~truth).sum()), abs=1e-12)
    alone = found["detection_facet_2.auroc"].value
    assert alone is not None and alone == pytest.approx(0.5, abs=0.1)


def test_a_feature_of_two_facets_is_found_by_both_and_by_neither_alone() -> None:
    """Half of the firing contexts hold one token, half another; each facet alone leaves the other's contexts out."""
    made = exam()
    rows, truth = made.sample.fires.rows, made.sample.fires.truth
    half = {made.passage(int(row)) for row in rows[truth][::2]}
    rest = {made.passage(int(row)) for row in rows[truth]} - half

    class Facets(Agreeing):
        async def detect(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Answer]:
            return [Answer(0.95 if p in (half if claim == "one" else rest) else 0.05, "scripted") for p in passages]

    both, _, one, two = asyncio.run(detection.ask_facets(Facets(), ["one", "two"], made, STEP, width=0.3))
    assert both.value == 1 and one.value == pytest.approx(0.75, abs=0.1) and two.value == pytest.approx(0.75, abs=0.1)
    assert "stopped early" in " ".join(both.flags) and one.n == both.n


def test_a_context_that_one_facet_could_not_be_asked_about_is_left_out() -> None:
    lost, yes = Answer(None, "", "refused"), Answer(0.5, "sampled")
    assert detection.any_of([yes, lost]) == lost and detection.any_of([yes, None]) is None
    assert detection.any_of([yes, yes]) == Answer(0.75, "sampled")
    refused = asyncio.run(detection.ask_facets(Refusing(), ["one", "two"], exam(), STEP))
    assert all("refused" in str(m.unscored) for m in refused)
    assert asyncio.run(detection.ask_facets(Refusing(), [], exam(), STEP))[0].unscored == "the label has no facets"
