"""The investigator as a graph whose state is a list of chat messages, as LangGraph's chat interfaces expect it.

What was said before is the store's own thread, not the messages: it goes on in the terminal and on the web pages as well.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import asdict
from typing import Annotated, Any, cast
from uuid import uuid4

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

from dragoman.store.errors import UserError

from .events import Answer, Called, Event, Question, Returned, Statement, Stopped
from .protocol import Converser


class Messages(TypedDict):
    """State of the graph."""

    messages: Annotated[list[AnyMessage], add_messages]
    """What was said, with the tools that were called. The last one, by a person, is what is asked."""


class Chat:
    """One person who asks, and somebody who answers with experiments.

    Every event is written to the stream (mode `custom`) as it comes, as `dragoman chat --json` writes it. A question back, before
    something expensive, is an answer too: the next message is the reply to it.
    """

    def __init__(self, converser: Converser) -> None:
        self._converser = converser

    def graph(self, around: Callable[[Any], Any] = lambda node: node) -> StateGraph[Messages]:
        """The graph, not yet compiled. around: what each node is wrapped in."""
        graph = StateGraph(Messages)
        graph.add_node("investigate", around(self.investigate))
        graph.add_edge(START, "investigate")
        graph.add_edge("investigate", END)
        return graph

    async def investigate(self, state: Messages, config: RunnableConfig) -> Messages:
        """Answer the last message, in the store's thread of the same name as the server's."""
        asked = state["messages"][-1] if state["messages"] else None
        if asked is None or asked.type != "human":
            raise UserError('Say something: the input is {"messages": [{"role": "user", "content": "…"}]}.')
        thread = str(config.get("configurable", {}).get("thread_id") or uuid4())
        tell = get_stream_writer()
        said: list[AnyMessage] = []
        async with aclosing(cast(Any, self._converser.ask(thread, str(asked.text)))) as events:
            async for event in cast(AsyncIterator[Event], events):
                tell({"event": type(event).__name__.lower(), **asdict(event)})
                said += _messages(event)
        return {"messages": said}


def _messages(event: Event) -> list[AnyMessage]:
    match event:
        case Called(call, tool, arguments):
            return [AIMessage("", tool_calls=[{"name": tool, "args": json.loads(json.dumps(arguments)), "id": call}])]
        case Returned(call, tool, text, failed):
            return [ToolMessage(text, tool_call_id=call, name=tool, status="error" if failed else "success")]
        case Answer(statements):
            return [AIMessage("\n\n".join(map(_written, statements)))]
        case Question(text):
            return [AIMessage(text)]
        case Stopped(reason):
            return [AIMessage(reason)]
    return []


def _written(statement: Statement) -> str:
    """A statement with what it cites, or marked as conjecture."""
    cited = "".join(f" [{one.name or one.id[:8]}]" for one in statement.citations)
    if not statement.conjecture:
        return statement.text + cited
    return f"Conjecture{f' ({statement.because})' if statement.because else ''}: {statement.text}{cited}"
