"""The investigator without a language model: guided investigations on the organism, held against runs made by hand."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch

from dragoman.agents.investigation.events import Answer, Called, Event, Returned, Statement, Stopped
from dragoman.agents.investigation.protocol import Converser, ThreadInfo, Turn
from dragoman.agents.investigation.rules import Foretold, foretold, held
from dragoman.agents.investigation.threads import AT_WORK, FOREIGN
from dragoman.agents.investigator import opened
from dragoman.store.chats import Chats, ChatStep
from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.ledger import label_id
from dragoman.store.manifest import LEDGER
from dragoman.store.records import Label, Run
from dragoman.tools.patterns import parse
from dragoman.tools.toolbox import Desk
from dragoman.tools.workbench import Workbench

from .talking import Script, all_of, answers, talking

WITHOUT = r"Without (\S+) the probability of “.+” goes from (\S+) to (\S+); .* it is (\S+) to (\S+)\."
TEXT = "42 + 39 = 8"
Result = TypeVar("Result")


@pytest.fixture(scope="module")
def bench(harvested: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A store of its own, open; the model is loaded once."""
    import shutil

    folder = tmp_path_factory.mktemp("direct") / "store"
    folder.mkdir()
    for name in ("features.duckdb", "manifest.json"):
        shutil.copy(harvested / name, folder / name)
    with Workbench.open(folder) as bench:
        yield bench


@asynccontextmanager
async def direct(bench: Workbench) -> AsyncIterator[Converser]:
    async with opened(bench.store.path, "induction", bench=bench) as somebody:
        yield somebody


def talk(bench: Workbench, work: Callable[[Converser], Awaitable[Result]]) -> Result:
    """What comes of talking to somebody."""

    async def run() -> Result:
        async with direct(bench) as somebody:
            return await work(somebody)

    return asyncio.run(run())


def asked(bench: Workbench, thread: str, line: str) -> list[Event]:
    """Everything that comes of a line."""
    return talk(bench, lambda somebody: all_of(somebody.ask(thread, line)))


def steps_of(bench: Workbench, thread: str) -> dict[str, ChatStep]:
    with closing(Chats(bench.store.path / LEDGER)) as chats:
        id = chats.find(thread)
        assert id is not None
        return {step.name: step for step in chats.steps(id)}


@pytest.fixture(scope="module")
def investigated(bench: Workbench) -> list[Event]:
    return asked(bench, "nurse", f"investigate {TEXT}")


def statements(events: list[Event]) -> tuple[Statement, ...]:
    assert isinstance(events[-1], Answer), events[-1]
    return events[-1].statements


def test_every_step_is_stored_and_every_statement_cites_what_was_run(bench: Workbench, investigated: list[Event]) -> None:
    steps = steps_of(bench, "nurse")
    called = [event for event in investigated if isinstance(event, Called)]
    returned = [event for event in investigated if isinstance(event, Returned)]
    assert [event.call for event in called] == [event.call for event in returned] == list(steps)
    for before, after in zip(called, returned, strict=True):
        step = steps[before.call]
        assert (step.tool, step.arguments, step.result) == (before.tool, dict(before.arguments), after.text)
        assert after.row == step.id and not after.failed and step.data is not None
    tools = [event.tool for event in called]
    assert tools[:2] == ["find_features", "explain_prediction"] and tools.count("ablate") == 6
    for statement in statements(investigated):
        assert statement.citations and statement.conjecture == statement.text.startswith("So the model says")
        for cited in statement.citations:
            assert steps[cited.name].id == cited.id, "there are no labels in this store"


def test_figures_of_statements_stand_in_the_steps_that_they_cite(bench: Workbench, investigated: list[Event]) -> None:
    steps = steps_of(bench, "nurse")
    told = 0
    for statement in statements(investigated):
        match = re.match(WITHOUT, statement.text)
        if match is None:
            continue
        told += 1
        (citation,) = statement.citations
        data = steps[citation.name].data or {}
        own, others = data["watched"][0], [control["watched"][0]["after"] for control in data["controls"]]
        assert data["feature"] == match[1] and len(others) == 16
        expected = [own["before"], own["after"], min(others), max(others)]
        assert [float(match[n]) for n in (2, 3, 4, 5)] == pytest.approx(expected, rel=5e-3)
        moved = abs(own["after"] - own["before"])
        assert moved >= 2 * max(abs(other - own["before"]) for other in others) and moved >= 0.1 * max(expected[:2]) > 0.001
    assert told, "something in this text matters for its next token"


