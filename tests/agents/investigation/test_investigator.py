"""Conversations with scripted models behind real HTTP, over a store without a model."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from dragoman.agents.investigation.events import Answer, Called, Citation, Event, Returned, Said, Statement, Stopped
from dragoman.agents.investigation.prompting import NOT_RUN
from dragoman.agents.investigation.threads import AT_WORK
from dragoman.agents.investigator import opened
from dragoman.evals.gateway.budget import Budget
from dragoman.store.chats import Chats
from dragoman.store.errors import UserError
from dragoman.store.ledger import Ledger
from dragoman.store.manifest import LEDGER
from dragoman.tools.toolbox import Desk, Toolbox
from tests.evals.gateway.server import DROPPED, ScriptedServer
from tests.evals.gateway.server import Said as Scripted
from tests.support.synthetic import make_store

from .talking import Body, Script, all_of, answer_of, answers, asks, results, talking

ROOT = Path(__file__).parents[3]
STATS = ("feature_stats", {"feature": "0"})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all conversations of this file; each has a thread of its own."""
    path = tmp_path_factory.mktemp("talking") / "store"
    make_store(path).close()
    return path


def rows(path: Path, query: str, file: str = LEDGER) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path / file, timeout=60)) as connection:
        return connection.execute(query).fetchall()


def test_an_answer_cites_tool_calls_that_are_stored(store: Path) -> None:
    script = Script(asks(STATS, text="I look."), answers(("It fires above 1.", "E1"), ("Perhaps on parks.",)))
    with Desk.open(store) as desk:
        expected = Toolbox(desk, "other").call(*STATS)
    threshold = expected.data["threshold"]
    script.parts[1] = answers((f"It fires above {threshold:.3g}.", "E1"), ("Perhaps on parks.",))

    async def talk() -> None:
        async with talking(store, script) as (somebody, _):
            events = await all_of(somebody.ask("cites", "What is feature 0?"))
            said, called, returned, answer = events
            assert said == Said("I look.") and called == Called("E1", *STATS)
            assert isinstance(returned, Returned) and returned.text == expected.text and not returned.failed
            assert answer == Answer(
                (
                    Statement(f"It fires above {threshold:.3g}.", (Citation("step", str(returned.row), "E1"),), False),
                    Statement("Perhaps on parks.", (), True, "it cites nothing"),
                )
            )
            mine, turn = somebody.history("cites")
            assert (mine.role, mine.text) == ("user", "What is feature 0?")
            assert turn.events == tuple(events) and turn.text == answer.text
        chats = Chats(store / LEDGER)
        step = chats.step(str(returned.row))
        chats.close()
        assert step is not None and step.data == json.loads(json.dumps(expected.data)) and step.tool == "feature_stats"

    asyncio.run(talk())
    assert results(script.bodies[1]) == [f"E1\n{expected.text}"]
    assert {tool["function"]["name"] for tool in script.bodies[0]["tools"]} >= {"answer", "save_finding", "query_store"}


def test_wrong_calls_and_wrong_answers_go_back_to_the_model(store: Path) -> None:
    script = Script(
        asks(
            ("feature_stats", {"feature": "0", "split": "test"}),
            ("fly", {}),
            ("activate", {"texts": ["a"], "feature": "0"}),
            ("top_examples", "{b"),
        ),
        asks(("answer", '{"statements": "It is so.'), text=""),
        asks(STATS, ("answer", {"statements": [{"text": "Too soon.", "cites": []}]})),
        answers(("It is so.", "E7"), ("It cannot.", "E1")),
        answers(("It is so.", "E5"), ("It cannot.", "E1")),
    )

    async def talk() -> Answer:
        async with talking(store, script) as (somebody, _):
            events = await all_of(somebody.ask("wrong", "What is feature 0?"))
            assert [event.failed for event in events if isinstance(event, Returned)] == [True] * 4 + [False]
            assert isinstance(events[-1], Answer)
            return events[-1]

    answer = asyncio.run(talk())
    assert [(one.conjecture, one.because) for one in answer.statements] == [(False, ""), (True, "E1 was not run")]
    told = results(script.bodies[-1])
    for text, words in zip(
        told,
        (
            "there is no argument",
            "There is no tool",
            "was not found: say with --model",
            "no JSON object",
            "Not shown.",
            "E5\n",
            "by itself",
            "no E7",
        ),
        strict=True,
    ):
        assert words in text, (words, text)
    assert "{b" not in json.dumps(script.bodies[-1]["messages"]), "broken arguments are not sent again"


