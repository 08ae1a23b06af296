"""The chat: what streams, what is asked back, what is stopped, and what others wrote."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from dragoman.agents.investigation.events import Answer, Called, Event, Returned, Said, Statement
from dragoman.store.errors import UserError
from dragoman.web.app import application
from dragoman.web.chatting import grouped, parts
from dragoman.web.conversing import LONGEST, Talk
from tests.support.talker import Talker, script

from .conftest import ATTACK, HOME


@pytest.fixture(scope="module")
def talker() -> Talker:
    return Talker(script(ATTACK, pause=0.01))


@pytest.fixture(scope="module")
def chatter(store: Path, talker: Talker) -> Iterator[TestClient]:
    app = application(store, model="scripted", converser=talker.opened)
    with TestClient(app, base_url=HOME, headers={"origin": HOME, "accept": "text/plain"}) as client:
        yield client


def heard(client: TestClient, thread: str) -> list[tuple[str, object]]:
    """All that streams until the work is over."""
    text = client.get(f"/chat/events?thread={thread}").text
    return [(kind, json.loads(data)) for kind, data in re.findall(r"event: (\w+)\ndata: (.*)\n\n", text)]


def test_an_answer_streams_and_its_claims_are_marked(chatter: TestClient) -> None:
    assert chatter.post("/chat/say", data={"thread": "one", "text": "What is it?"}).text == "/chat?thread=one"
    events = heard(chatter, "one")
    assert [kind for kind, _ in events] == ["said", "said", "add", "add", "said", "said", "over"]
    assert not any(
        "<script" in json.dumps(data) or "\u202e" in json.dumps(data, ensure_ascii=False) for k, data in events if k == "add"
    )
    page = chatter.get("/chat?thread=one", headers={"accept": "text/html"}).text
    assert "<script>" not in page and "<img src=x" not in page and "\u202e" not in page and "\x1b" not in page
    assert 'class="cite" href="#step-row1"' in page and 'id="step-row1"' in page, "a citation leads to its step"
    assert 'href="/labels/l/1"' in page
    assert page.count("statement conjecture") == 1 and "Conjecture: it cites nothing" in page
    assert "It fires on it." not in page, "the streamed text has become the answer"
    again = heard(chatter, "one")
    assert [kind for kind, _ in again] == [kind for kind, _ in events], "whoever comes late sees it all"
    late = chatter.get("/chat/events?thread=one", headers={"last-event-id": "4"}).text
    assert late.count("event: said") == 1, "a connection that was lost goes on where it was"


def test_something_expensive_is_asked_about_and_answered(chatter: TestClient) -> None:
    chatter.post("/chat/say", data={"thread": "two", "text": "Do something expensive"})
    heard(chatter, "two")
    log = chatter.get("/chat/log?thread=two").text
    assert "about 40,000 tokens" in log and 'name="reply" value="yes"' in log and "&lt;script&gt;" in log
    chatter.post("/chat/resume", data={"thread": "two", "reply": "yes"})
    heard(chatter, "two")
    log = chatter.get("/chat/log?thread=two").text
    assert 'name="reply"' not in log and '<p class="said">yes</p>' in log and "statement conjecture" in log


def test_work_is_stopped_and_goes_on(chatter: TestClient, talker: Talker) -> None:
    chatter.post("/chat/say", data={"thread": "three", "text": "something endless"})
    page = chatter.get("/chat?thread=three").text
    assert 'data-busy="yes"' in page and "http-equiv" in page, "without a script the page loads itself again"
    assert "<h1>something endless</h1>" in page, "a thread that is at its first question is called by it"
    second = chatter.post("/chat/say", data={"thread": "three", "text": "another tab"})
    assert second.status_code == 400 and "another tab" in second.text and "<" not in second.text
    assert chatter.post("/chat/delete", data={"thread": "three"}).status_code == 400
    chatter.post("/chat/stop", data={"thread": "three"})
    assert talker.stopped == ["three"]
    log = chatter.get("/chat/log?thread=three").text
    assert "Go on" in log and "I begin" in log and 'data-busy=""' in log
    chatter.post("/chat/resume", data={"thread": "three"})
    heard(chatter, "three")
    assert "statement" in chatter.get("/chat/log?thread=three").text


def test_refusals_and_mistakes_are_one_sentence(chatter: TestClient) -> None:
    chatter.post("/chat/say", data={"thread": "four", "text": "be refused"})
    assert [kind for kind, _ in heard(chatter, "four")] == ["over"]
    log = chatter.get("/chat/log?thread=four").text
    assert log.count("The model would not") == 1 and "&lt;script&gt;" in log
    chatter.post("/chat/say", data={"thread": "four", "text": "be broken"})
    heard(chatter, "four")
    log = chatter.get("/chat/log?thread=four").text
    assert "KeyError" in log and "Traceback" not in log
    assert chatter.post("/chat/say", data={"thread": "four", "text": "  "}).status_code == 400
    assert chatter.post("/chat/say", data={"thread": "four", "text": "x" * 20_001}).status_code == 400


def test_threads_are_listed_and_deleted(chatter: TestClient) -> None:
    own = {"accept": "text/html"}
    made = chatter.post("/chat/say", data={"text": f"{ATTACK} & ?"}, headers=own, follow_redirects=False)
    assert made.status_code == 303
    thread = made.headers["location"].partition("=")[2]
    heard(chatter, thread)
    listed = chatter.get("/chat", headers=own).text
    assert f"thread={thread}" in listed and "<script>" not in listed
    chatter.post("/chat/delete", data={"thread": thread}, headers=own)
    assert f"thread={thread}" not in chatter.get("/chat", headers=own).text
    assert chatter.post("/chat/delete", data={"thread": thread}).status_code == 400


def test_somebody_who_cannot_be_opened_is_tried_again(store: Path) -> None:
    tries = 0

    @asynccontextmanager
    async def opening() -> AsyncIterator[Talker]:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise UserError("There is no key: set one.")
        yield Talker(script())

    with TestClient(application(store, converser=opening), base_url=HOME) as client:
        first = client.get("/chat")
        assert first.status_code == 400 and "There is no key: set one." in first.text
        assert client.get("/chat").status_code == 200 and client.get("/chat").status_code == 200
        assert tries == 2


def test_a_megabyte_of_words_is_cut(chatter: TestClient) -> None:
    shown = parts(
        [Called("E1", "t", {"a": "x" * 1_000_000}), Returned("E1", "t", "y" * 1_000_000), Answer((Statement("z" * 1_000_000),))]
    )
    assert [kind for kind, _ in shown] == ["step", "answer"]
    site = chatter.app.state.site  # type: ignore[attr-defined]
    page = site.pages.html("chat_step.html.j2", step=shown[0][1])
    assert len(page) < 30_000 and "more characters" in page


def test_many_steps_are_one_line() -> None:
    few = parts([Called(f"E{n}", "t", {}) for n in range(3)])
    many = parts([Said("x"), *(Called(f"E{n}", "t", {}) for n in range(4)), Answer((Statement("y"),))])
    assert [kind for kind, _ in grouped(few)] == ["step"] * 3
    assert [kind for kind, _ in grouped(many)] == ["said", "steps", "answer"] and len(grouped(many)[1][1]) == 4


def test_what_a_broken_connection_said_is_void() -> None:
    assert parts([Said("It fi"), Said("It fires", anew=True), Said(" here")]) == [("said", "It fires here")]


def test_streams_keep_a_bounded_text() -> None:
    async def flood() -> AsyncIterator[Event]:
        for _ in range(30):
            yield Said("x" * 10_000)

    talk = Talk("t", None, 0)
    asyncio.run(talk.work(flood()))
    assert talk.over and sum(len(one.text) for one in talk.events if isinstance(one, Said)) <= LONGEST
