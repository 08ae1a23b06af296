"""Does debating beat the same budget spent by one agent? Induction on both sides, over features of the organism.

`DRAGOMAN_BENCH=full` measures 24 features and writes docs/benchmarks/debate.md; otherwise two, and only that figures can be had.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from dragoman.agents.campaign import Means
from dragoman.agents.ladder import Contestant, Place, climb
from dragoman.agents.settings import Settings
from dragoman.evals.organism.load import corpus_documents, organism_paths
from dragoman.evals.scoring import score
from dragoman.evals.statistics import plain
from dragoman.store.features import Store
from dragoman.store.trails import Trails
from dragoman.tools.harvest import harvest

FULL = os.environ.get("DRAGOMAN_BENCH") == "full"
DOCUMENTS = 800 if FULL else 300
FEATURES = 24 if FULL else 2
BEFORE, DEBATED = 2, 3
"""Rounds of experiments, then of the debate."""
BASE = Settings(ladder=False, idle=20, tests=8, rivalry=2.0)
CONTESTANTS = [
    Contestant(f"{BEFORE + DEBATED} rounds of experiments", BASE.model_copy(update={"rounds": BEFORE + DEBATED})),
    Contestant(
        f"{BEFORE} rounds, then a debate of {DEBATED}",
        BASE.model_copy(update={"rung": "debate", "rounds": BEFORE, "debate_rounds": DEBATED}),
    ),
    Contestant(f"{BEFORE} rounds of experiments", BASE.model_copy(update={"rounds": BEFORE})),
]
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks" / "debate.md"


@pytest.mark.benchmark
@pytest.mark.slow
def test_a_debate_against_the_same_budget(tmp_path: Path) -> None:
    text = tmp_path / "corpus.jsonl"
    text.write_text("".join(json.dumps({"text": document.text}) + "\n" for document in corpus_documents(DOCUMENTS)))
    paths = organism_paths()
    with harvest(tmp_path / "store", str(paths.model), [str(paths.sae)], str(text), progress=False) as store:
        live = store.features("live")
    chosen = sorted(np.random.default_rng(0).choice(live, FEATURES, replace=False).tolist())

    def scored(run: str) -> str:
        return score(tmp_path / "store", run, "pattern", workers=2, progress=False, features=tuple(chosen)).id

    places = climb(tmp_path / "store", CONTESTANTS, chosen, "induction", "pattern", Means(), scored, progress=False)
    endings = ended(tmp_path / "store", places[1].run, chosen)
    assert all(place.labeled == FEATURES for place in places)
    assert places[1].spent.forwarded > places[2].spent.forwarded > 0 and sum(endings.values()) == FEATURES
    if FULL:
        PAGE.write_text(page(places, endings), encoding="utf-8")


def ended(path: Path, run: str, features: list[int]) -> dict[str, int]:
    """How many debates ended in which way."""
    found: dict[str, int] = {}
    with Store.open(path) as store:
        trails = Trails(store.ledger.path)
        for feature in features:
            last = [step.content for step in trails.steps(run, feature) if step.node == "debate"][-1]
            why = last.get("ended") or f"no debate: {last['reason'].split(': ')[0]}"
            why = " ".join("a side" if word in ("A", "B") else word for word in why.replace(" (induction)", "").split())
            found[why] = found.get(why, 0) + 1
        trails.close()
    return dict(sorted(found.items(), key=lambda one: -one[1]))


def page(places: list[Place], endings: dict[str, int]) -> str:
    """The comparison as a page."""
    rows = []
    for place in places:
        against = place.against.get("simulation.r")
        cells = [figure(place, "simulation.r"), figure(place, "detection.balanced_accuracy")]
        difference = f"{plain(against.mean.value, '+.3f')} {against.mean.text('+.3f')}" if against else ""
        each = [count / FEATURES for count in (place.spent.forwarded, place.spent.read, place.spent.calls)]
        rows.append(f"| {place.name} | {' | '.join(cells)} | {difference} | {' | '.join(f'{n:,.0f}' for n in each)} |")
    ways = "; ".join(f"{why}: {count}" for why, count in endings.items())
    return f"""# Does debating beat the same budget spent by one agent?

{FEATURES} live features of the organism, drawn at random, {DOCUMENTS:,} documents; `induction` is the researcher and holds both
sides of the debate, so that no language model takes part. A round runs at most {BASE.tests} inputs in either form. Scores are of
the rule on test, medians over features; differences are means by feature against the first line; 95 % bootstrap intervals.

| | simulation r | balanced accuracy | r minus the first | subject tokens | examples read | tools called |
|---|---|---|---|---|---|---|
{chr(10).join(rows)}

The last three columns are means for one feature. How the debates ended: {ways}.

`DRAGOMAN_BENCH=full python -m pytest tests/benchmarks/test_debate.py` writes this page.
"""


def figure(place: Place, name: str) -> str:
    interval = place.figures[name]
    return f"{plain(interval.value, '.3f')} {interval.text('.3f')}"
