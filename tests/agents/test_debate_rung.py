"""The debate as a rung of the labeler: who climbs to it, who may win, what it costs."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from dragoman.agents.campaign import Means, Wish, campaign
from dragoman.agents.replay import replay
from dragoman.agents.settings import Settings
from dragoman.evals.gateway.budget import Budget
from dragoman.store.features import Store
from dragoman.store.trails import Trails
from tests.agents.known import QUESTION as FEATURE
from tests.agents.scripted import Scripted, proposal, turn, written
from tests.agents.test_debate import BOTH, RIGHT, WRONG, debater, held, liar
from tests.evals.gateway.server import ScriptedServer

MARGIN = 2.0
"""So that any two labels are rivals."""


def labeled(
    path: Path, model: Scripted, rival: Scripted | str | None = None, **settings: Any
) -> tuple[str | None, str, dict[str, Any]]:
    """Name of the label or the reason why there is none, why the work ended, and what the trail says of the debate."""
    chosen = Settings(**{"rung": "debate", "rounds": 1, "tests": 4, "rivalry": MARGIN, **settings})
    with ExitStack() as stack:
        specs: list[str] = []
        for one, name in ((model, "debater"), (rival, "other")):
            if isinstance(one, Scripted):
                server = stack.enter_context(ScriptedServer(one, models=(name,), context=100_000))
                specs.append(f"vllm:{server.url}")
            elif one is not None:
                specs.append(one)
        wish = Wish(specs[0], rival=specs[1] if rival else None, features=(FEATURE,), settings=chosen)
        done = campaign(path, wish, Means(), progress=False)
    with Store.open(path) as store:
        trails = Trails(store.ledger.path)
        steps = [step.content for step in trails.steps(done.run.id, FEATURE) if step.node == "debate"]
        names = {one.id: one.name for one in trails.hypotheses(done.run.id, FEATURE)}
        ordinals = [step.ordinal for step in trails.steps(done.run.id, FEATURE)]
        trails.close()
        assert ordinals == list(range(len(ordinals)))
        over = next((step for step in steps if step["debate"] == "verdict"), {})
        seen = {"favoured": names.get(over.get("label", "")), "kinds": [step["debate"] for step in steps], "steps": steps}
        labels = store.ledger.labels(run=done.run.id)
        if not labels:
            return None, store.ledger.failures(done.run.id)[0][2], seen
        notes = json.loads(labels[0].notes)
        seen |= {"model": labels[0].model, "rung": notes["rung"]}
        return labels[0].name, notes["ended"], seen


def designs(prompt: str) -> dict[str, Any]:
    return {"tests": [written("Are you there?", "?", H1="fires", H2="silent")], "looks": []}


def test_the_labeler_climbs_to_a_debate_between_its_two_best(organism: Path) -> None:
    name, ended, seen = labeled(organism, debater(propose=lambda p: proposal(RIGHT, WRONG), design=designs))
    assert (name, ended, seen["rung"]) == ("question marks", "debate: all 3 rounds", "debate")
    assert seen["kinds"] == ["opened", "round", "round", "round", "verdict"] and seen["favoured"] == "question marks"
    assert [step["round"] for step in seen["steps"][1:4]] == [2, 3, 4]  # rounds are counted on


def test_a_foolish_concession_does_not_make_a_bad_label(organism: Path) -> None:
    """Validation decides; the debate counts only between labels that do equally well there."""
    model = debater(
        propose=lambda prompt: proposal(RIGHT, WRONG), turn=lambda prompt: turn("concede" if held(prompt) == "H1" else "keep")
    )
    name, ended, figures = labeled(organism, model)
    assert ended.startswith("debate: A (vllm:debater) conceded") and name == "question marks"
    assert figures["favoured"] == "months"


def test_a_rival_brings_its_own_label_and_may_win(organism: Path) -> None:
    model = debater(propose=lambda p: proposal(WRONG), foretell=liar)
    name, _, seen = labeled(organism, model, debater(propose=lambda p: proposal(RIGHT), foretell=liar))
    assert name == "question marks" and seen["model"] == "vllm:other" and seen["favoured"] == "question marks"
    name, _, seen = labeled(organism, model, "induction")
    assert name is not None and seen["model"] is None and seen["steps"][0]["held by"]["B"] == "induction"


@pytest.mark.parametrize(
    ("propose", "rival", "settings", "reason"),
    [
        (proposal(RIGHT), None, {}, "there is only one hypothesis"),
        (proposal(RIGHT, WRONG), None, {"rivalry": 0.1}, "H1 and H2 are too far apart on validation"),
        (proposal(RIGHT), debater(propose=lambda p: proposal(RIGHT)), {}, "the rival says what H1 says"),
        (proposal(RIGHT), debater(propose=lambda p: "Hm."), {}, "the rival has no label: the answer could not be read"),
    ],
)
def test_without_rivals_there_is_no_debate(
    organism: Path, propose: dict[str, Any], rival: Scripted | None, settings: dict[str, Any], reason: str
) -> None:
    name, ended, seen = labeled(organism, debater(propose=lambda p: propose), rival, **settings)
    assert seen["kinds"] == ["none"] and seen["steps"][0]["reason"].startswith(reason)
    assert name == "question marks" and ended == "all 1 rounds" and seen["rung"] == "experiments"


def test_a_label_that_does_well_is_not_debated(organism: Path) -> None:
    model = debater(propose=lambda p: proposal(WRONG), revise=revising(RIGHT))
    assert labeled(organism, model, good=0.3)[2]["kinds"] == []
    assert labeled(organism, model, good=0.3, ladder=False)[2]["kinds"] != []


def revising(change: dict[str, Any]) -> Callable[[str], dict[str, Any]]:
    made = {"drop": [], "changes": [{"parents": ["H1"], "claim": change}], "output_claim": None, "confidence": 70}
    return lambda prompt: made


def test_a_debate_is_replayed_without_a_model(organism: Path) -> None:
    model = debater(propose=lambda p: proposal(RIGHT, WRONG), turn=lambda p: turn("merge", BOTH) if held(p) == "H2" else turn())
    with ScriptedServer(model, models=("debater",), context=100_000) as server:
        spec = f"vllm:{server.url}"
        chosen = Settings(rung="debate", rounds=1, tests=4, rivalry=MARGIN, debate_rounds=2)
        wish = Wish(spec, rival="induction", arbiter=spec, features=(FEATURE,), settings=chosen)
        done = campaign(organism, wish, Means(), progress=False)
    again = replay(organism, done.run.id, progress=False)
    assert again.differences == [] and not again.missing and again.rows["experiment"] > 4 and "arbiter" in model.asked


def test_a_debate_that_cannot_be_paid_ends_with_the_best_there_is(organism: Path) -> None:
    """The budget pays the proposal, one round of experiments and a part of the debate."""
    model = debater(propose=lambda p: proposal(RIGHT, WRONG))
    chosen = Settings(rung="debate", rounds=1, tests=4, rivalry=MARGIN)
    with ScriptedServer(model, models=("debater",), context=100_000) as server:
        wish = Wish(f"vllm:{server.url}", features=(FEATURE,), settings=chosen, each=Budget(tokens=60_000))
        done = campaign(organism, wish, Means(), progress=False)
    assert done.labels == 1 and done.tokens <= 60_000 and "contest" in model.asked
    with Store.open(organism) as store:
        (label,) = store.ledger.labels(run=done.run.id)
    assert label.name == "question marks" and json.loads(label.notes)["ended"] == "debate: the feature's budget is spent"
