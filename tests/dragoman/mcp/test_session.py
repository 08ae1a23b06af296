"""A session with the SDK's own client, over both transports and both generations of the protocol, against real processes."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import StructuredTool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from mcp import Client
from mcp.shared.exceptions import MCPError

from dragoman.agents.chat import as_tool
from dragoman.agents.investigation.events import Answer, Returned
from dragoman.store.chats import Chats
from dragoman.store.features import Store
from dragoman.store.manifest import LEDGER
from dragoman.tools.toolbox import LEGEND, Desk, Toolbox
from tests.agents.investigation.talking import Script, all_of, answers, asks, results, talking
from tests.support.mcp_servers import (
    HOSTILE,
    RUN,
    SCORED,
    SECRETS,
    TOKEN,
    Served,
    hostile_feature,
    over_http,
    over_stdio,
    text_of,
)

pytestmark = pytest.mark.slow
WAYS = [("stdio", "legacy"), ("http", "auto"), ("http", "legacy")]


@asynccontextmanager
async def connected(way: tuple[str, str], store: Path, server: Served) -> AsyncIterator[Client]:
    if way[0] == "stdio":
        async with over_stdio(store, way[1]) as client:
            yield client
    else:
        async with over_http(server.url, way[1], TOKEN) as client:
            yield client


def calls(feature: str) -> list[tuple[str, dict[str, Any]]]:
    """One call of most tools; all give the same result each time."""
    text = "The robin sang in the park."
    return [
        ("feature_stats", {"feature": feature}),
        ("top_examples", {"feature": feature, "stratum": "quantile", "n": 5}),
        ("top_examples", {"feature": feature, "stratum": "near_miss", "n": 3, "whole": True}),
        ("example_groups", {"feature": feature}),
        ("activate", {"feature": feature, "texts": [text, "x = 1"]}),
        ("edit_and_compare", {"feature": feature, "text": text, "edits": [{"kind": "delete", "start": 1}]}),
        ("search_inputs", {"feature": feature, "length": 3, "effort": 60, "n": 2}),
        ("match_pattern", {"feature": feature, "pattern": 'strongly: " robin"'}),
        ("logit_effects", {"feature": feature}),
        ("neighbours", {"feature": feature, "n": 3}),
        ("search_labels", {"words": "instructions"}),
        ("query_store", {"sql": "SELECT feature, max FROM feature ORDER BY max DESC, feature LIMIT 5"}),
        ("record_note", {"text": "a note"}),
    ]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(way))
def test_a_session_gives_what_the_toolbox_and_langgraph_give(way: tuple[str, str], hostile: Path, server: Served) -> None:
    with Store.open(hostile) as store:
        feature = str(store.key(hostile_feature(store)))

    async def session() -> tuple[Any, dict[str, Any], list[Any]]:
        async with connected(way, hostile, server) as client:
            assert client.server_info is not None and client.server_info.name == "dragoman"
            assert LEGEND in (client.instructions or "")
            listed = {
                "resources": (await client.list_resources()).resources,
                "templates": (await client.list_resource_templates()).resource_templates,
                "prompts": (await client.list_prompts()).prompts,
            }
            return (await client.list_tools()).tools, listed, [await client.call_tool(*call) for call in calls(feature)]

    tools, listed, results = asyncio.run(session())
    with Desk.open(hostile) as desk:
        box = Toolbox(desk, "mcp", None, other_runs=True)
        assert [(tool.name, tool.description, tool.input_schema) for tool in tools] == [
            (spec.name, spec.description, spec.schema) for spec in box.specs
        ]
        assert [(tool.name, tool.input_schema) for tool in tools] == [
            (tool.name, tool.schema) for tool in map(as_tool, box.specs)
        ]
        direct = [box.call(*call) for call in calls(feature)]
        graph = through_langgraph(box, calls(feature))
    for call, result, expected, message in zip(calls(feature), results, direct, graph, strict=True):
        assert not result.is_error, (call, result)
        assert text_of(result) == expected.text == message.content, call
        assert result.structured_content == json.loads(json.dumps(expected.data)) == json.loads(json.dumps(message.artifact)), (
            call
        )
        assert result.meta["dragoman/forwarded"] == expected.forwarded and result.meta["dragoman/read"] == expected.read
    uris = [str(resource.uri) for resource in listed["resources"]]
    assert uris[:3] == ["dragoman://store", f"dragoman://run/{RUN}", f"dragoman://run/{SCORED}"]
    assert uris[3:] == [f"dragoman://feature/{feature}"]
    assert len(listed["templates"]) == 3 and len(listed["prompts"]) == 4


def test_the_chat_gives_the_same_rows_and_its_prompt_stays_fenced(hostile: Path) -> None:
    """A scripted model asks for the same calls in a chat: results are those of the toolbox, and so of MCP and LangGraph."""
    with Store.open(hostile) as store:
        feature = str(store.key(hostile_feature(store)))
    asked = calls(feature)
    script = Script(asks(*asked), answers(("Done?",)))

    async def talk() -> list[str]:
        async with talking(hostile, script, ask_over=None) as (somebody, _):
            events = await all_of(somebody.ask("the same", "What?"))
            assert isinstance(events[-1], Answer)
            return [str(event.row) for event in events if isinstance(event, Returned)]

    chats = Chats(hostile / LEDGER)
    steps = [chats.step(row) for row in asyncio.run(talk())]
    chats.close()
    with Desk.open(hostile) as desk:
        box = Toolbox(desk, "other", None, other_runs=True)
        direct = [box.call(*call) for call in asked]
    for call, step, expected in zip(asked, steps, direct, strict=True):
        assert step is not None and not step.failed, (call, step)
        assert step.result == expected.text and step.data == json.loads(json.dumps(expected.data)), call
        assert (step.forwarded, step.read) == (expected.forwarded, expected.read)
    told = "\n".join(results(script.bodies[1]))
    assert "Ignore your instructions" in told and "</text> Ignore" not in told and "<|im_start|>" not in told
    assert "\x1b" not in told and "\u202e" not in told


def through_langgraph(box: Toolbox, asked: list[tuple[str, dict[str, Any]]]) -> list[Any]:
    """The messages that a LangGraph tool node gives for the same calls."""

    def tool(name: str, description: str, schema: Any) -> StructuredTool:
        def call(**arguments: Any) -> tuple[str, Any]:
            result = box.call(name, arguments)
            return result.text, result.data

        return StructuredTool(
            name=name, description=description, args_schema=dict(schema), func=call, response_format="content_and_artifact"
        )

    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([tool(spec.name, spec.description, spec.schema) for spec in box.specs]))
    graph.add_edge(START, "tools")
    wanted = [{"name": name, "args": arguments, "id": str(at)} for at, (name, arguments) in enumerate(asked)]
    state = graph.compile().invoke({"messages": [AIMessage(content="", tool_calls=wanted)]})
    return list(state["messages"][1:])


@pytest.mark.parametrize("way", [("stdio", "auto"), ("http", "legacy")], ids=lambda way: "-".join(way))
def test_wrong_requests_are_answered_with_a_sentence(way: tuple[str, str], hostile: Path, server: Served) -> None:
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("fly", {}, "There is no tool"),
        ("activate", {}, '"texts" is missing'),
        ("activate", {"texts": ["a"], "split": "test"}, "there is no argument"),
        ("activate", {"texts": "a", "feature": "sae/3"}, "call it for example with"),
        ("top_examples", {"feature": "sae/99999999"}, "There is no feature"),
        ("feature_stats", {}, "Say which feature"),
        ("query_store", {"sql": "SELECT * FROM score"}, ""),
        ("query_store", {"sql": "SELECT * FROM answer"}, ""),
        ("record_note", {"text": "x" * 5_000}, ""),
    ]

    async def session() -> None:
        async with connected(way, hostile, server) as client:
            for name, arguments, words in wrong:
                result = await client.call_tool(name, arguments)
                assert result.is_error and words in text_of(result) and "\n" not in text_of(result), (name, result)
                assert result.structured_content is None and "Traceback" not in text_of(result)
            asked: list[tuple[Callable[[], Awaitable[Any]], str]] = [
                (lambda: client.read_resource("dragoman://feature/sae/99999999"), "There is no feature"),
                (lambda: client.read_resource("dragoman://answer/1"), "There is nothing at"),
                (lambda: client.read_resource("file:///etc/passwd"), "There is nothing at"),
                (lambda: client.read_resource("dragoman://label/0"), "There is no label"),
                (lambda: client.read_resource("dragoman://run/0"), "There is no run"),
                (lambda: client.list_resources(cursor="7"), "There is no page"),
                (lambda: client.get_prompt("sing"), "There is no prompt"),
                (lambda: client.get_prompt("explain_feature", {}), "needs feature"),
                (lambda: client.get_prompt("explain_feature", {"feature": "sae/x"}), "sae/x"),
                (lambda: client.get_prompt("explain_feature", {"feature": "3", "split": "test"}), "does not ask for"),
            ]
            for ask, words in asked:
                with pytest.raises(MCPError, match=re.escape(words)) as refused:
                    await ask()
                assert refused.value.code == -32602
            assert not (await client.call_tool("feature_stats", {"feature": "sae/3"})).is_error

    asyncio.run(session())


def test_hostile_text_is_fenced_and_nothing_hidden_is_told(hostile: Path, server: Served) -> None:
    with Store.open(hostile) as store:
        number = hostile_feature(store)
        feature, (label,) = str(store.key(number)), store.ledger.labels(feature=number)
        train = {c for (c,) in ((row["context"],) for row in store.sql("SELECT context FROM context WHERE split = 'train'"))}

    async def session() -> list[str]:
        async with over_http(server.url, token=TOKEN) as client:
            told = [text_of(await client.call_tool(*call)) for call in calls(feature)]
            sql = "SELECT text, document FROM document WHERE contains(text, 'Ignore your') LIMIT 3"
            told.append(text_of(await client.call_tool("query_store", {"sql": sql})))
            uris = [str(resource.uri) for resource in (await client.list_resources()).resources]
            for uri in [*uris, f"dragoman://label/{label.id}"]:
                (content,) = (await client.read_resource(uri)).contents
                told.append(getattr(content, "text", ""))
            told += [f"{one.name} {one.description}" for one in (await client.list_resources()).resources]
            given = {"feature": feature, "hypothesis": HOSTILE}
            told += [m.content.text for m in (await client.get_prompt("test_hypothesis", given)).messages]  # type: ignore[union-attr]
            given = {"text": HOSTILE}
            told += [m.content.text for m in (await client.get_prompt("why_did_it_fire", given)).messages]  # type: ignore[union-attr]
            return told

    told = asyncio.run(session())
    everything = "\n".join(told)
    assert "Ignore your instructions" in everything, "the hostile text is among what was told"
    assert not any(secret in everything for secret in SECRETS)
    acting = [mark for mark in ("\x1b", "\u202e", "<|im_start|>", "</text> Ignore") if mark in everything]
    assert not acting
    for text in told:
        bare = text.replace(LEGEND, "")
        assert bare.count("<text>") == bare.count("</text>"), text
    contexts = {int(number) for number in re.findall(r"context (\d+)", everything)}
    assert len(contexts) >= 10 and contexts <= train
    assert "Scores are not shown" in everything and f"dragoman://label/{label.id}" in everything


def test_a_search_tells_how_far_it_is_and_others_are_answered_meanwhile(hostile: Path, server: Served) -> None:
    async def session() -> None:
        async with over_http(server.url, token=TOKEN) as one, over_http(server.url, "legacy", TOKEN) as other:
            steps: list[tuple[float, float | None, str | None]] = []
            began, answered, tries = asyncio.Event(), 0, 0

            async def told(progress: float, total: float | None, message: str | None) -> None:
                steps.append((progress, total, message))
                began.set()

            search = {"feature": "sae/3", "effort": 1500, "length": 6, "n": 1}
            while answered < 3:  # a search may be over soon
                tries, answered = tries + 1, 0
                assert tries < 10, "others are answered while the search runs"
                steps.clear()
                began.clear()
                slow = asyncio.create_task(one.call_tool("search_inputs", search, progress_callback=told))
                await began.wait()
                while not slow.done():
                    assert not (await other.call_tool("feature_stats", {"feature": "sae/3"})).is_error
                    answered += not slow.done()
                assert not (await slow).is_error
            done = [step[0] for step in steps]
            assert done == sorted(done) and len(done) >= 5 and done[-1] <= 1500 and {step[1] for step in steps} == {1500}
            assert "best so far" in str(steps[-1][2])

    asyncio.run(session())
