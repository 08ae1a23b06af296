"""Chat models over real HTTP: places, answers that can be read and answers that cannot, tools, and langchain's own interface."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel, ConfigDict, Field, create_model

from dragoman.agents.models import GatewayChat, Structured, Unreadable, chat_named, is_induction, structured
from dragoman.agents.schemas import in_words, schema_of
from dragoman.agents.structured import NotReadable, json_object
from dragoman.evals.gateway.budget import Budget
from dragoman.evals.gateway.calls import Message, NotRecorded, Refused, Tool
from dragoman.evals.gateway.gateway import Gateway
from dragoman.evals.gateway.prices import Price
from dragoman.store.errors import UserError
from dragoman.store.ledger import Ledger
from tests.evals.gateway.server import Body, Failure, Said, ScriptedServer
from tests.evals.gateway.test_gateway import rows

KINDS = ("vllm", "openai", "anthropic")
T = TypeVar("T")


class Part(BaseModel):
    """A docstring for programmers."""

    text: str = Field(description="one sentence", max_length=80)
    kind: Literal["input", "output"]


class Guess(BaseModel):
    """Another one."""

    parts: list[Part] = Field(max_length=3)
    sure: int = Field(ge=0, le=9, description="how sure")
    note: str | None = None


ASKED = (Message("system", "You study a feature."), Message("user", "What is it?"))
GOOD = {"parts": [{"text": "fires on cats", "kind": "input"}], "sure": 7, "note": None}
GUESS = Guess.model_validate(GOOD)


def talk(path: Path, spec: str, work: Callable[[GatewayChat], Awaitable[T]], run: str = "run", **options: Any) -> T:
    """What some work with a chat at (3, propose) comes to, in a process of its own as far as the ledger can tell."""

    async def begin() -> T:
        settings = {name: options.pop(name) for name in ("max_tokens", "price") if name in options}
        async with Gateway(Ledger(path / "ledger.sqlite"), run, 0, Budget(), backoff=0.01, **options) as gateway:
            return await work(chat_named(spec, gateway, **settings).at(3, "propose"))

    return asyncio.run(begin())


def guess(path: Path, spec: str, **options: Any) -> Any:
    return talk(path, spec, lambda chat: structured(chat, ASKED, Guess), **options)


def says(*texts: str | Said) -> Callable[[Body], str | Said]:
    """One text after the other, the last again and again."""
    left = list(texts)
    return lambda body: left.pop(0) if len(left) > 1 else left[0]


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_is_read_and_found_again(kind: str, tmp_path: Path) -> None:
    with ScriptedServer(says(json.dumps(GOOD))) as server:
        spec = f"{kind}:{server.url}#judge"
        first = guess(tmp_path, spec, price=Price(2, 2, 2))
        second = guess(tmp_path, spec, price=Price(2, 2, 2))
        (seen,) = server.seen
    assert first.value == second.value == GUESS and (first.hit, second.hit) == (False, True)
    assert first.calls == second.calls and first.cost == second.cost == pytest.approx(first.tokens * 2e-6)
    sent = seen.body.get("output_config", {}).get("format") or seen.body["response_format"]["json_schema"]
    fields = sent["schema"]["properties"]
    assert sent["schema"]["required"] == ["parts", "sure", "note"] and sent["schema"]["additionalProperties"] is False
    assert fields["parts"]["items"]["required"] == ["text", "kind"] and "$ref" not in json.dumps(sent)
    last = seen.body["messages"][-1]["content"]
    assert last.startswith("What is it?\n\nReply with one JSON object of this form and nothing else:\n{")
    (row,) = rows(tmp_path)
    assert (row["feature"], row["step"], row["ordinal"]) == (3, "propose", 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_reply_is_asked_again_once(kind: str, tmp_path: Path) -> None:
    with ScriptedServer(says('{"parts": [', json.dumps(GOOD))) as server:
        found = guess(tmp_path, f"{kind}:{server.url}#judge")
        again = guess(tmp_path, f"{kind}:{server.url}#judge")
        assert len(server.seen) == 2, "the second process asks nothing"
        roles = [message["role"] for message in server.seen[1].body["messages"]]
    assert found.value == again.value == GUESS and len(found.calls) == 2 and again.hit
    assert roles[-3:] == ["user", "assistant", "user"]
    assert server.seen[1].body["messages"][-2]["content"] == '{"parts": ['
    assert server.seen[1].body["messages"][-1]["content"].startswith("This could not be read: it is broken JSON (")
    assert [row["ordinal"] for row in rows(tmp_path)] == [0, 1]


UNREADABLE = {
    "broken": ('{"parts": [}', "it is broken JSON (Expecting value at character 11)"),
    "two": (f"{json.dumps(GOOD)}\nor rather\n{json.dumps(GOOD)}", "it holds more than one JSON object"),
    "inside": ('{"guess": {"parts": [], "sure": 1, "note": null}', "it is broken JSON"),
    "none": ("I think that it fires on {cats}.", "it holds no JSON object"),
    "empty": ("  ", "it is empty"),
    "types": (json.dumps({**GOOD, "sure": "7"}), "sure: Input should be a valid integer"),
    "range": (json.dumps({**GOOD, "sure": 10}), "sure: Input should be less than or equal to 9"),
    "missing": (json.dumps({"parts": GOOD["parts"]}), "sure: Field required"),
    "choice": (json.dumps({**GOOD, "parts": [{"text": "a", "kind": "both"}]}), "parts.0.kind: Input should be 'input' or"),
    "twice": ('{"parts": [], "sure": 1, "sure": 2, "note": null}', "it says a key twice"),
    "nan": ('{"parts": [], "sure": NaN}', "NaN is no JSON number"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_twice_is_no_answer(name: str, tmp_path: Path) -> None:
    text, reason = UNREADABLE[name]
    with ScriptedServer(says(text)) as server:
        for _ in range(2):
            with pytest.raises(Unreadable) as raised:
                guess(tmp_path, f"vllm:{server.url}#judge")
            assert raised.value.reason.startswith(reason) and raised.value.raw == text
            assert str(raised.value) == f"the reply cannot be read: {raised.value.reason}" and not str(raised.value).endswith(".")
        assert len(server.seen) == 2, "from the ledger it is no more readable than before"


READABLE = {
    "fenced": f"Here it is:\n```json\n{json.dumps(GOOD, indent=1)}\n```\nI hope {{this}} helps.",
    "thought": f'<think>Perhaps {{"sure": 1}}? No.</think>\n{json.dumps(GOOD)}',
    "thought, its beginning in the prompt": f'Perhaps {{"sure": 1}}?</think>{json.dumps(GOOD)}',
    "newline": json.dumps({**GOOD, "note": "a b"}).replace("a b", "a\nb"),
    "fence inside": json.dumps({**GOOD, "note": "```{\"a\": 1}``` </think>"}),
    "default": json.dumps({"parts": GOOD["parts"], "sure": 7}),
}  # fmt: skip


@pytest.mark.parametrize("name", READABLE)
def test_what_stands_around_an_object_is_cut_off(name: str) -> None:
    assert Guess.model_validate(json_object(READABLE[name])).parts == GUESS.parts


@pytest.mark.parametrize("kind", KINDS)
def test_a_reply_that_was_cut_off(kind: str, tmp_path: Path) -> None:
    finish = "max_tokens" if kind == "anthropic" else "length"
    with ScriptedServer(says(Said('{"parts": [{"text": "a', finish=finish))) as server:
        with pytest.raises(Unreadable, match="it was cut off after 20 tokens"):
            guess(tmp_path, f"{kind}:{server.url}#judge", max_tokens=20)
        assert "Be much shorter." in server.seen[1].body["messages"][-1]["content"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_is_not_asked_again(kind: str, tmp_path: Path) -> None:
    finish = "refusal" if kind == "anthropic" else "content_filter"
    with ScriptedServer(says(Said("", finish=finish))) as server:
        for _ in range(2):
            with pytest.raises(Refused, match=r"^the model refused to answer$"):
                guess(tmp_path, f"{kind}:{server.url}#judge")
        assert len(server.seen) == 1


def test_a_relay_that_knows_no_schemas(tmp_path: Path) -> None:
    """One that refuses schemas, and one that ignores them: the prompt says what is wanted, however long it is."""
    names = [f"field_{number}" for number in range(30)]
    fields: dict[str, Any] = {name: (str, Field(description="what is to be said here")) for name in names}
    long = create_model("Long", **fields)
    text = json.dumps(dict.fromkeys(names, "x"))

    async def ask(chat: GatewayChat) -> Structured[BaseModel]:
        return await structured(chat, ASKED, long)

    def refuses(body: Body) -> str | Failure:
        return Failure(status=400, message="response_format: unknown field") if "response_format" in body else text

    for run, answer in {"refuses": refuses, "ignores": says(f"Sure!\n{text}")}.items():
        with ScriptedServer(answer, owner="plain", models=["plain"]) as server:
            found = talk(tmp_path, f"openai:{server.url}#plain", ask, run)
            assert found.value.model_dump() == dict.fromkeys(names, "x") and len(found.calls) == 1
            assert '"field_29": string (what is to be said here)' in server.seen[-1].body["messages"][-1]["content"]
    with ScriptedServer(says(text)) as server:
        talk(tmp_path, f"vllm:{server.url}#judge", ask)
        assert server.seen[0].body["messages"][-1]["content"] == "What is it?", "a long schema that is enforced needs no words"


def test_places_and_ordinals_are_stable(tmp_path: Path) -> None:
    async def work(chat: GatewayChat) -> list[str]:
        other = chat.at(4, "revise")
        with_tools = other.bind_tools([Tool("note", "Remember.", {"type": "object", "properties": {}})])
        for one in (chat, other, chat, with_tools, other, chat.at(3, "propose")):
            await one.ask([Message("user", "hello")])
        return []

    with ScriptedServer() as server:
        for _ in range(2):
            talk(tmp_path, f"vllm:{server.url}#judge", work)
        assert len(server.seen) == 5, "the last call is the first one again, and the second process asks nothing"
    places = [(row["feature"], row["step"], row["ordinal"]) for row in rows(tmp_path)]
    assert places == [(3, "propose", 0), (4, "revise", 0), (3, "propose", 1), (4, "revise", 1), (4, "revise", 2)]


def test_a_recorded_run_needs_no_server(tmp_path: Path) -> None:
    with ScriptedServer(says("nothing", json.dumps(GOOD))) as server:
        first = guess(tmp_path, f"vllm:{server.url}", run="first")
        server.die()
        again = guess(tmp_path, f"vllm:{server.url}", run="second", recorded="first")
        assert (again.value, again.tokens, again.cost) == (first.value, first.tokens, first.cost) and again.hit
    with pytest.raises(NotRecorded, match=r"by openai:gpt-4o: replay it"):  # and no key
        guess(tmp_path, "openai:gpt-4o", run="third", recorded="first")


@pytest.mark.parametrize("kind", KINDS)
def test_langchain_messages_and_tools(kind: str, tmp_path: Path) -> None:
    @tool
    def activate(text: str) -> str:
        """The activation at every token of a text."""
        return text

    async def work(chat: GatewayChat) -> list[AIMessage]:
        bound = chat.bind_tools([activate, Tool("note", "Remember.", schema_of(Part))], tool_choice="any")
        asked = [SystemMessage("Study it."), HumanMessage("Begin.")]
        first = await bound.ainvoke(asked)
        results = [ToolMessage("0 3.5", tool_call_id=call["id"]) for call in (*first.tool_calls, *first.invalid_tool_calls)]
        second = await bound.ainvoke([*asked, first, *results], stop=["END"])
        return [first, second]

    broken = [] if kind == "anthropic" else [("activate", '{"text": ')]
    first = Said("I look.", tools=[("activate", '{"text": "cat"}'), *broken])
    with ScriptedServer(says(first, "It fires on cats.")) as server:
        asked, done = talk(tmp_path, f"{kind}:{server.url}#judge", work, price=Price(1, 1, 1))
        body = server.seen[1].body
    assert [(call["name"], call["args"]) for call in asked.tool_calls] == [("activate", {"text": "cat"})]
    assert [call["args"] for call in asked.invalid_tool_calls] == [arguments for _, arguments in broken]
    assert done.content == "It fires on cats." and done.usage_metadata is not None
    told = done.response_metadata
    assert told["cost"] == pytest.approx(done.usage_metadata["total_tokens"] / 1e6) and told["model_name"] == f"{kind}:judge"
    assert told["call"] == rows(tmp_path)[1]["id"] and not told["hit"]
    assert body["stop_sequences" if kind == "anthropic" else "stop"] == ["END"] and len(body["tools"]) == 2
    if kind == "anthropic":
        assert body["messages"][2]["content"][0]["content"] == "0 3.5" and body["tool_choice"] == {"type": "any"}
    else:
        assert [m["role"] for m in body["messages"]] == ["system", "user", "assistant", "tool", "tool"]
        assert body["messages"][2]["tool_calls"][1]["function"]["arguments"] == '{"text": ' and body["tool_choice"] == "required"


def test_langchain_structured_output(tmp_path: Path) -> None:
    schema = schema_of(Guess)

    async def work(chat: GatewayChat) -> list[Any]:
        return [
            await chat.with_structured_output(Guess).ainvoke("What is it?"),
            await chat.with_structured_output(schema).ainvoke([HumanMessage("What is it?")]),
            await chat.with_structured_output(Guess, include_raw=True).ainvoke("What is it?"),
        ]

    with ScriptedServer(says(*[json.dumps(GOOD)] * 2, "no")) as server:
        instance, found, whole = talk(tmp_path, f"vllm:{server.url}#judge", work)
    assert instance == GUESS and found == GOOD
    assert whole["parsed"] is None and isinstance(whole["parsing_error"], Unreadable) and whole["raw"].content == "no"


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    async def work(chat: GatewayChat) -> None:
        with pytest.raises(ValueError, match="at no place of the run"):
            await GatewayChat(gateway=chat.gateway, model=chat.model).ask([Message("user", "a")])
        with pytest.raises(RuntimeError, match="await ainvoke, not invoke"):
            chat.invoke("a")
        with pytest.raises(RuntimeError, match="await ainvoke, not invoke"):
            chat.with_structured_output(Guess).invoke("a")
        with pytest.raises(ValueError, match="a call takes no top_k"):
            await chat.ainvoke("a", top_k=3)
        with pytest.raises(ValueError, match="only text can be sent"):
            await chat.ainvoke([HumanMessage([{"type": "image_url", "image_url": {"url": "x"}}])])
        with pytest.raises(UserError, match=r"^induction is no language model and cannot be talked to: write one of"):
            chat_named("induction", chat.gateway)

    with ScriptedServer() as server:
        talk(tmp_path, f"vllm:{server.url}#judge", work)
        assert server.seen == []
    assert is_induction("induction") and not is_induction("vllm:http://127.0.0.1:1")


class Tree(BaseModel):
    children: list[Tree]


class Free(BaseModel):
    model_config = ConfigDict(extra="allow")
    counts: dict[str, int]


class Pair(BaseModel):
    pair: tuple[int, str]


def test_schemas_are_strict_or_refused() -> None:
    schema = schema_of(Guess)
    part = {
        "type": "object",
        "properties": {
            "text": {"type": "string", "description": "one sentence", "maxLength": 80},
            "kind": {"type": "string", "enum": ["input", "output"]},
        },
        "required": ["text", "kind"],
        "additionalProperties": False,
    }
    assert schema["properties"]["parts"] == {"type": "array", "items": part, "maxItems": 3}
    assert schema["properties"]["note"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert in_words(schema) == (
        '{"parts": [{"text": string at most 80 characters (one sentence), "kind": "input" | "output"}, …] at most 3 items, '
        '"sure": integer 0 to 9 (how sure), "note": string | null}'
    )
    for wrong, reason in ((Tree, "holds itself"), (Free, "free keys"), (Pair, "mixed kinds")):
        with pytest.raises(ValueError, match=reason):
            schema_of(wrong)


def test_deep_nesting_is_unreadable() -> None:
    with pytest.raises(NotReadable):
        json_object('{"a": ' * 100_000)
