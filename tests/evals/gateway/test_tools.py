"""Tool calls, schemas and marks of prompt caching, as each server takes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dragoman.evals.gateway.calls import Message, Place, Request, Tool, ToolCall
from dragoman.evals.gateway.forms import key_of, request_from, request_json
from dragoman.evals.gateway.models import model_named
from dragoman.evals.gateway.prices import Price
from dragoman.evals.gateway.schemas import taken_by

from .server import Body, Failure, Said, ScriptedServer
from .test_gateway import HELLO, one, rows

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"], "additionalProperties": False}
ACTIVATE = Tool("activate", "The feature's activation at every token of a text.", SCHEMA)
NOTE = Tool("record_note", "Remember something.", SCHEMA)
ASKED = ToolCall("call_0", "activate", '{"text": "a \\u00e4"}')
CHAT = (
    Message("system", "Study the feature."),
    Message("user", "Begin."),
    Message("assistant", "I look.", (ASKED, ToolCall("call_1", "record_note", '{"text": '))),
    Message("tool", "0 3.5", tool_call_id="call_0"),
    Message("tool", "These are no arguments.", tool_call_id="call_1"),
    Message("user", "Go on."),
)
TALK = Request(messages=CHAT, max_tokens=50, tools=(ACTIVATE, NOTE))


def test_openai_tools(tmp_path: Path) -> None:
    said = Said("I ask.", tools=[("activate", '{"text": "x"}'), ("activate", '{"text": ')])
    with ScriptedServer(lambda body: said) as server:
        for number, kind in enumerate(("vllm", "openai")):
            model = model_named(f"{kind}:{server.url}#judge")
            reply = one(tmp_path, model, TALK)
            assert one(tmp_path, model, TALK).tool_calls == reply.tool_calls and len(server.seen) == number + 1, "from the ledger"
        body = server.seen[-1].body
        assert reply.prompt_tokens <= model.worst(TALK)[0]
        for choice, sent in (("none", "none"), ("record_note", {"type": "function", "function": {"name": "record_note"}})):
            one(tmp_path, model, replace(TALK, tool_choice=choice))
            assert server.seen[-1].body["tool_choice"] == sent
    assert reply.texts == ("I ask.",) and reply.finish == ("tool_calls",)
    assert [call.name for call in reply.tool_calls] == ["activate", "activate"]
    assert reply.tool_calls[0].parsed == {"text": "x"} and reply.tool_calls[1].parsed is None
    assert reply.tool_calls[1].arguments == '{"text": '
    function = {"name": "activate", "description": ACTIVATE.description, "parameters": SCHEMA}
    assert body["tools"][0] == {"type": "function", "function": function} and body["tool_choice"] == "auto"
    assert body["messages"][2]["tool_calls"][0]["function"] == {"name": "activate", "arguments": ASKED.arguments}
    assert body["messages"][3] == {"role": "tool", "content": "0 3.5", "tool_call_id": "call_0"}


def test_anthropic_tools(tmp_path: Path) -> None:
    with ScriptedServer(lambda body: Said("", tools=[("activate", '{"text": "x"}')])) as server:
        model = model_named(f"anthropic:{server.url}#judge")
        reply = one(tmp_path, model, replace(TALK, tool_choice="required"))
        body = server.seen[-1].body
        one(tmp_path, model, replace(TALK, tool_choice="activate"))
        assert server.seen[-1].body["tool_choice"] == {"type": "tool", "name": "activate"}
        assert reply.prompt_tokens <= model.worst(TALK)[0]
    assert reply.texts == ("",) and reply.finish == ("tool_calls",)
    assert reply.tool_calls == (ToolCall("toolu_0", "activate", '{"text": "x"}'),)
    assert body["tools"][1] == {"name": "record_note", "description": NOTE.description, "input_schema": SCHEMA}
    assert body["tool_choice"] == {"type": "any"} and [m["role"] for m in body["messages"]] == [
        "user",
        "assistant",
        "user",
        "user",
    ]
    text, first, second = body["messages"][1]["content"]
    assert text == {"type": "text", "text": "I look."}
    assert first == {"type": "tool_use", "id": "call_0", "name": "activate", "input": {"text": "a ä"}}
    assert second["input"] == {"unreadable": '{"text": '}, "the protocol takes objects only"
    assert [block["tool_use_id"] for block in body["messages"][2]["content"]] == ["call_0", "call_1"], "results stand together"


def test_a_request_with_tools_survives_the_ledger_and_old_keys_stay() -> None:
    assert request_from(request_json(replace(TALK, tool_choice="none"))) == replace(TALK, tool_choice="none")
    assert request_json(HELLO) == (
        '{"max_tokens":5,"messages":[{"content":"Be brief.","role":"system"},{"content":"hello","role":"user"}]}'
    )
    assert key_of(0, Place(7, "step", 0), "vllm:judge", request_json(HELLO)) == "75bc4ebd4578813ea5b98f59d6ece37c"


def test_a_choice_of_no_tool_is_refused(tmp_path: Path) -> None:
    with ScriptedServer() as server:
        model = model_named(f"vllm:{server.url}#judge")
        for wrong in (replace(TALK, tool_choice="steer"), Request(prompt="a", tools=(ACTIVATE,))):
            with pytest.raises(ValueError, match="tool"):
                one(tmp_path, model, wrong)


def test_a_long_shared_prefix_is_marked_and_paid_for(tmp_path: Path) -> None:
    long = Message("system", "word " * 1000)
    marked = {"type": "ephemeral"}
    tools = tuple(Tool(f"tool_{n}", "what it does " * 60, SCHEMA) for n in range(6))
    with ScriptedServer() as server:
        model = model_named(f"anthropic:{server.url}#judge", price=Price(3, 0.3, 15))
        assert model.price is not None and model.price.written == 3.75
        for request, system, tool in (
            (Request(messages=(long, *CHAT[1:2])), True, False),
            (Request(messages=CHAT[:2], tools=(ACTIVATE,)), False, False),
            (Request(messages=CHAT[:2], tools=tools), True, True),
            (Request(messages=CHAT[1:2], tools=tools), False, True),
        ):
            one(tmp_path, model, request)
            body = server.seen[-1].body
            sent = body.get("system")
            assert (isinstance(sent, list) and sent[-1].get("cache_control") == marked) == system
            assert any("cache_control" in each for each in body.get("tools", ())) == tool
            assert not tool or body["tools"][-1]["cache_control"] == marked
        worst = model.worst(request)
        assert model.worst_cost(request) == pytest.approx((worst[0] * 3.75 + worst[1] * 15) / 1e6)
        openai = model_named(f"openai:{server.url}#judge", price=Price(3, 0.3, 15))
        assert openai.worst_cost(request) == pytest.approx((worst[0] * 3 + worst[1] * 15) / 1e6)
    assert Price(3, 0.3, 15, 3.75).of(1000, 400, 10, 500) == pytest.approx((100 * 3 + 400 * 0.3 + 500 * 3.75 + 10 * 15) / 1e6)


def test_what_is_written_into_the_cache_costs_more(tmp_path: Path) -> None:
    usage = {"input_tokens": 10, "cache_creation_input_tokens": 1000, "cache_read_input_tokens": 100, "output_tokens": 5}
    with ScriptedServer(lambda body: Said("yes", usage=usage)) as server:
        model = model_named(f"anthropic:{server.url}#judge", price=Price(3, 0.3, 15))
        reply = one(tmp_path, model, Request(messages=(Message("system", "word " * 1200), *CHAT[1:2])))
    assert (reply.prompt_tokens, reply.cached_tokens) == (1110, 100)
    assert reply.cost == pytest.approx((10 * 3 + 1000 * 3.75 + 100 * 0.3 + 5 * 15) / 1e6)


LIMITED = {
    "type": "object",
    "title": "Guess",
    "properties": {
        "minimum": {"type": "integer", "minimum": 0, "maximum": 9, "description": "How sure."},
        "words": {"type": "array", "maxItems": 3, "items": {"type": "string", "maxLength": 8}},
        "none": {"anyOf": [{"type": "string", "minLength": 1}, {"type": "null"}], "default": None},
    },
    "required": ["minimum", "words", "none"],
    "additionalProperties": False,
}


def test_limits_that_a_service_refuses_are_said_in_words() -> None:
    anthropic = taken_by("anthropic", LIMITED)
    assert anthropic["properties"] == {
        "minimum": {"type": "integer", "description": "How sure. (minimum 0, maximum 9)"},
        "words": {"type": "array", "description": "(maxItems 3)", "items": {"type": "string", "description": "(maxLength 8)"}},
        "none": {"anyOf": [{"type": "string", "description": "(minLength 1)"}, {"type": "null"}]},
    }
    assert anthropic["required"] == LIMITED["required"] and "title" not in anthropic
    openai = taken_by("openai", LIMITED)["properties"]
    assert openai["minimum"] == LIMITED["properties"]["minimum"]  # type: ignore[index]
    assert openai["words"] == {"type": "array", "maxItems": 3, "items": {"type": "string", "description": "(maxLength 8)"}}


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_server_that_refuses_schemas_is_asked_without(kind: str, tmp_path: Path) -> None:
    name = {"openai": "response_format", "anthropic": "output_config"}[kind]
    wanted = Request(messages=HELLO.messages, schema=SCHEMA)

    def answer(body: Body) -> str | Failure:
        return Failure(status=400, message=f"{name} is not supported") if name in body else '{"text": "x"}'

    with ScriptedServer(answer, owner="x") as server:
        model = model_named(f"{kind}:{server.url}#judge")
        found: list[Any] = [one(tmp_path, model, replace(wanted, max_tokens=n)).texts for n in (5, 6)]
        assert found == [('{"text": "x"}',)] * 2
        with_schema = [name in seen.body for seen in server.seen]
        assert with_schema.count(True) == 2 and len(with_schema) == 4, "once a gateway"
    assert [row["status"] for row in rows(tmp_path)] == ["settled", "settled"], "it is one call in the ledger"


def test_it_is_remembered_within_a_run(tmp_path: Path) -> None:
    from .test_gateway import ask

    def answer(body: Body) -> str | Failure:
        return Failure(status=422, message="Unknown field json_schema") if "response_format" in body else "{}"

    with ScriptedServer(answer, owner="x") as server:
        model = model_named(f"openai:{server.url}#judge")
        ask(tmp_path, model, *[Request(messages=HELLO.messages, schema=SCHEMA, seed=n) for n in range(10)], most=1, start=1)
        assert [("response_format" in seen.body) for seen in server.seen] == [True] + [False] * 10
        vllm = model_named(f"vllm:{server.url}#judge")
    with ScriptedServer(answer) as server:
        vllm = model_named(f"vllm:{server.url}#judge")
        (refused,) = ask(tmp_path, vllm, Request(messages=HELLO.messages, schema=SCHEMA))
        assert "refused the request (HTTP 422)" in str(refused), "vLLM takes schemas: one that it refuses is our mistake"
