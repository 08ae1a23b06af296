"""The ladder: contestants on the same features, compared by feature on test."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.agents import ladder
from dragoman.agents.campaign import Means
from dragoman.agents.settings import Parts, Settings
from dragoman.evals.scoring import score
from tests.agents.known import QUESTION, RULES
from tests.agents.scripted import Scripted, claim, feature_of, proposal, revision
from tests.evals.gateway.server import ScriptedServer

FEATURES = tuple(RULES)
TRUE = {f"sae/{feature}": rule for feature, rule in RULES.items()}


def climbed(path: Path, contestants: list[ladder.Contestant], model: Scripted) -> list[ladder.Place]:
    """The ladder of three features with a scripted model."""
    with ScriptedServer(model, models=("researcher",), context=100_000) as server:
        return ladder.climb(
            path,
            contestants,
            FEATURES,
            f"vllm:{server.url}",
            "pattern",
            Means(),
            lambda run: score(path, run, "pattern", 0, 0, False, False, FEATURES).id,
            progress=False,
        )


def test_a_loop_that_finds_the_truth_is_worth_what_it_says(organism: Path) -> None:
    """One-shot knows one feature of three, the loop finds the others; what is left unlabeled counts as chance."""

    def first(prompt: str) -> dict[str, object]:
        known = feature_of(prompt) == f"sae/{QUESTION}"
        return proposal(claim("It.", TRUE[f"sae/{QUESTION}"] if known else 'fully: "March" "May"'))

    model = Scripted(propose=first, revise=lambda prompt: revision(claim("Really it.", TRUE[feature_of(prompt)])))
    base = Settings(rounds=1)
    one, two, three = climbed(organism, ladder.rungs(base, ("one-shot", "experiments")), model)
    assert (one.name, two.name, three.name) == ("one-shot", "experiments", "one-shot, more evidence")
    assert (one.labeled, two.labeled, three.labeled) == (1, 3, 1)
    gained = two.against["simulation.r"]
    assert one.against == {} and gained.mean.n == 3 and gained.better == pytest.approx(2 / 3)
    assert one.figures["simulation.r"].value == 0.0 and two.figures["simulation.r"].value > 0.6
    assert gained.mean.value > 0.4 and three.against["simulation.r"].mean.value == pytest.approx(0, abs=0.02)
    assert two.spent.model > 2 * one.spent.model and three.spent.model > one.spent.model
    assert three.spent.read > one.spent.read > 0 and one.spent.forwarded == 0


def test_parts_and_tools_are_taken_away_one_at_a_time() -> None:
    whole, *less = ladder.parts(Settings(), tools=("activate",))
    assert whole.settings.parts == Parts() and whole.settings.rung == "experiments" and not whole.settings.ladder
    assert [one.name for one in less] == [*(f"without {name}" for name in Parts.model_fields), "without the tool activate"]
    for name, one in zip(Parts.model_fields, less, strict=False):
        assert one.settings.parts == Parts(**{name: False})
    assert less[-1].settings.tools is not None and "activate" not in less[-1].settings.tools
    assert len(less[-1].settings.tools) == len(ladder._tools()) - 1


def test_no_evidence_is_added_where_nothing_is_left_to_spend() -> None:
    (one,) = ladder.rungs(Settings(), ("one-shot",))
    cheap = ladder.Spent(1000, 0.0, 0, 30, 6)
    assert ladder.more(one, cheap, cheap._replace(model=1400)) is None
    assert ladder.more(one, cheap._replace(model=0), cheap) is None
    richer = ladder.more(one, cheap, cheap._replace(model=2000))
    assert richer is not None and richer.settings.evidence["random_active"] == 16 and richer.settings.evidence["top"] == 20
