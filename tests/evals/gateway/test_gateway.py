"""The gateway against a real HTTP server: replies in one shape, nothing asked twice, everything in the ledger."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import pytest

from dragoman.evals.gateway.budget import Budget
from dragoman.evals.gateway.calls import Message, Place, Reply, Request, TokenChance, Unanswered
from dragoman.evals.gateway.forms import request_from, request_json
from dragoman.evals.gateway.gateway import Gateway
from dragoman.evals.gateway.models import Model, model_named
from dragoman.evals.gateway.prices import Price
from dragoman.store.ledger import Ledger

from .server import Said, ScriptedServer

Replies = list[Reply | BaseException]
HELLO = Request(messages=(Message("system", "Be brief."), Message("user", "hello")), max_tokens=5)


def ask(
    path: Path, model: Model, *requests: Request, run: str = "run", seed: int = 0, **options: Any
) -> list[Reply | BaseException]:
    """Replies to requests asked at the same time, at ordinals 0, 1, 2, …; what was raised stands in its place."""

    async def asked() -> Replies:
        budget = options.pop("budget", Budget())
        async with Gateway(Ledger(path / "ledger.sqlite"), run, seed, budget, **{"backoff": 0.01, **options}) as gateway:
            calls = [gateway.ask(model, request, Place(7, "step", number)) for number, request in enumerate(requests)]
            return await asyncio.gather(*calls, return_exceptions=True)

    return asyncio.run(asked())


def one(path: Path, model: Model, request: Request = HELLO, **options: Any) -> Reply:
    """The reply to one request."""
    (reply,) = ask(path, model, request, **options)
    if isinstance(reply, BaseException):
        raise reply
    return reply


def rows(path: Path) -> list[dict[str, Any]]:
    """The ledger's calls."""
    ledger = Ledger(path / "ledger.sqlite")
    try:
        found: list[dict[str, Any]] = ledger.arrow("model_call").to_pylist()
        return found
    finally:
        ledger.close()


def test_a_chat_with_probabilities_and_its_row(tmp_path: Path) -> None:
    said = Said(chances=[{" yes": 0.7, " no": 0.3}, {".": 1.0}])
    with ScriptedServer(lambda body: said, models=["judge-1b"]) as server:
        model = model_named(f"vllm:{server.url}", price=Price(1.0, 0.5, 2.0))
        request = Request(messages=HELLO.messages, max_tokens=5, top_logprobs=2, seed=3, stop=("x",), temperature=0.5)
        reply = one(tmp_path, model, request)
        (seen,) = server.seen
    assert reply.texts == (" yes.",) and reply.finish == ("stop",)
    assert reply.logprobs is not None and [chance.token for chance in reply.logprobs[0]] == [" yes", " no"]
    assert reply.logprobs[0][1] == TokenChance(" no", math.log(0.3))
    expected = {
        "model": "judge-1b",
        "max_tokens": 5,
        "logprobs": True,
        "top_logprobs": 2,
        "seed": 3,
        "stop": ["x"],
        "temperature": 0.5,
    }
    assert seen.body == {**expected, "messages": [{"role": m.role, "content": m.content} for m in HELLO.messages]}
    (row,) = rows(tmp_path)
    counts = row["prompt_tokens"], row["cached_tokens"], row["completion_tokens"]
    assert counts == (reply.prompt_tokens, 0, 2) and row["tokens"] == reply.prompt_tokens + 2
    assert row["cost"] == reply.cost == pytest.approx((reply.prompt_tokens * 1.0 + 2 * 2.0) / 1e6)
    assert (row["feature"], row["step"], row["ordinal"], row["attempt"], row["run"]) == (7, "step", 0, 0, "run")
    assert (row["model"], row["status"], row["hit"], row["reason"]) == ("vllm:judge-1b", "settled", 0, None)
    assert request_from(row["request"]) == request and json.loads(row["reply"])["texts"] == [" yes."]
    assert row["id"] == reply.call and 0 < row["latency"] == reply.latency < 5


