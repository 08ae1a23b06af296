"""A trail put together from the ledger: everything in its step, and every cost counted once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.trail import Cost, costs_of, trail_of
from dragoman.store.trails import Trails
from tests.support.synthetic import make_store
from tests.support.trails import COSTS, write_trail


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with make_store(tmp_path / "store") as opened:
        yield opened


def test_every_step_has_what_was_made_in_it_and_what_it_cost(store: Store) -> None:
    write_trail(store)
    trail = trail_of(store.ledger, 2)
    nodes = {part.step.node: part for part in trail.parts}
    assert list(nodes) == ["gather", "propose", "design", "revise", "debate", "score", "record"]
    assert [one.called for one in nodes["propose"].hypotheses] == ["H1", "H2"]
    assert [one.called for one in nodes["revise"].hypotheses] == ["H3"] and nodes["revise"].round == 1
    wrote, edited, _, _ = nodes["design"].trials
    assert [(one.called, said.outcome, said.verdict) for one, said in wrote.said] == [
        ("H1", "fires", "held"),
        ("H2", "silent", "failed"),
    ]
    assert edited.experiment.reason is not None and [said.verdict for _, said in edited.said] == ["inconclusive"] * 2
    assert nodes["gather"].cost == Cost(read=5)
    assert nodes["propose"].cost == Cost(calls=2, hits=1, tokens=110, dollars=0.75)
    assert nodes["design"].cost == Cost(calls=2, tokens=220, dollars=1.0, forwarded=4, read=2)
    assert nodes["revise"].cost == Cost(calls=2, tokens=55, dollars=0.25, read=2)
    assert nodes["debate"].cost == Cost(calls=1, tokens=7) and trail.elsewhere == Cost(calls=1, tokens=3)
    assert trail.cost == Cost(8, 1, sum(tokens for _, tokens, _, _ in COSTS), 2.0, forwarded=4, read=9)
    assert {trail.named(name): figure.value for name, figure in trail.figures.items()} == {"H1": 0.5, "H2": None, "H3": 0.75}
    assert trail.label is not None and trail.label.name == "birds" and trail.notes == ("Looks like birds.",)
    assert trail.loose == () and trail.reason is None


def test_the_plain_values_are_json_and_hold_everything(store: Store) -> None:
    write_trail(store, label=False)
    plain = json.loads(json.dumps(trail_of(store.ledger, 2).plain()))
    assert plain["no_label_because"] == "nothing speaks for birds" and plain["label"] is None
    (design,) = [step for step in plain["steps"] if step["node"] == "design"]
    assert design["experiments"][0]["predictions"][0] == {
        "hypothesis": "H1",
        "outcome": "fires",
        "verdict": "held",
        "because": "fires: 2, and it fires above 0.4",
    }
    assert plain["steps"][1]["hypotheses"][0]["validation"]["value"] == 0.5 and plain["cost"]["tokens"] == 395


def test_costs_of_a_run_are_those_of_its_trails(store: Store) -> None:
    for feature in (2, 3):
        write_trail(store, feature)
    trails = Trails(store.ledger.path)
    assert costs_of(trails, "labeling") == {feature: trail_of(store.ledger, feature).cost for feature in (2, 3)}
    trails.close()


def test_an_unknown_price_makes_no_sum_of_dollars() -> None:
    assert (Cost(tokens=1, dollars=None) + Cost(tokens=2, dollars=3.0)).dollars is None


def test_work_that_was_stopped_is_shown_as_far_as_it_came(store: Store) -> None:
    write_trail(store, settle=False)
    trail = trail_of(store.ledger, 2)
    assert [part.step.node for part in trail.parts] == ["gather", "propose", "design"]
    assert trail.label is None and trail.reason is None
    assert all(said.verdict is None for _, said in trail.parts[2].trials[0].said)
    assert trail.elsewhere.tokens == 50 + 5 + 7 + 3  # calls whose steps were never written


def test_the_run_is_chosen_by_the_beginning_of_its_id(store: Store) -> None:
    write_trail(store, run="aa11", words="old")
    write_trail(store, run="aa22", words="new")
    assert trail_of(store.ledger, 2).run.id == "aa22" and trail_of(store.ledger, 2, "aa1").run.id == "aa11"
    with pytest.raises(UserError, match="aa11, aa22"):
        trail_of(store.ledger, 2, "aa")
    with pytest.raises(UserError, match="Run bb left no trail on this feature: those that did are aa11, aa22"):
        trail_of(store.ledger, 2, "bb")
    with pytest.raises(UserError, match="No run left a trail on this feature"):
        trail_of(store.ledger, 3)
