"""Models by name, and what is said when a server is not what was asked for: one clear sentence each."""

from __future__ import annotations

import asyncio

import pytest

from dragoman.evals.gateway.models import model_named
from dragoman.store.errors import UserError

from .server import WEBSITE, ScriptedServer


def checked(spec: str, **environment: str) -> str:
    """The sentence that `check` ends with, or the model's name and context length."""
    try:
        model = model_named(spec, environment=environment, connect_timeout=2)
        asyncio.run(model.check())
    except UserError as error:
        assert "\n" not in str(error) and str(error).endswith(".")
        return str(error)
    return f"{model.name} {model.context}"


def test_a_name_is_read_from_the_server() -> None:
    with ScriptedServer(models=["judge-1b"], context=2048) as server:
        model = model_named(f"vllm:{server.url}")
        with pytest.raises(RuntimeError):
            _ = model.name
        assert checked(f"vllm:{server.url}") == "vllm:judge-1b 2048"
        assert checked(f"vllm:{server.url.removesuffix('/v1')}/") == "vllm:judge-1b 2048", "/v1 may be left out"
        assert checked(f"openai:{server.url}#judge-1b") == "openai:judge-1b 2048"
        assert checked(f"anthropic:{server.url}#judge-1b") == "anthropic:judge-1b 2048"
        with ScriptedServer(models=["judge-1b"], context=1024) as other:
            assert checked(f"vllm:{server.url},{other.url}") == "vllm:judge-1b 1024", "the smaller context counts"
            other.die()
            assert checked(f"vllm:{server.url},{other.url}") == "vllm:judge-1b 2048"


def test_what_is_wrong_is_said() -> None:
    with ScriptedServer(models=["a", "b"], key="right") as server:
        url, key = server.url, {"VLLM_API_KEY": "right"}
        assert checked(f"vllm:{url}", **key) == f"{url} has several models (a, b): say which, as vllm:{url}#MODEL."
        assert checked(f"vllm:{url}#c", **key) == f"{url} has no model 'c'; it has a, b."
        for wrong in ({}, {"VLLM_API_KEY": "wrong"}):
            said = checked(f"vllm:{url}#a", **wrong)
            assert said == f"{url} refuses the key (401): put the right one into the environment as VLLM_API_KEY and try again."
        assert checked(f"vllm:{url}#a", OPENAI_API_KEY="right") == "vllm:a 8192"
        assert checked(f"anthropic:{url}#a", ANTHROPIC_API_KEY="right") == "anthropic:a 8192"
        server.die()
        said = checked(f"vllm:{url}")
        assert said.startswith(f"No server answers at {url} (no connection)") and "dragoman judge serve" in said
        assert "judge serve" not in checked(f"openai:{url}#a")


def test_a_server_of_another_kind() -> None:
    with ScriptedServer(owner="llamacpp") as server:
        assert checked(f"vllm:{server.url}").endswith(f"but not vLLM: write openai:{server.url}#MODEL (it has judge).")
        assert checked(f"vllm:{server.url}/elsewhere").startswith(
            f"{server.url}/elsewhere answers, but not as a vLLM server does"
        )
        assert checked(f"openai:{server.url}/elsewhere#x") == "openai:x None", "some compatible servers have no list"
        server.page = WEBSITE
        assert "(it sent text/html; charset=utf-8): check the address" in checked(f"openai:{server.url}#x")


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "judge",
        "vllm:",
        "vllm:judge",
        "gguf:http://127.0.0.1/v1",
        "vllm:ftp://x/v1",
        "vllm:http://:80",
        "vllm:http://x:port/v1",
    ],
)
def test_names_that_name_nothing(spec: str) -> None:
    with pytest.raises(UserError, match=r"names no model|has no address|is no address") as raised:
        model_named(spec, environment={})
    assert "\n" not in str(raised.value)


def test_keys_come_from_the_environment_only() -> None:
    for spec, name in (("openai:gpt-4o", "OPENAI_API_KEY"), ("anthropic:claude-haiku-4-5", "ANTHROPIC_API_KEY")):
        with pytest.raises(UserError, match=f"{name} is not set"):
            model_named(spec, environment={})
        assert "secret" not in repr(model_named(spec, environment={name: "secret"}))
    with pytest.raises(UserError, match="must not hold a name or a password") as raised:
        model_named("vllm:http://me:secret@127.0.0.1:8000/v1")
    assert "secret" not in str(raised.value)


def test_hosted_models_can_do_different_things() -> None:
    keys = {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}
    older, thinking, newer = (model_named(f"openai:{name}", environment=keys) for name in ("gpt-4o", "o3", "gpt-5.4-mini"))
    can = older.capabilities
    assert (can.logprobs, can.temperature, can.prompt_logprobs, can.no_thinking) == (20, True, 0, None)
    can = thinking.capabilities
    assert (can.logprobs, can.temperature, can.no_thinking) == (0, False, None)
    assert newer.capabilities.no_thinking == "none" and newer.price is not None and thinking.price is None
    names = ("claude-sonnet-5", "claude-haiku-4-5-20251001")
    sonnet, haiku = (model_named(f"anthropic:{name}", environment=keys).capabilities for name in names)
    assert (sonnet.temperature, sonnet.no_thinking, haiku.temperature, haiku.no_thinking) == (False, "disabled", True, None)
