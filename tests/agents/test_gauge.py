"""What agents learn of validation: one figure, from a rule that is executed or a judge that reads words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from dragoman.agents.campaign import Means, Wish, campaign
from dragoman.agents.settings import Settings
from dragoman.evals.gateway.budget import Budget
from dragoman.store.features import Store
from dragoman.store.trails import Trails
from tests.agents.known import QUESTION as FEATURE
from tests.agents.scripted import Scripted, claim, proposal
from tests.evals.gateway.server import Said, ScriptedServer


def reader(body: dict[str, Any]) -> Said:
    """A judge that knows what a question mark is, and takes the claim at its word."""
    prompt = body["messages"][-1]["content"]
    claimed = re.findall(r"<claim>(.*?)</claim>", prompt, re.S)[-1]
    text = re.findall(r"<text>(.*?)</text>", prompt, re.S)[-1]
    yes = "question" in claimed and "?" in text
    return Said(chances=[{"Yes": 0.95 if yes else 0.05, "No": 0.05 if yes else 0.95}])


def labeled(path: Path, model: Scripted, each: Budget | None = None, settings: Settings | None = None) -> tuple[str, int]:
    """The run, and how many labels it made."""
    with ScriptedServer(model, models=("researcher",), context=100_000) as one, ScriptedServer(reader) as two:
        wish = Wish(
            f"vllm:{one.url}", f"vllm:{two.url}", (FEATURE,), settings or Settings(rung="one-shot"), each=each or Budget()
        )
        outcome = campaign(path, wish, Means(), progress=False)
        return outcome.run.id, outcome.labels


def test_a_judge_that_reads_words_needs_no_rule(organism: Path) -> None:
    run, labels = labeled(organism, Scripted(propose=lambda p: proposal(claim("Fires on question marks."))))
    assert labels == 1
    with Store.open(organism) as store:
        (label,) = store.ledger.labels(run=run)
        figure = json.loads(label.notes)["validation"]
        trails = Trails(store.ledger.path)
        (step,) = [step for step in trails.steps(run, FEATURE) if step.node == "propose"]
        trails.close()
        calls = list(store.sql(f"select step, count(*) as n from model_call where run = '{run}' group by step order by step"))
    assert figure["figure"] == "detection.auroc" and figure["value"] > 0.7 and figure["low"] > 0.5
    assert 10 <= figure["n"] <= 24 and label.pattern is None
    assert label.confidence is not None and 0.4 < label.confidence <= 1
    assert {row["step"]: row["n"] for row in calls}.keys() == {"gauge/propose/H1", "labeler/propose"}
    assert next(iter(step.content["figures"].values()))[1] == figure["value"]


def test_words_that_mean_nothing_to_a_judge_are_not_published(organism: Path) -> None:
    run, labels = labeled(organism, Scripted(propose=lambda p: proposal(claim("Fires on parts of speech."))))
    assert labels == 0
    with Store.open(organism) as store:
        ((_, _, reason),) = store.ledger.failures(run)
    assert "no hypothesis predicts the feature: H1, the best, has detection.auroc 0.500" in reason


def test_what_was_gauged_before_the_budget_ended_is_kept(organism: Path) -> None:
    """Eight hypotheses, and a budget for the figures of some: the first, which is right, is published."""
    claims = [claim("Fires on question marks."), *(claim(f"Fires on parts of speech of kind {n}.") for n in range(7))]
    budget = Budget(tokens=34_000)
    run, labels = labeled(organism, Scripted(propose=lambda p: proposal(*claims)), budget, Settings(ladder=False, hypotheses=8))
    with Store.open(organism) as store:
        trails = Trails(store.ledger.path)
        steps = {step.node: step.content for step in trails.steps(run, FEATURE)}
        trails.close()
        (row,) = list(store.sql(f"select sum(tokens) as n from model_call where run = '{run}'"))
        (label,) = store.ledger.labels(run=run)
    figures = [figure[1] for figure in steps["propose"]["figures"].values()]
    assert labels == 1 and label.description == "Fires on question marks." and row["n"] <= budget.tokens
    assert max(figure for figure in figures if figure is not None) > 0.6 and None in figures
    assert steps["score"]["ended"] == "the feature's budget is spent" and "design" not in steps
