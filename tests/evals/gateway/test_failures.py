"""Every way a server can fail, scripted: what is tried again, what is given up, what ends the run, and what is said."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

import pytest

from dragoman.evals.gateway.budget import Budget
from dragoman.evals.gateway.calls import Message, Place, Reply, Request, Unanswered
from dragoman.evals.gateway.gateway import IN_A_ROW, TRIES, TRIES_ALONE, Gateway
from dragoman.evals.gateway.models import Model, model_named
from dragoman.store.errors import UserError
from dragoman.store.ledger import Ledger

from .server import BROKEN, DROPPED, GARBAGE, HANGING, OVERLOADED, RATE_LIMIT, WEBSITE, Body, Failure, Said, ScriptedServer
from .test_gateway import HELLO, ask, one, rows

PASSING = {"refused": RATE_LIMIT, "overloaded": OVERLOADED, "broken": BROKEN, "dropped": DROPPED, "garbage": GARBAGE}


@pytest.mark.parametrize("failure", PASSING.values(), ids=PASSING)
def test_what_passes_is_tried_again(failure: Failure, tmp_path: Path) -> None:
    with ScriptedServer() as server:
        model = model_named(f"vllm:{server.url}")
        server.fail(failure, 3)
        assert one(tmp_path, model).texts == ("yes",)
        assert len(server.seen) == 4, "the SDK does not try again by itself"
    worst = sum(model.worst(HELLO))
    lost = [row["tokens"] for row in rows(tmp_path) if row["status"] == "failed"]
    spent = failure in (DROPPED, GARBAGE)
    assert lost == [worst] * 3 * spent, "what may have been worked on counts at its worst, what was refused counts nothing"
    assert [row["attempt"] for row in rows(tmp_path)] == list(range(len(lost) + 1))


def test_a_server_that_never_answers_times_out(tmp_path: Path) -> None:
    with ScriptedServer() as server:
        server.fail(HANGING, 2)
        begun = time.monotonic()
        assert one(tmp_path, model_named(f"vllm:{server.url}", read_timeout=0.5)).texts == ("yes",)
        assert 1.0 <= time.monotonic() - begun < 250, "the usual timeout is 300 seconds"
    *lost, last = [row["reason"] for row in rows(tmp_path)]
    assert len(lost) >= 2 and set(lost) == {"timed out"} and last is None, "a busy machine may be late with the reply, too"


def test_retry_after_is_honoured_by_all_calls(tmp_path: Path) -> None:
    with ScriptedServer() as server:
        server.fail(Failure(status=429, retry_after=0.5))
        one(tmp_path, model_named(f"vllm:{server.url}"))
        assert server.seen[1].time - server.seen[0].time >= 0.5
        server.fail(Failure(status=429, retry_after=99, message="daily limit"))
        with pytest.raises(UserError, match=r"asks to wait 99 s before the next call \(daily limit\)"):
            one(tmp_path, model_named(f"vllm:{server.url}"), patience=5, seed=1)


def test_one_call_that_always_fails_is_given_up_and_the_others_go_on(tmp_path: Path) -> None:
    def answer(body: Body) -> str | Failure:
        return BROKEN if "poison" in body["messages"][-1]["content"] else "yes"

    poison = Request(messages=(Message("user", "poison"),))
    good = [Request(messages=(Message("user", str(number)),)) for number in range(20)]
    with ScriptedServer(answer) as server:
        first, *others = ask(tmp_path, model_named(f"vllm:{server.url}"), poison, *good)
        assert isinstance(first, Unanswered) and str(first) == f"the server failed on it {TRIES} times (HTTP 500: internal error)"
        assert all(isinstance(reply, Reply) for reply in others)
        alone = ask(tmp_path, model_named(f"vllm:{server.url}"), poison, seed=1, backoff=0.001)
        assert f"{TRIES_ALONE} times" in str(alone[0])


def test_a_server_that_fails_on_everything_ends_the_run(tmp_path: Path) -> None:
    with ScriptedServer(lambda body: BROKEN) as server:
        found = ask(tmp_path, model_named(f"vllm:{server.url}"), *[HELLO] * (IN_A_ROW + 5), backoff=0.001)
    stopped = [error for error in found if isinstance(error, UserError)]
    assert len(stopped) == 6 and str(stopped[0]).startswith(f"{server.url} fails on everything (HTTP 500: internal error)")


def test_a_prompt_that_is_too_long_has_no_answer(tmp_path: Path) -> None:
    with ScriptedServer(context=50) as server:
        long = Request(messages=(Message("user", "word " * 60),), max_tokens=5)
        first, second = ask(tmp_path, model_named(f"vllm:{server.url}"), long, HELLO)
        assert isinstance(first, Unanswered)
        assert str(first).startswith("the prompt is too long for judge: This model's maximum context length")
        assert isinstance(second, Reply) and len(server.seen) == 2
    assert sorted((row["status"], row["tokens"] > 0) for row in rows(tmp_path)) == [("failed", False), ("settled", True)]


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 2048 tokens. However, your request has 8 input tokens plus 2045 'max_tokens'.",
        "The decoder prompt (length 2000) is longer than the maximum model length of 1024.",
        "'max_tokens' or 'max_completion_tokens' is too large: 9000. This model's maximum context length is 8192 tokens",
        "prompt is too long: 210000 tokens > 200000 maximum",
    ],
)
def test_too_long_in_other_words(message: str, tmp_path: Path) -> None:
    with ScriptedServer(lambda body: Failure(status=400, message=message)) as server, pytest.raises(Unanswered, match="too long"):
        one(tmp_path, model_named(f"vllm:{server.url}"))


def test_another_refusal_of_one_request_is_its_reason(tmp_path: Path) -> None:
    wrong = Failure(status=400, message="top_logprobs must not\nexceed 5")
    reason = r"^the server refused the request \(HTTP 400\): top_logprobs must not exceed 5$"
    with ScriptedServer(lambda body: wrong) as server, pytest.raises(Unanswered, match=reason):
        one(tmp_path, model_named(f"vllm:{server.url}"))


def test_a_web_server_in_its_place(tmp_path: Path) -> None:
    reason = r"not as a vLLM server does \(it sent text/html"
    with ScriptedServer(lambda body: WEBSITE) as server, pytest.raises(UserError, match=reason):
        one(tmp_path, model_named(f"vllm:{server.url}"))


def test_an_account_without_credit(tmp_path: Path) -> None:
    quota = Failure(status=429, message="You exceeded your current quota", code="insufficient_quota")
    with ScriptedServer(lambda body: quota) as server, pytest.raises(UserError, match="no credit left"):
        one(tmp_path, model_named(f"vllm:{server.url}"))
    assert [row["tokens"] for row in rows(tmp_path)] == [0]


def test_a_key_is_never_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    key = "sk-very-secret-123"

    def answer(body: Body) -> str | Failure:
        failures = {"bad": Failure(status=400, message=f"bad key {key}"), "broken": Failure(status=500, message=key)}
        return failures.get(body["messages"][-1]["content"], f"it is {key}")

    caplog.set_level(logging.DEBUG)
    with ScriptedServer(answer, key=key) as server:
        right = model_named(f"vllm:{server.url}", environment={"OPENAI_API_KEY": key})
        asked = [Request(messages=(Message("user", text),)) for text in ("bad", "broken", "fine")]
        found = ask(tmp_path, right, *asked, backoff=0.001)
        wrong = model_named(f"vllm:{server.url}", environment={"VLLM_API_KEY": f"{key}-wrong"})
        (refused,) = ask(tmp_path, wrong, HELLO)
        assert isinstance(refused, UserError) and f"{server.url} refuses the key (401)" in str(refused)
        server.die()
    shown = [str(entry) for entry in (*found, refused)] + [repr(right)] + [record.getMessage() for record in caplog.records]
    shown += [str(value) for row in rows(tmp_path) for value in row.values()]
    assert any("•••" in text for text in shown) and not any(key in text for text in shown)
    assert all(error.__cause__ is None for error in (*found, refused) if isinstance(error, BaseException))


def test_a_server_that_is_not_there_is_looked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = 0
    check = Model.check

    async def counted(model: Model) -> None:
        nonlocal checks
        checks += 1
        await check(model)

    monkeypatch.setattr(Model, "check", counted)
    with ScriptedServer() as server:
        model = model_named(f"vllm:{server.url}#judge")
        server.die()
        found = ask(tmp_path, model, *[HELLO] * 20)
    assert {str(error) for error in found} == {str(found[0])} and str(found[0]).startswith("No server answers at")
    assert checks == 1 and all(isinstance(error, UserError) for error in found) and rows(tmp_path) == []


def test_a_server_that_dies_is_waited_for_and_nothing_is_lost(tmp_path: Path) -> None:
    said: list[str] = []

    async def run(server: ScriptedServer) -> list[Reply]:
        async with Gateway(Ledger(tmp_path / "ledger.sqlite"), "run", 0, Budget(), backoff=0.02, say=said.append) as gateway:
            model = model_named(f"vllm:{server.url}#judge")
            calls = [asyncio.create_task(gateway.ask(model, HELLO, Place(0, "s", number))) for number in range(60)]
            while server.answered < 20:
                await asyncio.sleep(0.005)
            server.die()
            while not said:
                await asyncio.sleep(0.005)
            assert server.connections == 0 and not all(call.done() for call in calls)
            server.come_back()
            return await asyncio.gather(*calls)

    with ScriptedServer(lambda body: Said("yes", delay=0.05)) as server:
        replies = asyncio.run(run(server))
    assert [reply.texts for reply in replies] == [("yes",)] * 60
    assert len(said) == 2 and "waiting for it, up to 10 minutes" in said[0] and "is back after" in said[1]
    settled = [row["ordinal"] for row in rows(tmp_path) if row["status"] == "settled"]
    assert sorted(settled) == list(range(60)) and not [row for row in rows(tmp_path) if row["status"] == "reserved"]


def test_a_server_that_stays_away_ends_the_run_with_one_sentence(tmp_path: Path) -> None:
    def answer(body: Body) -> Said:
        return Said("yes", delay=60)

    async def run(server: ScriptedServer) -> list[BaseException | Reply]:
        async with Gateway(Ledger(tmp_path / "ledger.sqlite"), "run", 0, Budget(), backoff=0.02, patience=0.5) as gateway:
            model = model_named(f"vllm:{server.url}")
            calls = [asyncio.create_task(gateway.ask(model, HELLO, Place(0, "s", number))) for number in range(40)]
            while server.open < 10:
                await asyncio.sleep(0.005)
            server.die()
            return await asyncio.gather(*calls, return_exceptions=True)

    with ScriptedServer(answer) as server:
        begun = time.monotonic()
        found = asyncio.run(run(server))
        assert time.monotonic() - begun < 250, "the usual patience is ten minutes"
    sentences = {str(error) for error in found if isinstance(error, UserError)}
    assert len(found) == 40 and len(sentences) == 1
    assert sentences.pop().endswith("see to the server and run the same command again, what was answered is kept.")


def test_with_one_replica_away_the_other_goes_on(tmp_path: Path) -> None:
    said: list[str] = []
    with ScriptedServer() as left, ScriptedServer() as right:
        model = model_named(f"vllm:{left.url},{right.url}")
        assert all(isinstance(reply, Reply) for reply in ask(tmp_path, model, *[HELLO] * 10))
        left.die()
        replies = ask(tmp_path, model, *[HELLO] * 30, seed=1, say=said.append)
        assert all(isinstance(reply, Reply) for reply in replies)
    assert len(said) == 1 and said[0] == f"{left.url} does not answer (no connection): going on with the other 1."