def test_probabilities_of_a_prompt_keep_what_is_wanted(tmp_path: Path) -> None:
    def chances(place: int, tokens: list[str]) -> dict[str, float] | None:
        return {"7": 0.5, "3": 0.3, "x": 0.2} if tokens[place].isdigit() else None

    with ScriptedServer(lambda body: Said("", prompt_chances=chances)) as server:
        model = model_named(f"vllm:{server.url}")
        text = Request(prompt="cat\t3\ndog\t7", max_tokens=0, prompt_logprobs=20)
        few = Request(prompt="cat\t3\ndog\t7", max_tokens=0, prompt_logprobs=20, keep=("7", "3"))
        ids = Request(prompt=(5, 6, 7), max_tokens=0, prompt_logprobs=1)
        chat = Request(messages=HELLO.messages, max_tokens=0, prompt_logprobs=1)
        whole, kept, numbered, talked = ask(tmp_path, model, text, few, ids, chat)
    assert isinstance(whole, Reply) and isinstance(kept, Reply) and isinstance(numbered, Reply) and isinstance(talked, Reply)
    assert whole.texts == talked.texts == ("",)
    assert whole.prompt_logprobs is not None and len(whole.prompt_logprobs) == 7 and whole.prompt_logprobs[0] == {}
    assert list(whole.prompt_logprobs[2]) == ["3", "7", "x"], "the prompt's own token comes first"
    assert kept.prompt_logprobs is not None and kept.prompt_logprobs[6] == {"7": math.log(0.5), "3": math.log(0.3)}
    assert kept.prompt_logprobs[1] == {"\t": 0.0}
    assert numbered.prompt_logprobs is not None and [list(place) for place in numbered.prompt_logprobs] == [[], ["<6>"], ["<7>"]]
    assert talked.prompt_logprobs is not None and list(talked.prompt_logprobs[-1]) == [">"]


def test_structured_replies(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"p": {"type": "number"}}, "required": ["p"], "additionalProperties": False}
    constrained = Request(messages=HELLO.messages, schema=schema)
    chosen = Request(messages=HELLO.messages, choices=("cat", "dog"), n=2)
    with ScriptedServer(lambda body: "dog" if "structured_outputs" in body else '{"p": 1}') as server:
        replies = ask(tmp_path, model_named(f"vllm:{server.url}"), constrained, chosen)
        assert [reply.texts for reply in replies if isinstance(reply, Reply)] == [('{"p": 1}',), ("dog", "dog")]
        bodies = [seen.body for seen in server.seen]
        formats = [body["response_format"] for body in bodies if "response_format" in body]
        assert formats == [{"type": "json_schema", "json_schema": {"name": "reply", "schema": schema, "strict": True}}]
        assert [body["structured_outputs"] for body in bodies if "structured_outputs" in body] == [{"choice": ["cat", "dog"]}]
        one(tmp_path, model_named(f"anthropic:{server.url}#judge"), constrained)
        assert server.seen[-1].body["output_config"] == {"format": {"type": "json_schema", "schema": schema}}


def test_anthropic(tmp_path: Path) -> None:
    with ScriptedServer(lambda body: Said("hi", finish="max_tokens"), key="secret") as server:
        model = model_named(f"anthropic:{server.url}#judge", price=Price(3, 1, 15), environment={"ANTHROPIC_API_KEY": "secret"})
        reply = one(
            tmp_path, model, Request(messages=(*HELLO.messages, Message("user", "word " * 40)), max_tokens=9, stop=("x",))
        )
        again = one(tmp_path, model, Request(messages=(*HELLO.messages, Message("user", "word " * 41)), max_tokens=9))
        seen = server.seen[0]
    assert (reply.texts, reply.finish, reply.logprobs) == (("hi",), ("length",), None)
    assert seen.path == "/v1/messages" and seen.body["system"] == "Be brief." and seen.body["stop_sequences"] == ["x"]
    assert [message["role"] for message in seen.body["messages"]] == ["user", "user"] and seen.body["max_tokens"] == 9
    assert again.cached_tokens > 0 and again.prompt_tokens > again.cached_tokens
    assert again.cost == pytest.approx(((again.prompt_tokens - again.cached_tokens) * 3 + again.cached_tokens + 15) / 1e6)


def test_a_refusal_is_paid_and_has_no_answer(tmp_path: Path) -> None:
    with ScriptedServer(lambda body: Said("", finish="content_filter")) as server:
        model = model_named(f"vllm:{server.url}")
        for _ in range(2):
            with pytest.raises(Unanswered, match="refused"):
                one(tmp_path, model)
        assert len(server.seen) == 1, "it is not asked again"
    assert [row["status"] for row in rows(tmp_path)] == ["settled"]


