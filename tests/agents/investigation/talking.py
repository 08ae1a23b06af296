"""Scripted models for conversations: a list of replies, one for each call, and what a conversation yields as a list.

script = Script(asks(("feature_stats", {"feature": "0"})), answers(("It fires on 3 tokens.", "E1")))
async with talking(store, script) as (somebody, server):
    events = await all_of(somebody.ask("main", "What is feature 0?"))
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from dragoman.agents.investigation.events import Answer, Event
from dragoman.agents.investigation.protocol import Converser
from dragoman.agents.investigator import opened
from tests.evals.gateway.server import Failure, Said, ScriptedServer

Body = dict[str, Any]
Reply = Said | Failure | str
Part = Reply | Callable[[Body], Reply]


class Script:
    """A model that says one thing after the other; `bodies` are what it was asked. After the last it fails the test."""

    def __init__(self, *parts: Part) -> None:
        self.parts = list(parts)
        self.bodies: list[Body] = []

    def __call__(self, body: Body) -> Reply:
        self.bodies.append(body)
        part = self.parts[len(self.bodies) - 1]
        return part if isinstance(part, Said | Failure | str) else part(body)


def asks(*calls: tuple[str, Any], text: str = "") -> Said:
    """Asks for tools; arguments may be text that is no JSON."""
    return Said(text, tools=[(name, given if isinstance(given, str) else json.dumps(given)) for name, given in calls])


def answers(*statements: tuple[str, ...]) -> Said:
    """Answers: texts, each with what it cites."""
    said = [{"text": text, "cites": list(cites)} for text, *cites in statements]
    return asks(("answer", {"statements": said}))


@asynccontextmanager
async def talking(
    store: Path, script: Script, streams: bool = False, **given: Any
) -> AsyncIterator[tuple[Converser, ScriptedServer]]:
    """An investigator over a store with a scripted model behind real HTTP, which may stream."""
    with ScriptedServer(script, context=200_000, caching=False, streams=streams) as server:
        async with opened(store, f"vllm:{server.url}", patience=1.0, **given) as somebody:
            yield somebody, server


async def all_of(stream: AsyncIterator[Event]) -> list[Event]:
    """Everything that comes."""
    return [event async for event in stream]


async def answer_of(stream: AsyncIterator[Event]) -> Answer:
    """The answer at the end."""
    last = (await all_of(stream))[-1]
    assert isinstance(last, Answer), last
    return last


def results(body: Body) -> list[str]:
    """What a model was told in the place of tools' results."""
    return [message["content"] for message in body["messages"] if message["role"] == "tool"]
