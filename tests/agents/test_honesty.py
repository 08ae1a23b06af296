"""No tool, view, statistic or prompt lets an agent see a validation or test row, or a test score.

The documents of a store say in which split they are, so that a row that gets out can be recognised wherever it turns up; what
is looked for is shown to be found where it may be.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dragoman.agents.board import Board, Case
from dragoman.agents.campaign import Means, Wish, campaign
from dragoman.agents.chat import GatewayChat
from dragoman.agents.office import Office
from dragoman.agents.opening import opening
from dragoman.agents.settings import Settings
from dragoman.evals.exams import Examiner
from dragoman.evals.validation import Validator
from dragoman.store.calls import Calls
from dragoman.store.errors import ToolError
from dragoman.store.features import Store
from dragoman.store.ledger import Ledger
from dragoman.store.reading import Database, SplitReader
from dragoman.store.records import SPLITS, JudgeAnswer, Label, Run, Score
from dragoman.store.tokens import TokenTable
from dragoman.store.trails import Trails
from dragoman.store.view import TrainView
from dragoman.tools.toolbox import Desk, Toolbox, registry
from dragoman.tools.workbench import Workbench
from tests.agents.known import OTHERS, QUESTION_RULE
from tests.agents.known import QUESTION as FEATURE
from tests.agents.marked import hostile_calls, marked_store, marks_in
from tests.agents.scripted import Scripted, claim, proposal, revision, written
from tests.evals.gateway.server import Said, ScriptedServer

RIGHT = claim("Fires on question marks.", QUESTION_RULE, "question marks")
LOOKS = 4
"""Tools that a researcher may call in a round."""
SECRET = 0.7391284
"""A figure that nothing else has."""


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose documents name their split; not to be written to."""
    return marked_store(tmp_path_factory.mktemp("marked"))


@pytest.fixture
def path(marked: Path, tmp_path: Path) -> Path:
    """Folder of a copy of it."""
    return copied(marked, tmp_path / "store")


def copied(marked: Path, target: Path) -> Path:
    target.mkdir()
    for name in ("features.duckdb", "manifest.json"):
        shutil.copy(marked / name, target / name)
    return target


def curious(calls: Iterator[tuple[str, dict[str, Any]]], contexts: list[int]) -> Scripted:
    """A model that looks wherever it can, edits contexts that it was not shown, and asks for what there is not."""
    numbers = iter(contexts)

    def design(prompt: str) -> dict[str, Any]:
        looks = [
            {"tool": name, "arguments": json.dumps(arguments)} for (name, arguments), _ in zip(calls, range(LOOKS), strict=False)
        ]
        edit = {**written("", "is", H1="weaker"), "kind": "edit", "example": next(numbers, -1), "find": " is", "put": " was"}
        tests = [edit, written(f"Where is she? {prompt.count('E')}", "?", H1="fires")]
        return {"tests": tests, "looks": looks}

    return Scripted(propose=lambda p: proposal(RIGHT), design=design, revise=lambda p: revision())


def asked(path: Path, model: Scripted, features: tuple[int, ...], rounds: int, judge: str = "pattern") -> str:
    """Label features with a scripted model, alone; returns the run."""
    with ScriptedServer(model, models=("researcher",), context=4_000_000) as server:
        settings = Settings(rounds=rounds, idle=rounds, ladder=False)
        wish = Wish(f"vllm:{server.url}", judge, features, settings)
        return campaign(path, wish, Means(concurrency=1), progress=False).run.id


def test_the_marks_are_where_they_should_be(marked: Path) -> None:
    with Store.open(marked) as store:
        for split in SPLITS:
            texts = store.tokens(split).texts.to_pylist()
            assert len(texts) > 50 and all(marks_in(text) == {split} for text in texts)
    shown = "<text>·Wh·o is[[ T]]7·ri·m[[b]]10al·o</text>"
    assert marks_in(shown) == {"train"} and marks_in(shown.replace("ri·m[[b]]10al·o", "ust·ano[[k]]3")) == {"test"}


