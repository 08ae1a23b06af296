"""The scripted server speaks as real ones do: read by the SDKs themselves."""

from __future__ import annotations

import contextlib
import math
import socket

import anthropic
import httpx2
import openai
import pytest

from .replies import tokens_of
from .server import BROKEN, DROPPED, GARBAGE, HANGING, RATE_LIMIT, WEBSITE, Said, ScriptedServer
from .traffic import server_process


def client(server: ScriptedServer, key: str = "k", timeout: float = 120) -> openai.OpenAI:
    return openai.OpenAI(api_key=key, base_url=server.url, max_retries=0, timeout=timeout)


def ask(server: ScriptedServer, text: str = "hello", key: str = "k", timeout: float = 120) -> openai.types.chat.ChatCompletion:
    return client(server, key, timeout).chat.completions.create(
        model="judge", messages=[{"role": "user", "content": text}], max_tokens=5, logprobs=True, top_logprobs=2, n=2
    )


def test_chat_with_probabilities() -> None:
    with ScriptedServer(lambda body: Said(chances=[{"yes": 0.7, "no": 0.3, "maybe": 0.0}])) as server:
        reply = ask(server)
        assert [choice.message.content for choice in reply.choices] == ["yes", "yes"]
        assert reply.choices[0].logprobs is not None and reply.choices[0].logprobs.content is not None
        top = reply.choices[0].logprobs.content[0].top_logprobs
        assert {t.token: pytest.approx(math.exp(t.logprob)) for t in top} == {"yes": 0.7, "no": 0.3}
        assert reply.usage is not None and reply.usage.completion_tokens == 2
        assert server.seen[0].body["messages"][0]["content"] == "hello" and server.seen[0].path == "/v1/chat/completions"
        assert [model.id for model in client(server).models.list()] == ["judge"]
        assert "vllm:generation_tokens_total" in httpx2.get(f"http://127.0.0.1:{server.port}/metrics").text


def test_probabilities_of_a_prompt() -> None:
    def chances(place: int, tokens: list[str]) -> dict[str, float] | None:
        return {"7": 0.6, "3": 0.4} if tokens[place].isdigit() else None

    text = "cat\t3\ndog\t7"
    with ScriptedServer(lambda body: Said("", prompt_chances=chances)) as server:
        reply = client(server).completions.create(
            model="judge", prompt=text, max_tokens=0, echo=True, extra_body={"prompt_logprobs": 1}
        )
        assert reply.choices[0].text == text
        places = reply.choices[0].model_extra["prompt_logprobs"]  # type: ignore[index]
        assert places[0] is None and len(places) == len(tokens_of(text)) == 7
        assert [entry["decoded_token"] for entry in places[2].values()] == ["3", "7"]
        assert [entry["decoded_token"] for entry in places[6].values()] == ["7"]


def test_the_prefix_cache_counts_whole_blocks() -> None:
    shared = "word " * 40
    with ScriptedServer() as server:
        first, second = ask(server, shared + "a"), ask(server, shared + "b")
        assert first.usage is not None and second.usage is not None and second.usage.prompt_tokens_details is not None
        assert first.usage.prompt_tokens_details is not None and first.usage.prompt_tokens_details.cached_tokens == 0
        assert 0 < (second.usage.prompt_tokens_details.cached_tokens or 0) <= 80
        assert (second.usage.prompt_tokens_details.cached_tokens or 0) % 16 == 0


def test_anthropic() -> None:
    with ScriptedServer(lambda body: body["system"] + body["messages"][0]["content"]) as server:
        with anthropic.Anthropic(api_key="k", base_url=server.url.removesuffix("/v1"), max_retries=0) as messages:
            reply = messages.messages.create(model="judge", system="a", messages=[{"role": "user", "content": "b"}], max_tokens=5)
        assert reply.content[0].type == "text" and reply.content[0].text == "ab" and reply.stop_reason == "end_turn"


def test_a_dead_server_refuses_connections_and_nobody_takes_its_port() -> None:
    with ScriptedServer() as server, socket.create_server(("127.0.0.1", 0)) as another:
        server.die()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port))
        with socket.socket() as taking, contextlib.suppress(OSError):
            taking.bind(("127.0.0.1", server.port))
            taking.connect(another.getsockname())
            pytest.fail("the port is free to be taken")
        server.come_back()
        assert ask(server).choices[0].message.content == "yes"


def test_every_failure() -> None:
    with ScriptedServer(key="right") as server:
        with pytest.raises(openai.AuthenticationError):
            ask(server, key="wrong")
        for failure, error in [
            (RATE_LIMIT, openai.RateLimitError),
            (BROKEN, openai.InternalServerError),
            (DROPPED, openai.APIConnectionError),
            (HANGING, openai.APITimeoutError),
            (GARBAGE, ValueError),
        ]:
            server.fail(failure)
            with pytest.raises(error):
                ask(server, key="right", timeout=0.5 if failure == HANGING else 120)
        server.fail(WEBSITE)
        assert isinstance(ask(server, key="right"), str), "the SDK hands over what is not JSON as text"
        with pytest.raises(openai.BadRequestError, match="maximum context length"):
            ask(server, "word " * 10_000, key="right")
        with pytest.raises(openai.NotFoundError):
            client(server, "right").completions.create(model="other", prompt="a")
        server.die()
        with pytest.raises(openai.APIConnectionError):
            ask(server, key="right")
        server.come_back()
        assert ask(server, key="right").choices[0].message.content == "yes"
        assert server.open == 0


def test_what_a_server_of_its_own_saw_is_told_once_closed_connections_are_noticed() -> None:
    with server_process() as (url, seen):
        port = int(url.rpartition(":")[2].split("/")[0])
        for connection in [socket.create_connection(("127.0.0.1", port)) for _ in range(300)]:
            connection.close()
    assert seen == {"answered": 0, "open": 0, "connections": 0}


def test_a_connection_that_stays_open_is_told() -> None:
    with server_process(patience=0.2) as (url, seen):
        port = int(url.rpartition(":")[2].split("/")[0])
        kept = socket.create_connection(("127.0.0.1", port))
        assert httpx2.get(f"{url}/models").status_code == 200  # it was accepted before this one
    kept.close()
    assert seen == {"answered": 0, "open": 0, "connections": 1}
