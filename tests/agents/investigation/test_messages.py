"""The investigator as a graph of chat messages: every event is on the stream, and the conversation keeps its own checkpoints."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from dragoman.agents.apart import Apart
from dragoman.agents.investigation.messages import Chat
from dragoman.agents.investigator import opened
from dragoman.store.errors import UserError
from tests.evals.gateway.server import ScriptedServer
from tests.support.synthetic import make_store

from .talking import Script, answers, asks

STATS = ("feature_stats", {"feature": "0"})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("messages") / "store"
    make_store(path).close()
    return path


async def said(path: Path, script: Script, words: list[str]) -> tuple[list[dict[str, Any]], list[Any]]:
    """What is on the stream, and the messages at the end, of a thread in which this is said; the model is behind real HTTP."""

    @asynccontextmanager
    async def chat(url: str) -> AsyncIterator[Chat]:
        async with opened(path, f"vllm:{url}", patience=1.0) as somebody:
            yield Chat(somebody)

    events: list[dict[str, Any]] = []
    nobody: Any = None
    with ScriptedServer(script, context=200_000, caching=False) as server:
        async with Apart(chat(server.url)) as apart:
            graph = Chat(nobody).graph(apart.node).compile(checkpointer=InMemorySaver())
            config: Any = {"configurable": {"thread_id": "the server's"}}
            for text in words:
                asked: Any = {"messages": [{"role": "user", "content": text}]}
                events += [event async for event in graph.astream(asked, config, stream_mode="custom")]
            state = await graph.aget_state(config)
            return events, state.values["messages"]


def test_a_conversation_goes_on_in_the_stores_thread(store: Path) -> None:
    script = Script(asks(STATS, text="I look."), answers(("Perhaps on parks.",)), answers(("It fires somewhere.", "E1")))
    events, messages = asyncio.run(said(store, script, ["What is feature 0?", "Sure?"]))
    assert "".join(event["text"] for event in events if event["event"] == "said") == "I look.Perhaps on parks.It fires somewhere."
    assert [event["event"] for event in events if event["event"] != "said"] == ["called", "returned", "answer", "answer"]
    assert [message.type for message in messages] == ["human", "ai", "tool", "ai", "human", "ai"]
    (call,) = messages[1].tool_calls
    assert (call["name"], call["args"], call["id"]) == (*STATS, "E1") and messages[2].tool_call_id == "E1"
    assert (
        messages[3].text == "Conjecture (it cites nothing): Perhaps on parks." and messages[5].text == "It fires somewhere. [E1]"
    )
    assert [m["content"] for m in script.bodies[2]["messages"] if m["role"] == "user"] == ["What is feature 0?", "Sure?"]


def test_it_has_to_be_told_something(store: Path) -> None:
    async def ask(messages: list[Any]) -> None:
        nobody: Any = None
        await Chat(nobody).graph().compile().ainvoke({"messages": messages})

    for messages in ([], [{"role": "assistant", "content": "I wait."}]):
        with pytest.raises(UserError, match="Say something"):
            asyncio.run(ask(messages))
