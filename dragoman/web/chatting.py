"""The chat: threads, questions and answers, the steps between them, and the question back before something expensive."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from dragoman.agents.investigation.events import Answer, Called, Citation, Event, Question, Returned, Said
from dragoman.agents.investigation.protocol import Turn
from dragoman.store.errors import UserError

from .conversing import Talk, Talks
from .forms import form, number
from .harmless import harmless
from .progress import event
from .site import Site, site_of

MANY = 4
"""Steps in a row that are shown as one line."""
LONGEST = 20_000
"""Characters of what is said."""


class Step(NamedTuple):
    """A tool call."""

    call: str
    """Which."""
    tool: str
    """The tool."""
    arguments: str
    """Its arguments, as JSON."""
    brief: str
    """The same on one line."""
    text: str
    """What came back."""
    state: str
    """running, failed or done."""
    row: str
    """Id of the stored step; empty where there is none."""


class Shown(NamedTuple):
    """A turn, ready for the page."""

    role: str
    """user or assistant."""
    text: str
    """What the user said."""
    parts: Sequence[tuple[str, Any]]
    """What the assistant did: said with text, step with a Step, steps with many, answer with statements, question, stopped."""


async def page(request: Request) -> Response:
    """All threads, or one."""
    site, talks = site_of(request), talks_of(request)
    thread = request.query_params.get("thread", "")
    converser = await talks.converser()
    if not thread:
        return site.pages.page(request, "threads.html.j2", threads=converser.threads(), model=request.app.state.model)
    return site.pages.page(request, "chat.html.j2", **await _facts(talks, thread), model=request.app.state.model)


async def log(request: Request) -> Response:
    """What was said in a thread, as a piece of its page."""
    site, thread = site_of(request), request.query_params.get("thread", "")
    return HTMLResponse(site.pages.html("chat_log.html.j2", **await _facts(talks_of(request), thread)))


async def events(request: Request) -> Response:
    """What comes in a thread that is at work, from the beginning of that work on, or from where a connection was lost."""
    site, talk = site_of(request), talks_of(request).talk(request.query_params.get("thread", ""))
    after = number({"after": request.headers.get("last-event-id", "")}, "after", -1, -1) + 1
    return StreamingResponse(_stream(site, talk, after), media_type="text/event-stream", headers={"cache-control": "no-store"})


async def say(request: Request) -> Response:
    """The user speaks: in a thread, or in a new one."""
    given = await form(request)
    text, thread = given.get("text", "").strip(), given.get("thread", "") or f"web-{secrets.token_hex(4)}"
    if not text:
        raise UserError("Say something first.")
    if len(text) > LONGEST:
        raise UserError(f"That is too long: say it in {LONGEST:,} characters.")
    await talks_of(request).say(thread, text)
    return _done(request, thread)


async def resume(request: Request) -> Response:
    """The user answers a question, or lets a thread go on."""
    given = await form(request)
    thread, reply = given.get("thread", ""), given.get("reply", "").strip()[:LONGEST]
    await talks_of(request).resume(thread, reply or None)
    return _done(request, thread)


async def stop(request: Request) -> Response:
    """The user has heard enough."""
    thread = (await form(request)).get("thread", "")
    await talks_of(request).stop(thread)
    return _done(request, thread)


async def delete(request: Request) -> Response:
    """A thread is removed."""
    await talks_of(request).delete((await form(request)).get("thread", ""))
    return RedirectResponse("/chat", 303)


def talks_of(request: Request) -> Talks:
    """The conversations of a server."""
    talks: Talks = request.app.state.talks
    return talks


def shown(turns: Sequence[Turn]) -> list[Shown]:
    """Turns for the page: a call and what came back are one step, and streamed text that became the answer is left out."""
    return [
        Shown(turn.role, turn.text, ()) if turn.role == "user" else Shown(turn.role, "", grouped(parts(turn.events, turn.text)))
        for turn in turns
    ]


def grouped(found: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Many steps in a row as one part, so that they do not stand between question and answer."""
    made: list[tuple[str, Any]] = []
    for kind, group in groupby(found, lambda part: part[0]):
        here = list(group)
        made += [("steps", [step for _, step in here])] if kind == "step" and len(here) >= MANY else here
    return made