def test_of_very_many_calls_at_once_the_first_are_made(store: Path) -> None:
    script = Script(asks(*[STATS] * 25), answers(("It fires.", "E20"), ("It fires.", "E21")), answers(("It fires.", "E20")))

    async def talk() -> list[Event]:
        async with talking(store, script) as (somebody, _):
            return await all_of(somebody.ask("many", "What?"))

    assert len([event for event in asyncio.run(talk()) if isinstance(event, Returned)]) == 20
    assert [text == NOT_RUN for text in results(script.bodies[1])] == [False] * 20 + [True] * 5


def test_plain_text_is_an_answer_too(store: Path) -> None:
    script = Script(asks(STATS), "It fires. [E1] It fires on 99999 tokens [E1].", "It fires [E1].")

    async def talk() -> Answer:
        async with talking(store, script) as (somebody, _):
            return await answer_of(somebody.ask("plain", "What?"))

    assert [(one.text, one.conjecture) for one in asyncio.run(talk()).statements] == [("It fires.", False)]
    assert script.bodies[-1]["messages"][-1]["role"] == "user"
    assert "99999 does not occur in E1" in script.bodies[-1]["messages"][-1]["content"]


def test_an_answer_is_heard_while_it_is_written(store: Path) -> None:
    """Its statements in pieces, void when the connection breaks off, and once more when the model is given it back."""
    said = answers(("It fires on the word.", "E9"), ("A second one.",))
    script = Script(
        asks(STATS, text="I look at it."), replace(said, pieces=7), said, replace(answers(("It fires.", "E1")), every=0.01)
    )

    async def talk() -> list[Event]:
        async with talking(store, script, streams=True) as (somebody, _):
            return await all_of(somebody.ask("aloud", "What?"))

    events = asyncio.run(talk())
    heard = "".join("|" if event.anew else event.text for event in events if isinstance(event, Said))
    first, again, last, *none = heard.removeprefix("I look at it.").split("|")
    assert none == [] and again == "It fires on the word.\n\nA second one." and last == "It fires."
    assert again.startswith(first) and first != again
    assert [type(event) for event in events if not isinstance(event, Said)] == [Called, Returned, Answer]
    assert len([event for event in events if isinstance(event, Said)]) > 12


def test_a_refusal_and_a_spent_budget_stop_with_one_sentence(store: Path) -> None:
    async def talk() -> None:
        script = Script(Scripted("No.", finish="content_filter"), answers(("Well?",)))
        async with talking(store, script) as (somebody, _):
            assert await all_of(somebody.ask("refused", "Say it")) == [Stopped("The model refused to answer.")]
            assert somebody.threads()[0].waiting == "stopped"
            assert (await answer_of(somebody.ask("refused", "Say something else"))).text == "Well?"
            assert [turn.text for turn in somebody.history("refused")][1:3] == [
                "The model refused to answer.",
                "Say something else",
            ]
        async with talking(store, Script(asks(STATS)), budget=Budget(tokens=9_000)) as (somebody, _):
            last = (await all_of(somebody.ask("poor", "What?")))[-1]
            assert isinstance(last, Stopped) and "budget" in last.reason, last

    asyncio.run(talk())


def test_a_dropped_connection_stops_and_the_thread_goes_on(store: Path) -> None:
    script = Script(asks(STATS), answers(("It fires.", "E1")))

    async def talk() -> None:
        async with talking(store, script) as (somebody, server):
            stream = somebody.ask("dropped", "What?")
            seen = [await anext(stream), await anext(stream)]
            server.fail(DROPPED, 8)
            seen += await all_of(stream)
            assert isinstance(seen[-1], Stopped) and "dropped" in seen[-1].reason and isinstance(seen[1], Returned), seen
            assert [type(event) for event in await all_of(somebody.resume("dropped"))] == [Answer]
            assert await all_of(somebody.resume("dropped")) == [Stopped("This thread waits for nothing: ask something.")]

    asyncio.run(talk())
    assert len(script.bodies) == 2, "the first call was not made again"