def test_the_next_token_is_the_models_own(bench: Workbench, investigated: list[Event]) -> None:
    ids = bench.subject.tokenize(TEXT).ids
    bos = [bench.subject.bos_id] if bench.prepend_bos else []
    with torch.inference_mode():
        logits = bench.subject.model(input_ids=torch.tensor([[*bos, *ids.tolist()]])).logits[0, -1]
    best = bench.subject.vocabulary[int(logits.argmax())]
    probability = float(logits.softmax(-1).max())
    said = [statement.text for statement in statements(investigated)]
    shown = best.replace(" ", "␣")
    assert f"After the text the model finds “{shown}” the likeliest." in said
    assert any(one.startswith(f"The probability of “{shown}” as the next token is {probability:.3g}. Of ") for one in said)


def test_a_rule_speaks_before_its_edits_are_run_and_is_counted_right(bench: Workbench, investigated: list[Event]) -> None:
    steps = list(steps_of(bench, "nurse").values())
    pairs = [(one, two) for one, two in pairwise(steps) if (one.tool, two.tool) == ("foretell", "edit_and_compare")]
    assert pairs
    said = [statement for statement in statements(investigated) if statement.text.startswith("Of ")]
    assert len(said) == len(pairs)
    for (before, after), statement in zip(pairs, said, strict=True):
        assert before.data is not None and after.data is not None and before.data["outcome"] == "fires"
        assert [one["edit"] for one in before.data["edits"]] == after.arguments["edits"]
        right = clear = 0
        for one, variant in zip(before.data["edits"], after.data["variants"], strict=True):
            value = variant["after"]
            if 0 < value <= after.data["threshold"]:
                continue
            clear += 1
            right += (value > after.data["threshold"]) == (one["outcome"] == "fires")
        assert f"{right} of {clear} came out so" in statement.text
        assert [cited.name for cited in statement.citations] == [before.name, after.name]


def test_what_a_rule_says_of_edits_is_what_it_says_of_their_texts(bench: Workbench) -> None:
    desk = Desk.of(bench)
    text = "The dog saw the dog"
    tokens = [string.strip() for string in desk.prompt(text).strings]
    at = len(tokens) - 1
    here, edits = foretold(desk, 0, text, at, parse(f'fully: "{tokens[at]}"'))
    assert here == "fires" and {one.outcome for one in edits} == {"fires", "silent"} and len(edits) <= 8
    for one in edits:
        ends = one.said.rstrip().endswith(tokens[at])
        assert one.outcome == ("fires" if ends else "silent"), one
    nothing, _ = foretold(desk, 0, text, at, parse('fully: "nurse"'))
    assert nothing == "silent", "a rule that does not cover the text says so"


def test_weak_outcomes_count_neither_way() -> None:
    said = [Foretold({}, "", outcome) for outcome in ("fires", "silent", "silent", "fires")]  # type: ignore[arg-type]
    variants = [
        {"after": 2.0, "fires_after": True},
        {"after": 0.0, "fires_after": False},
        {"after": 0.3, "fires_after": False},
        {"after": 0.0, "fires_after": False},
    ]
    assert held(said, variants) == [True, True, None, False]


def labeled(bench: Workbench, feature: int, name: str) -> Label:
    """A label of a feature, written into the ledger."""
    ledger = bench.store.ledger
    ledger.start_run(Run(id="feed", kind="label", config="{}", status="done"))
    said = {"name": name, "description": "fires on x", "pattern": 'fully: "x"', "agent": "me"}
    label = Label(id=label_id("feed", feature, name), feature=feature, run="feed", **said)  # type: ignore[arg-type]
    ledger.add_label(label)
    return label


def test_a_label_is_cited_where_there_is_one(bench: Workbench) -> None:
    label = labeled(bench, 5, "A\x1bb")
    events = asked(bench, "label", "5")
    first = statements(events)[0]
    assert [(cited.kind, cited.id) for cited in first.citations] == [("label", label.id)] and not first.conjecture
    assert "is labeled “A⟨U+001B⟩b”: fires on x" in first.text
    unlabeled = statements(asked(bench, "label", "6"))[0]
    (citation,) = unlabeled.citations
    assert "has no label yet; induced now" in unlabeled.text and steps_of(bench, "label")[citation.name].tool == "induce"


