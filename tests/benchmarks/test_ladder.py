"""What each rung of the ladder and each part of the loop is worth to induction and to a scripted oracle, on the organism.

`DRAGOMAN_BENCH=full` takes features of all the generator's families and writes docs/benchmarks/ladder.md; otherwise a few
features show that the loop brings the oracle from its first impression to the truth.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from dragoman.agents import ladder
from dragoman.agents.campaign import Means
from dragoman.agents.settings import Parts, Settings
from dragoman.evals.organism.load import corpus_documents, organism_paths
from dragoman.evals.runs import resolve, spec
from dragoman.evals.scoring import score
from dragoman.evals.statistics import Pairing, paired
from dragoman.store.features import Store
from dragoman.store.ledger import label_id
from dragoman.store.records import Label
from dragoman.store.trails import Trails
from dragoman.tools.harvest import harvest
from dragoman.tools.workbench import Workbench
from tests.agents.oracle import Oracle, oracle
from tests.benchmarks.ladder_page import Told, page
from tests.evals.gateway.server import ScriptedServer
from tests.support.concepts import Named, names_of, spread

FULL = os.environ.get("DRAGOMAN_BENCH") == "full"
DOCUMENTS, FRESH, FEATURES = (3000, 600, None) if FULL else (800, 300, 4)
LEAST, EACH = 0.75, 2
"""F1 of a feature's concept at least; features of a family at most."""
SETTINGS = Settings()
SHORT = 0.06
"""Simulation r by which the loop may fall short of the concept said exactly, in the mean."""
TOOLS = ("top_examples", "match_pattern", "activate")
"""The tools whose results these researchers use."""
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks" / "ladder.md"


@dataclass
class Arena:
    """A store, the features that compete, and where their runs were scored."""

    path: Path
    named: list[Named]
    oracle: Oracle
    keys: dict[int, str]
    """Address of each feature."""
    scored: dict[str, str] = field(default_factory=dict)
    """Scoring run by labeling run."""

    @property
    def features(self) -> tuple[int, ...]:
        """Global ids."""
        return tuple(one.feature for one in self.named)

    def score(self, run: str) -> str:
        """Score a labeling run on test by executing its patterns."""
        self.scored[run] = score(self.path, run, "pattern", 0, 2 if FULL else 0, False, False, self.features).id
        return self.scored[run]

    def minus(self, run: str, other: str) -> Pairing:
        """Simulation r of one run minus that of another, by feature."""
        ours, theirs = (ladder.values(self.path, self.scored[name], self.features)["simulation.r"] for name in (run, other))
        both = [feature for feature in self.features if feature in ours and feature in theirs]
        random = np.random.default_rng(len(both))
        return paired(np.array([ours[f] for f in both]), np.array([theirs[f] for f in both]), random)

    def labels(self, run: str) -> dict[int, Label]:
        """Labels of a run by feature."""
        with Store.open(self.path) as store:
            return {label.feature: label for label in store.ledger.labels(run=run)}

    def climb(self, contestants: Sequence[ladder.Contestant], explainer: str) -> list[ladder.Place]:
        """Label and score with every contestant."""
        return ladder.climb(self.path, contestants, self.features, explainer, "pattern", Means(), self.score, progress=False)

    def ask(self, oracle: Oracle, contestants: Sequence[ladder.Contestant]) -> list[ladder.Place]:
        """The same with an oracle behind a server."""
        name = "oracle" if oracle.edges else "oracle-deciding"
        with ScriptedServer(oracle.scripted(), models=(name,), context=100_000, keep=False) as server:
            return self.climb(contestants, f"vllm:{server.url}")


@pytest.fixture
def arena(tmp_path: Path) -> Arena:
    """Features of the organism that are close to a concept, at most two of a family."""
    documents = corpus_documents(DOCUMENTS + FRESH)
    known = {document.text: document for document in documents[:DOCUMENTS]}
    text = tmp_path / "corpus.jsonl"
    text.write_text("".join(json.dumps({"text": document.text}) + "\n" for document in documents[:DOCUMENTS]), "utf-8")
    paths = organism_paths()
    with harvest(tmp_path / "store", str(paths.model), [str(paths.sae)], str(text), progress=False) as store:
        named = spread(store, known, names_of(store, known), LEAST, EACH)[:FEATURES]
        knows = oracle(store, known, documents[DOCUMENTS:], Workbench(store).subject, named)
        keys = {one.feature: str(store.key(one.feature)) for one in named}
    return Arena(tmp_path / "store", named, knows, keys)


