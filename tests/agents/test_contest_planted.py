"""Benchmarks on made features: the truth is the best label, and what was memorised of one seed is of no use on another."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dragoman.agents.contest import induction
from dragoman.evals.benchmark.baselines import TopToken
from dragoman.evals.benchmark.board import board, compare, values
from dragoman.evals.benchmark.entrants import Entrant, Explained, Oracle, Shuffled
from dragoman.evals.benchmark.planted import PlantedSuite
from dragoman.evals.benchmark.running import Plan, Result, run
from dragoman.evals.explainer import Explanation
from dragoman.store.view import TrainView
from dragoman.tools.induction import Fit
from dragoman.tools.patterns import Pattern

pytestmark = pytest.mark.slow
FEATURES = 12


class Memoriser:
    """Says of each feature what was true of the feature of that number in a trial that it has seen."""

    name = "memoriser"

    def __init__(self, known: dict[int, str]) -> None:
        self.known = known

    def explain(self, view: TrainView, feature: int, validate: Callable[[Pattern], Fit], seed: int) -> Explanation:
        if feature not in self.known:
            raise ValueError("not seen before")
        return Explanation("memory", "as before", pattern=self.known[feature])


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    folder, suite, explained = tmp_path_factory.mktemp("planted"), PlantedSuite(documents=900), induction()
    seen = suite.prepare(folder / "trials" / f"planted-0-{FEATURES}", 0, FEATURES)
    known = {feature: truth.pattern for feature, truth in seen.truths.items() if truth.pattern}
    entrants: list[Entrant] = [
        Oracle(),
        explained,
        Explained("toptoken", lambda store, usage: TopToken()),
        Shuffled(explained),
        Explained("memoriser", lambda store, usage: Memoriser(known)),
    ]
    return run(Plan(folder, [suite], entrants, [0, 1], FEATURES, 8))


@pytest.mark.parametrize("figure", ["recovery.mcc", "simulation.r"])
@pytest.mark.parametrize(("better", "worse"), [("oracle", "induction"), ("induction", "toptoken"), ("toptoken", "shuffled")])
def test_controls_come_out_in_order(results: list[Result], figure: str, better: str, worse: str) -> None:
    assert compare(results, better, worse, figure).mean.low > 0


def test_memory_of_a_seed_is_worth_nothing_on_another(results: list[Result]) -> None:
    old, new = ([one for one in results if one.seed == seed] for seed in (0, 1))
    remembered = values(old, "memoriser", "recovery.mcc", lambda row: row.written)
    assert min(remembered.values()) == 1.0
    assert compare(new, "memoriser", "toptoken", "recovery.mcc").mean.high < 0
    assert abs(compare(new, "memoriser", "shuffled", "recovery.mcc").mean.value) < 0.15


def test_truths_that_are_no_pattern_stand_apart(results: list[Result]) -> None:
    made = board(results)[0]
    parts = {part.name: part.n for part in made.parts}
    total = len({one.unit(row) for one in results for row in one.rows})
    assert parts["the truth is no pattern"] + made.lines[0].n == total
    assert made.lines[0].contestant == "oracle"
    assert made.lines[0].figures["recovery.mcc"].value == 1.0
