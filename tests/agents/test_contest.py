"""Benchmarks on the organism: controls come out in the order they must."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from dragoman.agents.campaign import Means
from dragoman.agents.contest import entrant, evened, induction
from dragoman.agents.ladder import MOST
from dragoman.agents.settings import EVIDENCE
from dragoman.evals.benchmark.baselines import Flatterer, Lookup, TopToken
from dragoman.evals.benchmark.board import compare
from dragoman.evals.benchmark.entrants import Entrant, Entry, Explained, Oracle, Said, Shuffled, Spent
from dragoman.evals.benchmark.examine import Examined, Room
from dragoman.evals.benchmark.organism import Match, OrganismTrial, kin_of
from dragoman.evals.benchmark.reading import ModelReads, Portion, read_all
from dragoman.evals.benchmark.running import Plan, Result, run
from dragoman.evals.benchmark.stores import StoreSuite
from dragoman.evals.gateway.budget import Budget
from dragoman.evals.gateway.models import model_named
from dragoman.evals.judge.reader import Passage
from dragoman.evals.judge.scripted import Agreeing, Knowing
from dragoman.evals.organism.load import corpus_documents, organism_paths
from dragoman.store.errors import UserError
from dragoman.store.features import Store
from tests.evals.gateway.server import Said as Reply
from tests.evals.gateway.server import ScriptedServer

from .known import CONCEPTS
from .scripted import claim, proposal

pytestmark = pytest.mark.slow


class Ready:
    """A suite that is prepared already."""

    name = "organism"

    def __init__(self, trial: OrganismTrial) -> None:
        self.trial = trial

    def prepare(self, folder: Path, seed: int, features: int) -> OrganismTrial:
        return self.trial


@pytest.fixture(scope="module")
def trial(harvested: Path) -> OrganismTrial:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(organism_paths().model)
    with Store.open(harvested) as store:
        live = set(store.features("live"))
    matches = [Match(feature, concept, 0.9, False) for feature, concept in CONCEPTS.items() if feature in live]
    return OrganismTrial(harvested, corpus_documents(800), tokenizer, 3, len(matches), pool=400, matches=matches)


@pytest.fixture(scope="module")
def room(trial: OrganismTrial) -> Iterator[Room]:
    made = Room(trial, 5, 12)
    yield made
    made.close()


@pytest.fixture(scope="module")
def results(trial: OrganismTrial, tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    explained = induction()
    entrants: list[Entrant] = [
        Oracle(),
        explained,
        Explained("toptoken", lambda store, usage: TopToken()),
        Explained("lookup", lambda store, usage: Lookup()),
        Shuffled(explained),
        Explained("flatterer", lambda store, usage: Flatterer()),
    ]
    return run(Plan(tmp_path_factory.mktemp("bench"), [Ready(trial)], entrants, [0], len(trial.features), 12))


@pytest.mark.parametrize(("better", "worse"), [("oracle", "induction"), ("induction", "toptoken"), ("toptoken", "shuffled")])
def test_recovery_orders_the_controls(results: list[Result], better: str, worse: str) -> None:
    found = compare(results, better, worse, "recovery.mcc").mean
    assert found.n >= 6
    assert found.low > 0


@pytest.mark.parametrize(("better", "worse"), [("induction", "toptoken"), ("toptoken", "shuffled")])
def test_simulation_orders_them_as_well(results: list[Result], better: str, worse: str) -> None:
    assert compare(results, better, worse, "simulation.r").mean.low > 0


def test_one_who_says_everything_to_everyone_loses(results: list[Result]) -> None:
    for figure in ("recovery.mcc", "recovery.text_auroc", "simulation.r", "detection.balanced_accuracy"):
        assert compare(results, "toptoken", "flatterer", figure).mean.low > 0


def test_a_list_of_tokens_knows_no_context_and_induction_does(results: list[Result]) -> None:
    lookup = next(one for one in results if one.contestant == "lookup")
    assert {row.figures["recovery.context"] for row in lookup.rows if "recovery.context" in row.figures} == {0.5}
    assert compare(results, "induction", "lookup", "recovery.context").mean.low > 0


def test_fresh_texts_hold_the_concept_its_kin_and_anything(trial: OrganismTrial) -> None:
    stored, first = {document.text for document in trial.documents}, trial.features[0]
    assert {text.text for text in trial.fresh(first, 8, 12)}.isdisjoint(text.text for text in trial.fresh(first, 9, 12))
    for feature in trial.features[:4]:
        texts = trial.fresh(feature, 9, 12)
        assert texts == trial.fresh(feature, 9, 12)
        assert {text.kind for text in texts} == {"true", "near", "random"}
        for text in texts:
            assert any(text.fires) == (text.kind == "true") or text.kind == "random"
            assert len(text.ids) == len(text.fires) == len(text.offsets)
            assert text.text not in stored
            again = trial.tokenizer(text.text, add_special_tokens=False)["input_ids"]
            assert sum(a == b for a, b in zip(again, text.ids, strict=False)) > 0.9 * len(text.ids) - 1


def test_kin_are_what_a_vague_label_confuses() -> None:
    assert {"bird", "bird.owl"} <= set(kin_of("bird.robin"))
    assert "bird.robin" not in kin_of("bird.robin")
    assert all(name.startswith("next:") for name in kin_of("next:bird.robin"))


def test_a_reader_recovers_what_the_words_say_and_cannot_be_flattered(room: Room) -> None:
    trial = room.trial
    entry = Oracle().enter(trial, 0)
    held = {text.ids: text.fires for f in trial.features for text in room.fresh(f).texts}
    by_claim = {trial.truths[f].text: f for f in trial.features}

    def activity(claim: str, passage: Passage) -> list[float]:
        feature = by_claim.get(claim)
        own = {text.ids: text.fires for text in room.fresh(feature).texts} if feature is not None else {}
        return [float(one) for one in own.get(passage.ids, [False] * len(passage.ids))]

    assert held
    told = asyncio.run(read_all(Knowing(activity), room, entry))
    own = [f for f in trial.features if by_claim[trial.truths[f].text] == f]
    assert {told[f]["recovery.read_auroc"] for f in own} == {1.0}
    vague = Entry(dict.fromkeys(trial.features, Said("all", "everything", None)))
    flattered = asyncio.run(read_all(Agreeing(), room, vague))
    assert {flattered[f]["recovery.read_balanced_accuracy"] for f in trial.features} == {0.5}
    unscored: dict[int, Examined] = room.examine(vague)
    assert {one.unscored for one in unscored.values()} == {"the label has no pattern to execute"}
    assert asyncio.run(read_all(Agreeing(), room, Entry({})))[own[0]]["recovery.read_auroc"] == 0.5


def test_campaigns_are_contestants_and_leave_the_ledger_of_a_store_alone(organism: Path, tmp_path: Path) -> None:
    with Store.open(organism) as store:
        before = store.ledger.runs()
    few = StoreSuite(organism).prepare(tmp_path / "out", 0, 1)
    entry = entrant("labeler:induction", "pattern", Budget(), Means()).enter(few, 0)
    assert set(entry.labels) == set(few.features)
    assert all(label.pattern and label.confidence is not None for label in entry.labels.values())
    assert entry.spent.calls > 0
    with Store.open(organism) as store:
        assert store.ledger.runs() == before
    assert StoreSuite(organism).prepare(tmp_path / "out", 0, 1) == few
    assert entry.spent.forwarded > 0


def test_words_without_a_pattern_are_unscored_and_a_judge_reads_its_portion_once(
    trial: OrganismTrial, organism: Path, tmp_path: Path
) -> None:
    few = OrganismTrial(organism, trial.documents, trial.tokenizer, 3, 3, pool=300, matches=trial.matches[:3])

    def answer(body: dict[str, Any]) -> Reply:
        explains = body["messages"][-1]["content"].startswith("Feature")
        return Reply(json.dumps(proposal(claim("any word")) if explains else {"yes": 90}), logprobs=False)

    with ScriptedServer(answer, context=32_768) as server:
        spec = f"openai:{server.url}#judge"
        judge = ModelReads(spec, model_named(spec), Budget(), Portion(("recovery",), 2, 4))
        one_shot = entrant(f"one-shot:{spec}", "pattern", Budget(), Means())
        plan = Plan(tmp_path, [Ready(few)], [one_shot, Oracle()], [0], 3, 12, judge)
        first, oracle = run(plan)
        asked = len(server.seen)
        (tmp_path / "entries").rename(tmp_path / "lost")
        again, _ = run(plan)
        assert len(server.seen) == asked == 3 + 1 + 2 * 4 + 2 * 4  # explanations; whether it tells log-probabilities; texts
    assert first.rows == again.rows
    assert {(row.labeled, row.unscored) for row in first.rows} == {(True, "the label has no pattern to execute")}
    read = [row.figures["recovery.read_balanced_accuracy"] for row in first.rows if row.figures]
    assert read == [0.5, 0.5]  # it says yes to everything
    assert first.judged is not None and oracle.judged is not None
    assert (first.judged.requests, oracle.judged.requests, first.spent.requests) == (9, 8, 3)
    assert (first.judged.dollars, first.judged.unpriced) == (0, 0)


def test_contestants_have_names() -> None:
    made = entrant("labeler-targeted:vllm:http://h/v1", "pattern", Budget(), Means())
    assert made.explainer == "vllm:http://h/v1"
    assert not made.settings.parts.targeted
    assert entrant("debate:induction", "pattern", Budget(), Means()).settings.rung == "debate"
    assert entrant("one-shot-x2:m:n", "pattern", Budget(), Means()).settings.evidence["top"] == min(MOST, 2 * EVIDENCE["top"])
    for name in ("labeler", "labeler-nothing:induction", "one-shot-x0:m", "best:m"):
        with pytest.raises(UserError, match="There is no contestant"):
            entrant(name, "pattern", Budget(), Means())


def test_one_shot_gets_the_labelers_budget_in_evidence() -> None:
    spent = {"one-shot:m": Spent(tokens=1000), "labeler:m": Spent(tokens=4200), "labeler:induction": Spent(calls=9)}
    assert evened(spent) == ["one-shot-x4:m"]
    assert evened({**spent, "one-shot-x4:m": Spent()}) == []
    assert evened({"one-shot:m": Spent(tokens=1000), "labeler:m": Spent(tokens=1400)}) == []