def parts(events: Sequence[Event], text: str = "") -> list[tuple[str, Any]]:
    """What an assistant did. text: what is shown where no events are known."""
    found: list[tuple[str, Any]] = []
    places: dict[str, int] = {}
    for one in events:
        if isinstance(one, Said):
            if found and found[-1][0] == "said":
                found[-1] = ("said", one.text if one.anew else found[-1][1] + one.text)
            else:
                found.append(("said", one.text))
        elif isinstance(one, Called):
            places[one.call] = len(found)
            found.append(("step", _called(one)))
        elif isinstance(one, Returned):
            at = places.get(one.call)
            before = found[at][1] if at is not None else _called(Called(one.call, one.tool, {}))
            step = before._replace(text=_unfenced(one.text), state="failed" if one.failed else "done", row=one.row or "")
            if at is None:
                found.append(("step", step))
            else:
                found[at] = ("step", step)
        elif isinstance(one, Question):
            found.append(("question", one))
        elif isinstance(one, Answer):
            if found and found[-1][0] == "said":
                found.pop()
            found.append(("answer", one.statements))
        else:
            found.append(("stopped", one.reason))
    return found or ([("said", text)] if text else [])


async def _facts(talks: Talks, thread: str) -> dict[str, Any]:
    converser = await talks.converser()
    turns, talk = list(converser.history(thread)), talks.talk(thread)
    known = next((one for one in converser.threads() if one.thread == thread), None)
    busy = talk is not None and not talk.over
    if talk is not None and busy:
        turns = turns[: talk.before] + ([Turn("user", talk.said)] if talk.said is not None else [])
    rows = {one.row for turn in turns for one in turn.events if isinstance(one, Returned) and one.row}
    told = shown(turns)
    last = told[-1].parts[-1] if told and told[-1].parts else ("", None)
    waits = last[0] if last[0] in ("question", "stopped") else known.waiting if known is not None else ""
    waiting = "" if busy else waits
    trouble = talk.trouble if talk is not None and not busy else ""
    return {
        "thread": thread,
        "title": (known.title if known is not None else "")
        or next((one.text for one in turns if one.role == "user"), "New thread"),
        "turns": told,
        "busy": busy,
        "waiting": waiting,
        "question": last[1] if waiting == "question" and last[0] == "question" else None,
        "trouble": "" if last[0] == "stopped" and last[1] == trouble else trouble,
        "place": lambda citation: place(citation, rows),
        "query": urlencode({"thread": thread}),
    }


def place(citation: Citation, rows: set[str]) -> str:
    """Where the row that a citation names is shown. rows: the steps that are on this page."""
    if citation.kind == "step" and citation.id in rows:
        return f"#step-{citation.id}"
    return f"/{citation.kind}s/{citation.id}"


async def _stream(site: Site, talk: Talk | None, after: int) -> AsyncIterator[str]:
    """Server-sent events: said with text, add and put with a piece of the page, over at the end."""
    steps: dict[str, Called] = {}
    if talk is not None:
        steps = {one.call: one for one in talk.events[:after] if isinstance(one, Called)}
        async for found in talk.follow(after):
            if found is None:
                yield ": still here\n\n"
                continue
            at, one = found
            if isinstance(one, Said):
                yield f"id: {at}\n" + event("said", {"text": harmless(one.text), "anew": one.anew})
            elif isinstance(one, Called):
                steps[one.call] = one
                yield f"id: {at}\n" + event("add", {"call": one.call, "html": _piece(site, [one])})
            elif isinstance(one, Returned):
                called = [steps[one.call]] if one.call in steps else []
                yield f"id: {at}\n" + event("add", {"call": one.call, "html": _piece(site, [*called, one])})
    yield event("over", "")


def _piece(site: Site, events: Sequence[Event]) -> str:
    ((_, step),) = parts(events)
    return site.pages.html("chat_step.html.j2", step=step)


def _called(one: Called) -> Step:
    arguments: Mapping[str, Any] = one.arguments
    text = json.dumps(dict(arguments), ensure_ascii=False, indent=1, default=str)
    brief = ", ".join(f"{name} {json.dumps(value, ensure_ascii=False, default=str)}" for name, value in arguments.items())
    return Step(one.call, one.tool, text, brief, "", "running", "")


def _unfenced(text: str) -> str:
    """What came back without the fences that keep a model from taking a corpus for orders."""
    return text.replace("<text>", "\u201c").replace("</text>", "\u201d")


def _done(request: Request, thread: str) -> Response:
    """Our script is told the thread's address; without it a browser goes there."""
    address = f"/chat?{urlencode({'thread': thread})}"
    if "text/html" not in request.headers.get("accept", "text/html"):
        return PlainTextResponse(address)
    return RedirectResponse(address, 303)


ROUTES = [
    Route("/chat", page),
    Route("/chat/log", log),
    Route("/chat/events", events),
    Route("/chat/say", say, methods=["POST"]),
    Route("/chat/resume", resume, methods=["POST"]),
    Route("/chat/stop", stop, methods=["POST"]),
    Route("/chat/delete", delete, methods=["POST"]),
]
MENU = [("Chat", "/chat")]