def test_two_features_are_tried_on_each_others_texts(bench: Workbench) -> None:
    one, other = [feature for feature in bench.store.features("live") if feature > 10][:2]
    for feature in (one, other):
        labeled(bench, feature, "a thing")
    events = asked(bench, "two", f"differ {one} {other}")
    said = [statement.text for statement in statements(events)]
    for own, against in ((one, other), (other, one)):
        examples = bench.train.examples(own, "top", 4)
        threshold = bench.train.threshold(against)
        fires = 0
        for example in examples:
            row = bench.train.activations(against)
            start = bench.train.tokens.starts[bench.train.tokens.index.rows_of(np.array([example.context.id]))[0]]
            inside = (row[0] >= start) & (row[0] < start + len(example.context.ids))
            fires += bool((row[1][inside] > threshold).any())
        assert any(
            text.startswith(f"On the 4 texts on which sae/{own} is strongest, sae/{against} fires on {fires} ") for text in said
        )


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("activate 99999 x", "There is no feature sae/99999"),
        ("edit 5 The cat. | dog -> cat", "'dog' occurs 0 times in the text"),
        ("differ 5 99999", "There is no feature sae/99999"),
        ("ablate 5 a -> not one token", "is not one token"),
        ("frobnicate", "There is no command 'frobnicate'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_the_thread_goes_on(bench: Workbench, line: str, says: str) -> None:
    events = asked(bench, "wrong", line)
    assert isinstance(events[-1], Stopped) and says in events[-1].reason and "\n" not in events[-1].reason
    assert statements(asked(bench, "wrong", "stats 5"))


def test_threads_are_kept_listed_and_deleted(bench: Workbench, investigated: list[Event]) -> None:
    asked(bench, "kept", "stats 7")
    again = talk(bench, lambda somebody: _history(somebody, "kept"))
    assert [turn.role for turn in again] == ["user", "assistant"] and again[0].text == "stats 7"
    assert [type(event) for event in again[1].events] == [Called, Returned, Answer]
    listed = talk(bench, _threads)
    assert {"kept", "nurse"} <= {one.thread for one in listed} and all(one.waiting == "" for one in listed)
    talk(bench, lambda somebody: _delete(somebody, "kept"))
    assert not talk(bench, lambda somebody: _history(somebody, "kept"))
    with pytest.raises(UserError, match="There is no thread 'kept'"):
        talk(bench, lambda somebody: _delete(somebody, "kept"))


def test_closing_an_answer_stops_the_work_and_the_line_can_be_asked_again(bench: Workbench) -> None:
    async def stop(somebody: Converser) -> tuple[list[Event], list[Event]]:
        seen: list[Event] = []
        stream = somebody.ask("stopped", f"investigate {TEXT}")
        async for event in stream:
            seen.append(event)
            if isinstance(event, Returned):
                break
        await stream.aclose()  # type: ignore[attr-defined]
        before = len(steps_of(bench, "stopped"))
        await asyncio.sleep(0.2)
        assert len(steps_of(bench, "stopped")) == before == 1, "nothing is run once nobody reads"
        busy = somebody.ask("stopped", "stats 5")
        assert isinstance((await all_of(busy))[-1], Answer), "the thread is free again"
        return seen, await all_of(somebody.resume("stopped"))

    _, again = talk(bench, stop)
    assert isinstance(again[-1], Stopped), "the last line was answered"


def test_a_thread_is_held_in_one_way_and_by_one_at_a_time(bench: Workbench) -> None:
    path = bench.store.path

    async def run() -> tuple[Event, Event, Event]:
        async with talking(path, Script(answers(("Hello.",))), bench=bench) as (model, _), direct(bench) as somebody:
            await all_of(model.ask("by-model", "Hi."))
            foreign = (await all_of(somebody.ask("by-model", "stats 5")))[-1]
            await all_of(somebody.ask("by-hand", "stats 5"))
            other = (await all_of(model.ask("by-hand", "Hi.")))[-1]
            first = somebody.ask("both", "stats 5")
            await anext(first)
            second = (await all_of(somebody.ask("both", "stats 6")))[-1]
            await all_of(first)
            return foreign, other, second

    foreign, other, second = asyncio.run(run())
    assert foreign == other == Stopped(FOREIGN) and second == Stopped(AT_WORK)


async def _history(somebody: Converser, thread: str) -> list[Turn]:
    return list(somebody.history(thread))


async def _threads(somebody: Converser) -> list[ThreadInfo]:
    return list(somebody.threads())


async def _delete(somebody: Converser, thread: str) -> None:
    somebody.delete(thread)


def test_a_store_without_its_model_still_answers_from_what_is_stored(bench: Workbench) -> None:
    with Store.open(bench.store.path) as store, Workbench(store, "nowhere-at-all") as lost:
        assert statements(asked(lost, "lost", "stats 5"))
        failed = asked(lost, "lost", "find some text")
        assert isinstance(failed[-1], Stopped) and failed[-1].reason.count("\n") == 0