@pytest.mark.benchmark
@pytest.mark.slow
def test_what_each_rung_is_worth(arena: Arena) -> None:
    rungs = ladder.rungs(SETTINGS, ladder.RUNGS)
    parts = ladder.parts(SETTINGS, TOOLS) if FULL else []
    whole = next(one for one in rungs if one.name == "experiments")
    induction, knowing = arena.climb(rungs, "induction"), arena.ask(arena.oracle, rungs)
    truth = said_exactly(arena)
    held, reached = trails(arena, place_of(knowing, "experiments").run)
    if FULL:
        assert len(arena.named) >= 30
        blind = whole.settings.model_copy(update={"parts": Parts(experiments=False, matching=False)})
        neither = ladder.Contestant("without experiments and matching", blind)
        only = ladder.Contestant("with tests only where hypotheses differ", whole.settings)
        knowing_parts = arena.ask(arena.oracle, [*parts, neither])
        knowing_parts += arena.ask(replace(arena.oracle, edges=False), [only])
        told = Told(
            documents=DOCUMENTS,
            fresh=FRESH,
            named=arena.named,
            truth=truth,
            induction=induction,
            induction_parts=arena.climb(parts, "induction"),
            oracle=knowing,
            oracle_parts=knowing_parts,
            values={run: ladder.values(arena.path, scored, arena.features) for run, scored in arena.scored.items()},
            labels={run: arena.labels(run) for run in arena.scored},
            held=held,
            reached=reached,
            debated={place.run: debates(arena, place.run) for place in (*induction, *knowing)},
        )
        PAGE.write_text(page(told), encoding="utf-8")
    for places in (induction, knowing):
        nothing_is_lost(arena, place_of(places, "one-shot").run, place_of(places, "experiments").run)
    loop = place_of(knowing, "experiments")
    assert loop.labeled == len(arena.named)
    assert loop.against["simulation.r"].mean.low > 0, "experiments beat the first impression"
    assert arena.minus(loop.run, place_of(knowing, "one-shot, more evidence").run).mean.low > 0, "at equal budget too"
    assert arena.minus(loop.run, truth).mean.value > -SHORT, "the loop ends about as high as the concept said exactly"
    assert reached["its own, where it was best"] == reached["best on validation"] > 0
    assert held["truth"][0] / held["truth"][1] > held["others"][0] / held["others"][1]


def place_of(places: Sequence[ladder.Place], name: str) -> ladder.Place:
    """A contestant by name."""
    return next(place for place in places if place.name == name)


def said_exactly(arena: Arena) -> str:
    """A labeling run of the concepts themselves, as rules, without evidence or experiments."""
    with Store.open(arena.path) as store:
        run = resolve(store.ledger, "label", {"explainer": "the concept itself", "features": spec(arena.features)}, False)
        store.ledger.start_run(run)
        for one in arena.named:
            truth = arena.oracle.minds[arena.keys[one.feature]].truth
            store.ledger.add_label(
                Label(
                    id=label_id(run.id, one.feature, truth.description),
                    feature=one.feature,
                    run=run.id,
                    name=truth.name,
                    description=truth.description,
                    pattern=truth.pattern,
                    agent="the concept itself",
                )
            )
        store.ledger.finish_run(run.id)
    arena.score(run.id)
    return run.id


def nothing_is_lost(arena: Arena, first: str, loop: str) -> None:
    """What is chosen among more hypotheses is never lower on validation than the first, but for what the choice may give away."""
    before, after = arena.labels(first), arena.labels(loop)
    for feature, label in before.items():
        low, high = (json.loads(one.notes)["validation"]["value"] for one in (label, after[feature]))
        assert high >= low - SETTINGS.gain, f"feature {feature} fell from {low} to {high}"


def trails(arena: Arena, run: str) -> tuple[dict[str, tuple[int, int]], dict[str, int]]:
    """Of the decided predictions how many held, for the truth and for other hypotheses; and how often the truth was reached."""
    held: dict[str, tuple[int, int]] = {"truth": (0, 0), "others": (0, 0)}
    reached: Counter[str] = Counter()
    labels = arena.labels(run)
    with Store.open(arena.path) as store:
        book = Trails(store.ledger.path)
        for one in arena.named:
            truth = arena.oracle.minds[arena.keys[one.feature]].truth.description
            hypotheses = {h.id: h for h in book.hypotheses(run, one.feature)}
            own = next((h for h in hypotheses.values() if h.description == truth), None)
            for prediction in book.predictions(run, one.feature):
                who = "truth" if own is not None and prediction.hypothesis == own.id else "others"
                if prediction.verdict in ("held", "failed"):
                    good, all_of = held[who]
                    held[who] = (good + (prediction.verdict == "held"), all_of + 1)
            figures: dict[str, float] = {}
            for step in book.steps(run, one.feature):
                figures |= {name: figure[1] or 0.0 for name, figure in step.content.get("figures", {}).items()}
            chosen = labels.get(one.feature)
            mine = chosen is not None and chosen.description == truth
            reached["proposed at once" if own is not None and own.round == 0 else "revised" if own else "never said"] += 1
            reached["its own"] += mine
            if own is not None:
                others = max((value for name, value in figures.items() if name != own.id), default=-1.0)
                best = figures[own.id] > others + SETTINGS.gain
                reached["best on validation"] += best
                reached["its own, where it was best"] += best and mine
        book.close()
    return held, dict(reached)


def debates(arena: Arena, run: str) -> int:
    """Features on which a debate was opened."""
    with Store.open(arena.path) as store:
        book = Trails(store.ledger.path)
        steps = [book.steps(run, feature) for feature in arena.features]
        book.close()
    return sum(any(step.content.get("debate") == "opened" for step in own) for own in steps)
