"""The user is asked before something expensive, and the thread waits, also over the end of a process."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from dragoman.agents.investigation.costs import ASK_OVER, cost, must_ask
from dragoman.agents.investigation.events import Answer, Called, Question, Returned
from dragoman.store.chats import Chats
from dragoman.store.manifest import LEDGER
from dragoman.tools.toolbox import Desk, Toolbox

from .talking import Script, all_of, answers, asks, results, talking

SEARCH = ("search_inputs", {"feature": "0", "length": 3, "effort": 60, "n": 2})
LONG = "The robin sang in the park. " * 150


@pytest.fixture(scope="module")
def store(harvested: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a model, and a ledger for the conversations of this file."""
    target = tmp_path_factory.mktemp("questions") / "store"
    target.mkdir()
    for name in ("features.duckdb", "manifest.json"):
        shutil.copy(harvested / name, target / name)
    return target


def test_a_question_waits_for_yes_no_or_words(store: Path) -> None:
    script = Script(
        asks(SEARCH),
        answers(("It was not run.",)),
        asks(SEARCH),
        answers(("Nor then.",)),
        asks(("feature_stats", {"feature": "0"}), SEARCH),
        answers(("It was run.", "E4")),
    )

    async def talk() -> None:
        async with talking(store, script) as (somebody, _):
            (question,) = await all_of(somebody.ask("asks", "What fires it?"))
            assert isinstance(question, Question) and "search_inputs" in question.text and "180 tokens" in question.cost
            assert somebody.threads()[0].waiting == "question"
            events = await all_of(somebody.resume("asks", "No."))
            assert [type(event) for event in events] == [Called, Returned, Answer]
            (question,) = await all_of(somebody.ask("asks", "Again"))
            assert isinstance((await all_of(somebody.ask("asks", "Only with three texts")))[-1], Answer)
            *_, question = await all_of(somebody.ask("asks", "And again"))
            assert isinstance(question, Question)
        async with talking(store, script) as (somebody, _):
            assert await all_of(somebody.resume("asks")) == [question], "asked again, and nothing is run without a reply"
            called, returned, answer = await all_of(somebody.resume("asks", "yes"))
            assert isinstance(returned, Returned) and not returned.failed and called == Called("E4", *SEARCH)
            assert isinstance(answer, Answer) and not answer.statements[0].conjecture
            with Desk.open(store) as desk:
                assert returned.text == Toolbox(desk, "other").call(*SEARCH).text
            spoken = [(turn.role, turn.text) for turn in somebody.history("asks")][-4:]
            assert [role for role, _ in spoken] == ["user", "assistant", "user", "assistant"] and spoken[2][1] == "yes"

    asyncio.run(talk())
    assert "said no" in results(script.bodies[1])[0] and "replied: Only with three texts" in results(script.bodies[3])[-1]


def test_who_has_replied_is_not_asked_again_after_a_kill(store: Path) -> None:
    script = Script(asks(SEARCH), answers(("It was run.", "E1")))

    async def talk() -> None:
        async with talking(store, script) as (somebody, _):
            assert isinstance((await all_of(somebody.ask("killed", "What fires it?")))[-1], Question)
        with closing(Chats(store / LEDGER)) as chats:  # the reply is on record, and what followed was lost
            chats.add(str(chats.find("killed")), 1, "reply", "1", {"text": "yes", "number": 1})
        async with talking(store, script) as (somebody, _):
            _, returned, answer = await all_of(somebody.resume("killed"))
            assert isinstance(returned, Returned) and not returned.failed and isinstance(answer, Answer)

    asyncio.run(talk())


def test_who_does_not_want_to_be_asked_is_not(store: Path) -> None:
    script = Script(asks(SEARCH), answers(("Done?",)))

    async def talk() -> None:
        async with talking(store, script, ask_over=None) as (somebody, _):
            assert isinstance((await all_of(somebody.ask("free", "What fires it?")))[-1], Answer)

    asyncio.run(talk())


@pytest.mark.parametrize(
    ("tool", "given", "asked"),
    [
        ("search_inputs", {}, True),
        ("steer", {"prompts": ["We went to the"]}, False),
        ("steer", {"prompts": [LONG] * 8}, True),
        ("generate_steered", {"prompts": ["In the park"], "strengths": [2]}, False),
        ("generate_steered", {"prompts": [LONG] * 4, "strengths": [1, 2, 4, 8], "tokens": 60}, True),
        ("ablate", {}, False),
        ("explain_prediction", {"text": "We went to the"}, False),
        ("explain_prediction", {"text": LONG}, True),
        ("activate", {"texts": [LONG] * 4}, False),
        ("steer", {"prompts": 7}, False),
        ("feature_stats", {"feature": "0"}, False),
        ("fly", {}, False),
    ],
)
def test_what_is_expensive_follows_from_the_arguments(tool: str, given: dict[str, object], asked: bool) -> None:
    found = cost(tool, given)
    assert must_ask(tool, found, ASK_OVER) is asked and not must_ask(tool, found, None)
    assert bool(found.words) is (found.tokens > 0)
