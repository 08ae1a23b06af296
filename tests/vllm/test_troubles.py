"""What can go wrong with a real vLLM server."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from dragoman.evals.gateway.budget import Budget
from dragoman.evals.gateway.calls import Message, Place, Reply, Request, Unanswered
from dragoman.evals.gateway.gateway import Gateway
from dragoman.evals.gateway.models import model_named
from dragoman.store.errors import UserError
from dragoman.store.ledger import Ledger
from tests.vllm.served import Served

pytestmark = pytest.mark.vllm


def question(number: int) -> Request:
    """A short request unlike the others."""
    return Request((Message("user", f"Is {number} a number?"),), max_tokens=1, top_logprobs=5)


def test_a_wrong_name_says_what_there_is(served: Served) -> None:
    with pytest.raises(UserError, match="has no model 'judge-70b'; it has small_judge"):
        asyncio.run(served.named("#judge-70b").check())


def test_a_server_of_another_kind(served: Served) -> None:
    model = model_named(f"anthropic:http://127.0.0.1:{served.port}#small_judge", environment={"ANTHROPIC_API_KEY": "none"})
    with pytest.raises(UserError):
        asyncio.run(model_named(f"vllm:http://127.0.0.1:{served.port}/nothing").check())
    assert model.kind == "anthropic"


def test_a_question_that_is_too_long_leaves_the_others(served: Served, tmp_path: Path) -> None:
    async def run() -> list[Reply | BaseException]:
        model = served.named()
        long = Request((Message("user", "word " * 6000),), max_tokens=1)
        async with Gateway(Ledger(tmp_path / "l.sqlite"), "run", 0, Budget()) as gateway:
            calls = [gateway.ask(model, r, Place(0, "s", i)) for i, r in enumerate((question(0), long, question(1)))]
            return await asyncio.gather(*calls, return_exceptions=True)

    first, second, third = asyncio.run(run())
    assert isinstance(first, Reply) and isinstance(third, Reply)
    assert isinstance(second, Unanswered) and re.search("context|too long", str(second)), second


def test_a_server_killed_in_the_middle_loses_nothing(served: Served, tmp_path: Path) -> None:
    said: list[str] = []

    async def run() -> list[Reply]:
        model = served.named()
        async with Gateway(Ledger(tmp_path / "l.sqlite"), "run", 0, Budget(), patience=600, say=said.append) as gateway:
            gate = asyncio.Semaphore(4)
            done = 0

            async def one(number: int) -> Reply:
                nonlocal done
                async with gate:
                    reply = await gateway.ask(model, question(number), Place(0, "s", number))
                    done += 1
                    return reply

            calls = [asyncio.create_task(one(i)) for i in range(120)]
            while done < 30:
                await asyncio.sleep(0.01)
            sentence = await asyncio.to_thread(served.kill)
            assert "vLLM ended because the system killed it" in sentence and "Traceback" not in sentence
            await asyncio.to_thread(served.start)
            return await asyncio.gather(*calls)

    replies = asyncio.run(run())
    assert len(replies) == 120 and not any(reply.hit for reply in replies)
    rows = Ledger(tmp_path / "l.sqlite").arrow("model_call").to_pylist()
    settled = [row for row in rows if row["status"] == "settled"]
    assert len({row["key"] for row in settled}) == len(settled) == 120
    assert [bool(re.search("waiting for it", s)) for s in said[:1]] == [True], said
    assert any("is back" in s for s in said[1:]), said


def test_patience_ends_with_a_sentence_and_the_run_goes_on_later(served: Served, tmp_path: Path) -> None:
    async def run(count: int, patience: float) -> list[Reply]:
        model = served.named()
        async with Gateway(Ledger(tmp_path / "l.sqlite"), "run", 0, Budget(), patience=patience) as gateway:
            if count == 5:
                made = [await gateway.ask(model, question(i), Place(0, "s", i)) for i in range(count)]
                await asyncio.to_thread(served.kill)
                await gateway.ask(model, question(count), Place(0, "s", count))
                return made
            return [await gateway.ask(model, question(i), Place(0, "s", i)) for i in range(count)]

    with pytest.raises(UserError) as stopped:
        asyncio.run(run(5, patience=3))
    assert f"127.0.0.1:{served.port}" in str(stopped.value) and "\n" not in str(stopped.value)
    served.start()
    replies = asyncio.run(run(8, patience=60))
    assert [reply.hit for reply in replies] == [True] * 5 + [False] * 3