def test_no_tool_shows_another_row_whatever_it_is_asked(marked: Path) -> None:
    with Store.open(marked) as store, Workbench(store) as bench:
        train = set(store.tokens("train").context_ids.tolist())
        box = Toolbox(Desk.of(bench), "run", FEATURE)
        answered: dict[str, int] = {}
        for name, arguments in hostile_calls(store):
            try:
                result = box.call(name, arguments)
            except ToolError as error:
                assert marks_in(str(error)) == set(), (name, arguments)
                continue
            for said in (result.text, json.dumps(result.data)):
                assert marks_in(said) <= {"train"}, (name, arguments)
            assert {int(number) for number in re.findall(r"context (\d+)", result.text)} <= train
            answered[name] = answered.get(name, 0) + ("train" in marks_in(result.text))
        assert set(answered) == set(registry()), "every tool answered at least once"
        assert answered["top_examples"] >= 5 and answered["query_store"] >= 1 and answered["match_pattern"] >= 1
        assert box.call("query_store", {"sql": "SELECT count(*) FROM context"}).data["rows"] == [[len(train)]]


def test_no_prompt_of_a_curious_researcher_holds_another_row(path: Path) -> None:
    with Store.open(path) as store:
        train = set(store.tokens("train").context_ids.tolist())
        calls = [call for call in hostile_calls(store) if call[0] != "record_note"]
        contexts = [n for pair in zip(*(store.tokens(s).context_ids.tolist() for s in SPLITS[1:]), strict=False) for n in pair]
    model = curious(iter(calls), contexts)
    features = (FEATURE, *OTHERS)
    run = asked(path, model, features, rounds=-(-len(calls) // (LOOKS * len(features))))
    with Store.open(path) as store:
        trails = Trails(store.ledger.path)
        experiments = [one for feature in features for one in trails.experiments(run, feature)]
        steps = [step for feature in features for step in trails.steps(run, feature)]
        trails.close()
    looks = [one for one in experiments if one.kind == "look"]
    assert sum(one.result is not None for one in looks) > 30 and sum(one.reason is not None for one in looks) > 30
    assert any("train" in marks_in(json.dumps(one.result)) for one in looks), "they did see train"
    refused = [text for step in steps if step.node == "design" for text in step.content["refused"]]
    assert any("no example has the number" in text for text in refused)
    found = [marks_in(prompt) for prompt in model.prompts]
    assert found and all(splits == {"train"} for splits in found)
    for prompt in model.prompts:
        assert {int(number) for number in re.findall(r"\bcontext (\d+), tokens", prompt)} <= train
    revising = [prompt for prompt in model.prompts if "Say what follows from the results." in prompt]
    assert all(re.search(r"on validation pattern\.r -?\d\.\d{3}, n \d+\)", prompt) for prompt in revising)


def test_no_prompt_of_a_debate_holds_another_row(path: Path) -> None:
    with Store.open(path) as store:
        contexts = [store.tokens(split).context_ids.tolist()[0] for split in SPLITS[1:]]

    def contest(prompt: str) -> dict[str, Any]:
        n = prompt.count("Result:") + prompt.count("\n- write: ")
        edits = [{**written("", "is"), "kind": "edit", "example": one, "find": " is", "put": " was"} for one in contexts]
        return {"tests": [*edits, written(f"What are the {n} keys?", "?")], "looks": [{"tool": "query_store", "arguments": "{}"}]}

    months = claim("Fires on the names of months.", 'strongly: "March" "May"', "months")
    model = Scripted(propose=lambda p: proposal(RIGHT, months), contest=contest)
    with ScriptedServer(model, models=("researcher",), context=4_000_000) as server:
        spec = f"vllm:{server.url}"
        settings = Settings(rung="debate", rounds=1, rivalry=2.0, ladder=False)
        wish = Wish(spec, features=(FEATURE,), settings=settings, arbiter=spec)
        campaign(path, wish, Means(concurrency=1), progress=False)
    assert {"contest", "foretell", "turn", "arbiter"} <= set(model.asked)
    assert all(marks_in(prompt) == {"train"} for prompt in model.prompts)


def test_a_judge_reads_validation_and_the_researcher_does_not(path: Path) -> None:
    read: list[str] = []

    def judge(body: dict[str, Any]) -> str | Said:
        read.append(json.dumps(body))
        return "yes"

    with Store.open(path) as store:
        table = store.stats_table().to_pylist()
    feature = next(r["feature"] for r in table if r["liveness"] == "live" and not r["dense"] and r["firing_contexts"] > 50)
    model = Scripted(propose=lambda p: proposal(RIGHT))
    with ScriptedServer(judge, models=("judge",), context=4_000_000) as server:
        asked(path, model, (feature,), 1, f"vllm:{server.url}")
    assert {"validation"} <= set().union(*map(marks_in, read)) <= {"train", "validation"}
    assert all(marks_in(prompt) == {"train"} for prompt in model.prompts)


def test_what_an_earlier_run_found_changes_no_prompt(marked: Path, tmp_path: Path) -> None:
    """Labels of the feature, test scores, answers of judges, trails: the prompts are the same with and without them."""
    prompts: list[list[str]] = []
    for name in ("empty", "known"):
        target = copied(marked, tmp_path / name)
        with Store.open(target) as store:
            calls = [call for call in hostile_calls(store) if call[0] in ("query_store", "search_labels", "feature_stats")]
            if name == "known":
                earlier(store)
            calls = [(n, json.loads(json.dumps(a).replace(str(target), "STORE"))) for n, a in calls]
        model = curious(iter(calls), [])
        asked(target, model, (FEATURE,), 12)
        prompts.append(model.prompts)
    assert len(prompts[0]) > 20 and prompts[0] == prompts[1]
    assert not any("7391" in prompt or "Qwertzul" in prompt for prompt in prompts[1])


def test_labels_of_other_features_are_seen_without_their_scores(path: Path) -> None:
    """So that the test before this one could fail: the same words are found where they may be."""
    with Store.open(path) as store:
        earlier(store, FEATURE + 1)
    model = curious(iter([("search_labels", {"words": "Qwertzul"}), ("query_store", {"sql": "SELECT * FROM label"})]), [])
    asked(path, model, (FEATURE,), 1)
    assert any("Qwertzul" in prompt for prompt in model.prompts)
    assert not any("7391" in prompt for prompt in model.prompts)


def earlier(store: Store, feature: int = FEATURE) -> None:
    """A labeling run and a scoring run of before, whose every figure is SECRET and whose every word is Qwertzul."""
    ledger = store.ledger
    for kind in ("label", "score"):
        ledger.start_run(Run(id=f"earlier-{kind}", kind=kind, config="{}", status="done"))  # type: ignore[arg-type]
    label = Label(
        id="earlier",
        feature=feature,
        run="earlier-label",
        name="Qwertzul",
        description="Qwertzul is what it fires on.",
        pattern='strongly: "Qwertzul"',
        agent="somebody",
        confidence=SECRET,
        notes=json.dumps({"test": SECRET}),
    )
    scores = [
        Score(
            label="earlier",
            feature=feature,
            run="earlier-score",
            scorer=scorer,
            judge="pattern",
            contestant=contestant,
            split="test",
            value=SECRET,
            low=SECRET,
            high=SECRET,
            n=7391,
        )
        for scorer in ("simulation.r", "detection.auroc")
        for contestant in ("label", "token_lookup")
    ]
    answer = JudgeAnswer(
        run="earlier-score",
        feature=feature,
        contestant="label",
        score="detection",
        item=0,
        context=3,
        truth=True,
        probability=SECRET,
        way="x",
        unscored=None,
    )
    ledger.record(labels=[label], scores=scores, answers=[answer])
    ledger.add_failure("earlier-label", feature, "label", f"Qwertzul {SECRET}")
    trails = Trails(ledger.path)
    trails.add_note("earlier-label", feature, f"Qwertzul {SECRET}")
    trails.close()


FORBIDDEN = (Store, Database, Ledger, Trails, Calls, Examiner, Validator, Workbench, Score, JudgeAnswer, Office)
PLAIN = (str, bytes, int, float, complex, type, type(None), np.ndarray, np.generic, GatewayChat)
"""Ends of the walk. A chat model leads to the gateway, and says nothing but what a model replied."""


def reachable(value: Any, path: str, seen: dict[int, Any], depth: int = 8) -> Iterator[tuple[str, Any]]:
    """What can be reached by attributes, entries and the objects of methods: private ones too in agents and toolkit."""
    if depth == 0 or isinstance(value, PLAIN) or id(value) in seen:
        return
    seen[id(value)] = value
    children: list[tuple[str, Any]] = []
    if isinstance(value, Mapping):
        children = [(f"{path}[{key!r}]", child) for key, child in list(value.items())[:60]]
    elif isinstance(value, list | tuple | set | frozenset):
        children = [(f"{path}[{at}]", child) for at, child in enumerate(list(value)[:60])]
    ours = type(value).__module__.startswith("dragoman.")  # what torch and others hold leads nowhere
    own = type(value).__module__.startswith(("dragoman.agents", "dragoman.tools.toolbox", "dragoman.tools.toolkit"))
    names = dir(value) if not is_dataclass(value) or isinstance(value, type) else [*dir(value), *(f.name for f in fields(value))]
    for name in dict.fromkeys(names if ours else ()):
        if not name.startswith(("__", "model_")) and (own or not name.startswith("_")):
            try:
                children.append((f"{path}.{name}", getattr(value, name)))
            except Exception:
                continue
    if getattr(value, "__self__", None) is not None:
        children.append((f"{path}.__self__", value.__self__))
    for place, child in children:
        yield place, child
        yield from reachable(child, place, seen, depth - 1)


def leaks(value: Any, name: str) -> list[str]:
    """Where other rows, or scores, can be reached."""
    found = []
    for place, child in reachable(value, name, {}):
        other = isinstance(child, TokenTable | SplitReader) and child.split != "train"
        if other or isinstance(child, FORBIDDEN):
            found.append(place)
    return found


@pytest.mark.parametrize("explainer", ["induction", "language"])
def test_nothing_that_a_researcher_is_given_leads_to_other_rows(path: Path, explainer: str) -> None:
    async def check(spec: str) -> None:
        with Store.open(path) as store:
            async with opening(store, Wish(spec, features=(FEATURE,)), Means()) as opened, opened.office("run") as office:
                case = await office.case(FEATURE)
                board = office.board({"feature": FEATURE})
                case.toolbox.call("activate", {"texts": ["Who is she?"]})
                case.toolbox.call("match_pattern", {"pattern": 'strongly: "?"'})
                assert isinstance(case, Case) and isinstance(board, Board)
                for thing, name in ((case, "case"), (board, "board"), (office.researcher, "researcher")):
                    assert leaks(thing, name) == []
                views = [child for _, child in reachable(case, "case", {}) if isinstance(child, TrainView)]
                assert views, "the walk goes deep enough to find the view of train"
                # The same walk finds what it looks for where it is.
                assert {place.split(".")[1] for place in leaks(office, "office")} >= {"ledger", "trails", "gauge"}

    if explainer == "induction":
        asyncio.run(check("induction"))
        return
    with ScriptedServer(Scripted(), models=("researcher",), context=100_000) as server:
        asyncio.run(check(f"vllm:{server.url}"))