def test_who_stops_reading_can_go_on_later(store: Path) -> None:
    script = Script(asks(STATS, STATS), answers(("It fires.", "E1", "E2")))

    async def talk() -> None:
        async with talking(store, script) as (somebody, _):
            stream = somebody.ask("left", "What?")
            async for event in stream:
                if isinstance(event, Returned):
                    break
            await stream.aclose()  # type: ignore[attr-defined]
            assert somebody.threads()[0].waiting == "stopped"
        async with talking(store, script) as (somebody, _):
            later = await all_of(somebody.resume("left"))
            assert isinstance(later[-1], Answer) and not later[-1].statements[0].conjecture

    asyncio.run(talk())
    assert len(script.bodies) == 2


@pytest.mark.slow
def test_a_thread_goes_on_after_kill_9(store: Path) -> None:
    """The process is killed while it waits for the second reply: the first call and the tool are not run again."""
    killed: list[int] = []

    def kill(body: Body) -> Scripted:
        if not killed:
            killed.append(process.pid)
            os.kill(process.pid, signal.SIGKILL)
        return answers(("It fires.", "E1"))

    script = Script(asks(STATS), kill, kill)
    with ScriptedServer(script, context=200_000, caching=False) as server:
        code = (
            "import asyncio, sys, pathlib\n"
            "from dragoman.agents.investigator import opened\n"
            "async def talk():\n"
            "    async with opened(pathlib.Path(sys.argv[1]), sys.argv[2]) as somebody:\n"
            "        async for event in somebody.ask('killed', 'What?'): pass\n"
            "asyncio.run(talk())\n"
        )
        command = [sys.executable, "-c", code, str(store), f"vllm:{server.url}"]
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
        assert process.wait(timeout=300) == -signal.SIGKILL

        async def go_on() -> None:
            async with opened(store, f"vllm:{server.url}") as somebody:
                assert next(one for one in somebody.threads() if one.thread == "killed").waiting == "stopped"
                events = await all_of(somebody.resume("killed"))
                assert isinstance(events[-1], Answer) and not events[-1].statements[0].conjecture
                assert [turn.role for turn in somebody.history("killed")] == ["user", "assistant"]

        asyncio.run(go_on())
    assert len(script.bodies) == 3 and script.bodies[1]["messages"] == script.bodies[2]["messages"]
    thread = "(SELECT id FROM chat_thread WHERE name = 'killed')"
    assert rows(store, f"SELECT count(*) FROM chat_step WHERE thread = {thread}") == [(1,)]
    counted = f"SELECT step, status FROM model_call WHERE run = {thread} ORDER BY rowid"
    assert rows(store, counted) == [("chat/1/0", "settled"), ("chat/1/1", "reserved"), ("chat/1/1", "settled")]


def test_two_tabs_on_one_thread_do_not_mix(store: Path) -> None:
    script = Script(asks(STATS), answers(("It fires.", "E1")), answers(("Again?",)))

    async def talk() -> None:
        async with talking(store, script) as (one, server), opened(store, f"vllm:{server.url}") as other:
            stream = one.ask("tabs", "What?")
            first = await anext(stream)
            for tab in (one, other):
                assert await all_of(tab.ask("tabs", "And?")) == [Stopped(AT_WORK)]
                assert await all_of(tab.resume("tabs")) == [Stopped(AT_WORK)]
                with pytest.raises(UserError, match="at work"):
                    tab.delete("tabs")
                assert tab.threads()[0].waiting == ""
            assert isinstance(first, Called) and isinstance((await all_of(stream))[-1], Answer)
            assert (await answer_of(other.ask("tabs", "And?"))).text == "Again?"
            assert [turn.text for turn in one.history("tabs")] == ["What?", "It fires.", "And?", "Again?"]

    asyncio.run(talk())


@pytest.mark.slow
def test_a_labeling_run_of_another_process_does_not_lock_the_ledger(store: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from dragoman.store.ledger import Ledger, label_id\n"
        "from dragoman.store.records import Label\n"
        "ledger, n = Ledger(pathlib.Path(sys.argv[1])), 0\n"
        "print('on', flush=True)\n"
        "while n < 200 or not pathlib.Path(sys.argv[2]).exists():\n"
        "    one = Label(id=label_id('busy', 1, n), feature=1, run='busy', name='n', description='d', agent='a')\n"
        "    ledger.record(labels=[one])\n"
        "    n += 1\n"
        "print(n)\n"
    )
    script = Script(*[asks(STATS) for _ in range(10)], answers(("It fires.", "E10")))
    ended = store / "ended"
    command = [sys.executable, "-c", code, str(store / LEDGER), str(ended)]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "on\n"

        async def talk() -> Answer:
            async with talking(store, script) as (somebody, _):
                return await answer_of(somebody.ask("beside", "What?"))

        try:
            answer = asyncio.run(talk())
        finally:
            ended.touch()
        written = int(other.stdout.readline())
    assert not answer.statements[0].conjecture and other.returncode == 0
    ledger = Ledger(store / LEDGER)
    assert len(ledger.labels(run="busy")) == written
    ledger.close()


