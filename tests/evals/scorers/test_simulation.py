"""Simulation by readers: every figure against a plain computation, what is left out, and when asking ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from dragoman.evals.judge.reader import Passage, Simulated, Step
from dragoman.evals.judge.scripted import Agreeing
from dragoman.evals.scorers import simulation
from dragoman.evals.scorers.exam import Exam
from dragoman.evals.scorers.sample import Rows

from .planted import STEP, TRIGGER, exam
from .readers import Failing, Recording


class Rule(Agreeing):
    """0.6 on token 3, a little on a few others, so that nothing is constant or perfect."""

    async def simulate(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Simulated]:
        return [Simulated(tuple(self.value(i) for i in p.ids), "log-probabilities") for p in passages]

    @staticmethod
    def value(token: int) -> float:
        return 0.6 if token == TRIGGER else 0.1 * (token % 7 == 0)


def columns(made: Exam, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Predicted and real activations of every token of these contexts, one at a time."""
    at = [i for row in rows.tolist() for i in range(made.tokens.starts[row], made.tokens.starts[row + 1])]
    said = np.array([Rule.value(int(made.tokens.ids[i])) for i in at]) * made.scale
    return said, made.real[at].astype(np.float64)


def test_every_figure_equals_a_plain_computation_in_float64() -> None:
    made = exam()
    part = made.sample.simulation
    r, top, r2, deviation = asyncio.run(simulation.ask(Rule(), "c", made, STEP))
    said, real = columns(made, part.rows)
    w = np.repeat(part.weight, 16)
    covariance = np.cov(said, real, aweights=w)
    assert r.value == pytest.approx(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]), abs=1e-6)
    assert r2.value == pytest.approx(1 - np.average((real - said) ** 2, weights=w) / np.average(real**2, weights=w), abs=1e-6)
    assert deviation.value == pytest.approx(1 - np.average(abs(real - said), weights=w) / np.average(real, weights=w), abs=1e-6)
    said, real = columns(made, part.top_random)
    assert top.value == pytest.approx(np.corrcoef(said, real)[0, 1], abs=1e-6)
    for measure in (r, top, r2, deviation):
        assert measure.low is not None and measure.high is not None and measure.value is not None
        assert measure.low < measure.value < measure.high and "read from log-probabilities" in measure.flags


def test_every_context_is_asked_about_once() -> None:
    made, reader = exam(), Recording(Rule())
    asyncio.run(simulation.ask(reader, "c", made, STEP))
    wanted = set(made.sample.simulation.rows.tolist()) | set(made.sample.simulation.top_random.tolist())
    assert len(reader.passages) == len(set(reader.passages)) == len(wanted) and reader.steps == [STEP.name]


def test_what_could_not_be_read_is_left_out_and_its_stratum_keeps_its_weight() -> None:
    made = exam()
    reader = Failing(Rule(), 9)
    r, _, r2, _ = asyncio.run(simulation.ask(reader, "c", made, STEP))
    lost = set(reader.passages[:9])
    part = made.sample.simulation
    kept = np.array([made.passage(int(row)) not in lost for row in part.rows])
    weight = np.zeros(len(part.rows))
    for value in set(part.weight.tolist()):
        stratum = part.weight == value
        weight[stratum & kept] = stratum.sum() * value / (stratum & kept).sum()
    said, real = columns(made, part.rows[kept])
    w = np.repeat(weight[kept], 16)
    assert r2.value == pytest.approx(1 - np.average((real - said) ** 2, weights=w) / np.average(real**2, weights=w), abs=1e-6)
    assert r.n == kept.sum() and any(flag.startswith("9 of ") and "unreadable: no JSON" in flag for flag in r.flags)


def test_replies_of_another_length_or_size_and_fallbacks_are_told() -> None:
    class Odd(Rule):
        async def simulate(self, claim: str, passages: Sequence[Passage], step: Step) -> list[Simulated]:
            good = await super().simulate(claim, passages, step)
            sampled = [Simulated(s.values, "sampled") for s in good[2:6]]
            return [Simulated((0.5,), "schema"), Simulated((1.5,) * 16, "schema"), *sampled, *good[6:]]

    r = asyncio.run(simulation.ask(Odd(), "c", exam(), STEP))[0]
    assert any("unreadable: " in flag for flag in r.flags) and any(" read from samples" in flag for flag in r.flags)
    assert simulation.checked(Simulated((0.5,), "schema"), 16).unscored == "1 activations for 16 tokens"
    assert simulation.checked(Simulated((-0.1,), "schema"), 1).unscored == "activations outside 0 to 1"
    assert simulation.checked(Simulated((float("nan"),), "schema"), 1).unscored == "activations outside 0 to 1"
    assert simulation.checked(Simulated(None), 1).unscored == "no answer"


def test_silence_explains_nothing_and_the_truth_everything() -> None:
    made = exam()
    lengths, ones = np.repeat(np.arange(400), 16), np.ones(6400)
    for said, value in ((np.zeros(6400), 0.0), (made.real, 1.0)):
        for measure in simulation.explained(said, made.real, ones, lengths, 400, 0, 0):
            assert measure.value == measure.low == measure.high == value
    silent = simulation.explained(np.ones(6400), np.zeros(6400), ones, lengths, 400, 0, 0)
    assert [m.unscored for m in silent] == ["constant truth"] * 2


def test_asking_ends_when_the_interval_of_the_headline_is_narrow() -> None:
    made, reader = exam(), Recording(Rule())
    r, top, *_ = asyncio.run(simulation.ask(reader, "c", made, STEP, width=0.4))
    assert len(reader.steps) < 7 and reader.steps == [f"{STEP.name}/{i}" for i in range(len(reader.steps))]
    assert r.low is not None and r.high is not None and r.high - r.low <= 0.4 and 24 <= r.n < 60
    assert any(flag.startswith("stopped early: ") for flag in r.flags) and top.value is not None
    whole = asyncio.run(simulation.ask(Rule(), "c", made, STEP))[0]
    assert whole.value is not None and r.low <= whole.value <= r.high


@pytest.mark.slow
def test_the_interval_covers_the_truth_where_asking_ended_early() -> None:
    """40 draws of the same kind of feature; the truth is that of 8,000 contexts."""
    said, real = columns(exam(8000, seed=99), np.arange(8000))
    true = np.corrcoef(said, real)[0, 1]
    held, asked = 0, []
    for seed in range(40):
        r = asyncio.run(simulation.ask(Rule(), "c", exam(600, seed=seed), STEP, width=0.35))[0]
        held += (r.low or 0) <= true <= (r.high or 0)
        asked.append(r.n)
    assert held >= 36 and np.mean(asked) < 65