def test_nothing_is_asked_twice(tmp_path: Path) -> None:
    with ScriptedServer(lambda body: Said(chances=[{"a": 0.6, "b": 0.4}])) as server:
        model = model_named(f"vllm:{server.url}#judge")
        request = Request(messages=HELLO.messages, top_logprobs=2, n=2)
        first = one(tmp_path, model, request)
        same = one(tmp_path, model, request)
        assert same == Reply(**{**vars(first), "hit": True}), "the whole reply, and what it cost"
        assert len(server.seen) == 1 and len(rows(tmp_path)) == 1
        for change in ({"seed": 1}, {"run": "other"}):
            assert not one(tmp_path, model, request, **change).hit
        one(tmp_path, model, Request(messages=HELLO.messages, top_logprobs=1, n=2))
        assert len(server.seen) == 4, "seed, run and request are in the key"
        server.die()
        assert one(tmp_path, model, request).hit, "what is in the ledger needs no server"


def test_other_runs_are_used_only_when_asked_for(tmp_path: Path) -> None:
    with ScriptedServer() as server:
        model = model_named(f"vllm:{server.url}", price=Price(1, 1, 1))
        first = one(tmp_path, model, run="first")
        second = one(tmp_path, model, run="second", reuse=True, budget=Budget(tokens=1))
        again = one(tmp_path, model, run="second", budget=Budget(tokens=1))
        assert len(server.seen) == 1
    assert second.hit and again.hit and second.cost == again.cost == first.cost and second.call != first.call
    hits = [(row["run"], row["hit"], row["cost"], row["tokens"]) for row in rows(tmp_path)]
    assert hits == [("first", 0, first.cost, hits[0][3]), ("second", 1, first.cost, hits[0][3])], "recorded at its original price"


def test_the_same_question_at_the_same_time_is_sent_once(tmp_path: Path) -> None:
    async def twice(model: Model) -> list[Reply]:
        async with Gateway(Ledger(tmp_path / "ledger.sqlite"), "run", 0, Budget()) as gateway:
            return await asyncio.gather(*(gateway.ask(model, HELLO, Place(0, "s", 0)) for _ in range(5)))

    with ScriptedServer(lambda body: Said("yes", delay=0.05)) as server:
        replies = asyncio.run(twice(model_named(f"vllm:{server.url}")))
        assert len(server.seen) == 1 and sorted(reply.hit for reply in replies) == [False, True, True, True, True]


def test_replicas_share_the_load(tmp_path: Path) -> None:
    with (
        ScriptedServer(lambda body: Said("a", delay=0.02)) as one_server,
        ScriptedServer(lambda body: Said("a", delay=0.02)) as two,
    ):
        model = model_named(f"vllm:{one_server.url},{two.url}")
        replies = ask(tmp_path, model, *[HELLO] * 40)
        assert all(isinstance(reply, Reply) for reply in replies)
        assert len(one_server.seen) + len(two.seen) == 40 and min(len(one_server.seen), len(two.seen)) >= 12


def test_what_a_server_cannot_do_is_said(tmp_path: Path) -> None:
    with ScriptedServer(owner="someone") as server:
        compatible = model_named(f"openai:{server.url}#judge")
        messages = model_named(f"anthropic:{server.url}#judge")
        for model, request in [
            (compatible, Request(prompt="a")),
            (compatible, Request(messages=HELLO.messages, prompt_logprobs=1)),
            (messages, Request(messages=HELLO.messages, n=2)),
            (compatible, Request()),
        ]:
            with pytest.raises(ValueError):
                one(tmp_path, model, request)
        reply = one(tmp_path, messages, Request(messages=HELLO.messages, top_logprobs=5, choices=("yes", "no")))
        assert reply.logprobs is None and "top_logprobs" not in server.seen[-1].body


def test_requests_survive_the_ledger_and_new_fields_change_no_key() -> None:
    full = Request(
        messages=(Message("user", "\ud800 ä"),), max_tokens=3, temperature=1.0, seed=1, n=2, top_logprobs=3, stop=("a",),
        schema={"a": 1}, choices=("b",), keep=("c",), prompt_logprobs=2,
    )  # fmt: skip
    for request in (full, Request(prompt=(1, 2)), Request(prompt="x", max_tokens=0)):
        assert request_from(request_json(request)) == request
    assert request_json(Request(prompt="x")) == '{"prompt":"x"}'
