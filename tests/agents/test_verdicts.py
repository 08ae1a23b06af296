"""Verdicts are made by code, in bands that are fixed beforehand."""

from __future__ import annotations

import pytest

from dragoman.agents.verdicts import Moved, Seen, judge, status
from dragoman.store.findings import Outcome, Prediction, Status, Verdict


@pytest.mark.parametrize(
    ("outcome", "value", "verdict"),
    [
        ("fires", 1.1, "held"),
        ("fires", 1.0, "inconclusive"),
        ("fires", 0.0, "failed"),
        ("silent", 0.0, "held"),
        ("silent", 0.4, "inconclusive"),
        ("silent", 1.1, "failed"),
        ("unsure", 1.1, "inconclusive"),
        ("promotes", 1.1, "inconclusive"),
    ],
)
def test_firing_is_above_the_threshold_and_silence_is_zero(outcome: Outcome, value: float, verdict: Verdict) -> None:
    assert judge(outcome, Seen(value, 1.0)).verdict == verdict


@pytest.mark.parametrize(
    ("after", "came"), [(5.0, "stronger"), (4.0, "unchanged"), (3.7, "unchanged"), (3.2, "weaker"), (0.0, "weaker"), (4.6, None)]
)
def test_an_edit_is_compared_with_the_text_before_it(after: float, came: Outcome | None) -> None:
    compared: tuple[Outcome, ...] = ("stronger", "weaker", "unchanged")
    for said in compared:
        expected = "inconclusive" if came is None else "held" if said == came else "failed"
        assert judge(said, Seen(after, 1.0, 4.0)).verdict == expected


def test_nothing_is_said_of_an_edit_of_a_text_that_did_not_fire() -> None:
    assert judge("weaker", Seen(0.0, 1.0, 0.9)).verdict == "inconclusive"
    assert judge("weaker", Seen(0.0, 1.0)).verdict == "inconclusive"
    assert judge("fires", Seen(3.0, 1.0, 0.0)).verdict == "held"


@pytest.mark.parametrize(
    ("change", "random", "came"),
    [(0.5, 0.1, "promotes"), (-0.5, 0.1, "suppresses"), (0.5, 0.3, None), (0.05, 0.0, "unchanged"), (0.15, 0.0, None)],
)
def test_an_intervention_counts_beside_a_random_direction(change: float, random: float, came: Outcome | None) -> None:
    told: tuple[Outcome, ...] = ("promotes", "suppresses", "unchanged")
    for said in told:
        expected = "inconclusive" if came is None else "held" if said == came else "failed"
        assert judge(said, Moved(change, random)).verdict == expected
    assert judge("fires", Moved(change, random)).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("held", "failed", "inconclusive", "expected"),
    [
        (0, 0, 0, "proposed"),
        (0, 0, 3, "proposed"),
        (2, 0, 1, "inconclusive"),
        (3, 0, 0, "supported"),
        (6, 1, 0, "supported"),
        (3, 1, 0, "inconclusive"),
        (4, 2, 0, "inconclusive"),
        (3, 2, 0, "refuted"),
        (0, 1, 0, "inconclusive"),
    ],
)
def test_a_hypothesis_stands_where_its_predictions_put_it(held: int, failed: int, inconclusive: int, expected: Status) -> None:
    counted: list[tuple[Verdict, int]] = [("held", held), ("failed", failed), ("inconclusive", inconclusive)]
    verdicts = [verdict for verdict, n in counted for _ in range(n)]
    made = [Prediction(experiment=str(n), hypothesis="h", outcome="fires", verdict=one) for n, one in enumerate(verdicts)]
    assert status(made) == expected


def test_what_came_out_is_told_even_where_nothing_was_predicted() -> None:
    assert judge("unsure", Seen(2.0, 1.0)) == ("inconclusive", "fires: 4")
    assert judge("unsure", Seen(2.0, 1.0, 4.0)) == ("inconclusive", "weaker: 8 before, 4 after")
    assert judge("unsure", Moved(0.5, 0.1)) == ("inconclusive", "promotes: +0.50 nats, +0.10 under a random direction")
    assert "1.99 does not reach 2" in judge("fires", Seen(0.995, 1.0)).because
    told = [judge("silent", Seen(value, 1.0, 4.0)).because for value in (2.0, 0.995, 0.0)]
    assert told[0] == "fires: 4; 8 before the edit" and told[2] == "silent: 0; 8 before the edit"
    assert told[1].startswith("weak: 1.99") and told[1].endswith("; 8 before the edit")