def test_a_deleted_thread_leaves_nothing_but_what_findings_cite(store: Path) -> None:
    script = Script(
        asks(STATS, ("record_note", {"text": "odd"}), ("top_examples", {"feature": "0"})),
        asks(
            ("save_finding", {"text": "It fires.", "cites": ["E1"], "features": ["0"]}),
            ("save_finding", {"text": "No.", "cites": []}),
        ),
        answers(("It fires.", "E1")),
        answers(("A new one?",)),
    )

    async def talk() -> None:
        async with talking(store, script) as (somebody, _):
            events = await all_of(somebody.ask("gone", "What?"))
            *_, kept, refused, _ = [event for event in events if isinstance(event, Returned | Answer)]
            assert isinstance(kept, Returned) and isinstance(refused, Returned)
            assert "Kept as finding" in kept.text and refused.failed and "cites none" in refused.text
            ((id,),) = rows(store, "SELECT id FROM chat_thread WHERE name = 'gone'")
            somebody.delete("gone")
            for table, column in (("chat_entry", "thread"), ("model_call", "run"), ("note", "run"), ("chat_thread", "id")):
                assert rows(store, f"SELECT * FROM {table} WHERE {column} = '{id}'") == [], table
            assert rows(store, f"SELECT number, tool FROM chat_step WHERE thread = '{id}'") == [(1, "feature_stats")]
            for table in ("checkpoints", "writes"):
                assert rows(store, f"SELECT * FROM {table} WHERE thread_id LIKE '%{id}%'", "threads.sqlite") == []
            assert somebody.history("gone") == () and "gone" not in [one.thread for one in somebody.threads()]
            with pytest.raises(UserError, match="no thread 'gone'"):
                somebody.delete("gone")
            assert (await answer_of(somebody.ask("gone", "What now?"))).text == "A new one?"
            assert len(script.bodies[-1]["messages"]) == 2, "a thread of the same name begins anew"

    asyncio.run(talk())
    chats = Chats(store / LEDGER)
    (finding,) = chats.findings(0)
    step = chats.step(finding.citations[0])
    chats.close()
    assert (finding.text, finding.conjecture) == ("It fires.", False) and step is not None and step.tool == "feature_stats"


def test_threads_are_listed_the_last_changed_first(store: Path) -> None:
    script = Script(answers(("One?",)), answers(("Two?",)), answers(("Three?",)))

    async def talk() -> None:
        async with talking(store, script) as (somebody, _):
            for thread, text in (("a", "First\nline " + "x" * 100), ("b", "Second"), ("a", "Third")):
                await answer_of(somebody.ask(thread, text))
            a, b = somebody.threads()[:2]
            assert (a.thread, a.turns, b.thread, b.title, a.waiting) == ("a", 2, "b", "Second", "")
            assert a.title.startswith("First line xxx") and len(a.title) == 80
            assert await all_of(somebody.resume("nowhere")) == [
                Stopped("There is no thread 'nowhere': ask something to begin it.")
            ]
            assert [type(event) for event in await all_of(somebody.ask("c", " "))] == [Stopped]
            assert somebody.history("nowhere") == ()

    asyncio.run(talk())
    assert [m["content"] for m in script.bodies[2]["messages"] if m["role"] == "user"][1] == "Third"
    named = "SELECT name, count(*) FROM checkpoints JOIN l.chat_thread ON thread_id = 'chat:' || id GROUP BY name"
    with closing(sqlite3.connect(store / "threads.sqlite")) as connection:
        connection.execute("ATTACH ? AS l", (str(store / LEDGER),))
        kept = dict(connection.execute(named).fetchall())
    assert (kept["a"], kept["b"]) == (1, 1), "a thread that rests keeps its newest checkpoint"
