"""Trails: written once, read back as they were, and the database refuses what would be dishonest."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from dragoman.store.findings import Event, Experiment, Hypothesis, Prediction, TrailStep
from dragoman.store.ledger import Ledger
from dragoman.store.records import Facet
from dragoman.store.trails import Trails

HYPOTHESIS = Hypothesis(
    id="h1",
    run="r",
    feature=7,
    round=0,
    ordinal=1,
    side="input",
    name="birds",
    description="Names of birds.",
    facets=(Facet(description="small “birds”", pattern='strongly: "wren"'),),
    parents=("h0",),
    author="scripted",
)
EXPERIMENT = Experiment(
    id="e1",
    run="r",
    feature=7,
    round=1,
    ordinal=1,
    kind="write",
    tool="activate",
    arguments={"texts": ["A wren\nsings."]},
    focus="wren",
    author="scripted",
)
PREDICTION = Prediction(experiment="e1", hypothesis="h1", outcome="fires")
RESULT = EXPERIMENT.model_copy(update={"result": {"max": 2.5}, "forwarded": 4})


@pytest.fixture
def trails(tmp_path: Path) -> Iterator[Trails]:
    Ledger(tmp_path / "ledger.sqlite").close()
    opened = Trails(tmp_path / "ledger.sqlite")
    yield opened
    opened.close()


def test_all_is_read_back_as_it_was_written(trails: Trails) -> None:
    step = TrailStep(run="r", feature=7, ordinal=0, node="gather", content={"contexts": [1, 2]})
    events = [Event(run="r", ordinal=n, kind="admitted", feature=7, content={"rung": "one-shot"}) for n in range(2)]
    for _ in range(2):  # again changes nothing
        trails.propose([HYPOTHESIS])
        trails.plan([EXPERIMENT], [PREDICTION])
        trails.add_step(step)
        trails.add_note("r", 7, "seen twice")
        trails.happened("r", "admitted", 7, {"rung": "one-shot"})
    (read,) = trails.hypotheses("r", 7)
    assert read == HYPOTHESIS
    assert trails.experiment(EXPERIMENT.id) == (EXPERIMENT, [PREDICTION])
    assert trails.experiments("r", 7) == [EXPERIMENT] and trails.predictions("r", 7) == [PREDICTION]
    assert trails.steps("r", 7) == [step] and trails.notes("r", 7) == ["seen twice"] and trails.events("r") == events
    assert trails.hypotheses("r", 8) == [] and trails.experiments("other", 7) == []


def test_a_result_settles_its_predictions_and_stands(trails: Trails) -> None:
    trails.propose([HYPOTHESIS])
    trails.plan([EXPERIMENT], [PREDICTION])
    judged = PREDICTION.model_copy(update={"verdict": "held", "because": "2.5 is above 1.0"})
    trails.settle(RESULT, [judged])
    trails.settle(RESULT.model_copy(update={"result": {"max": 9.0}}), [])
    trails.judge({"h1": "supported"})
    assert trails.experiments("r", 7) == [RESULT]
    assert trails.predictions("r", 7) == [judged]
    assert trails.hypotheses("r", 7)[0].status == "supported"
    with pytest.raises(ValueError, match="E1 was not run"):
        trails.settle(EXPERIMENT, [])


def test_nobody_predicts_afterwards_or_changes_what_was_said(trails: Trails, tmp_path: Path) -> None:
    trails.plan([EXPERIMENT], [PREDICTION])
    trails.settle(RESULT, [])
    with pytest.raises(sqlite3.IntegrityError, match="before its experiment is run"):
        trails.plan([], [PREDICTION.model_copy(update={"hypothesis": "h2"})])
    trails.plan([EXPERIMENT], [PREDICTION])  # a repeated step is no new prediction
    assert trails.predictions("r", 7) == [PREDICTION]
    with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
        with pytest.raises(sqlite3.IntegrityError, match="cannot be changed"):
            connection.execute("UPDATE prediction SET outcome = 'silent'")
        with pytest.raises(sqlite3.IntegrityError, match="cannot be changed"):
            connection.execute("UPDATE experiment SET result = '{}'")
