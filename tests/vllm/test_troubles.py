"""What can go wrong with a real vLLM server."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import pytest

from dragoman.evals.gateway.budget import Budget
from dragoman.evals.gateway.calls import Message, Place, Reply, Request, Unanswered
from dragoman.evals.gateway.gateway import Gateway
from dragoman.evals.gateway.models import model_named
from dragoman.evals.judge.model import ModelReader
from dragoman.evals.judge.reader import Answer, Step
from dragoman.store.errors import UserError
from dragoman.store.ledger import Ledger
from tests.vllm.exams import passage, texts
from tests.vllm.served import Served
from tests.vllm.small_judge import FOLDER

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


def test_a_prompt_that_is_read_in_several_steps_leaves_the_engine_alive(tmp_path: Path) -> None:
    """On a CPU, vLLM's engine dies of a seeded request whose prompt it reads in two steps; what we sample is not seeded."""
    chunk = 256
    served = Served(FOLDER, tmp_path, "--max-num-batched-tokens", str(chunk))
    long = passage(" ".join(texts()[:10])[:1600])

    async def run() -> list[Answer]:
        model = served.named()
        await model.check()
        model.capabilities = replace(model.capabilities, logprobs=0, schema=False)
        async with Gateway(Ledger(tmp_path / "l.sqlite"), "run", 0, Budget(), patience=20) as gateway:
            reader = ModelReader(gateway, model)
            answers = await reader.detect("fires on the word garden", [long] * 3, Step(0, "long"))
            await reader.write("fires on the word garden " + long.text, True, 2, Step(0, "write"))
            return answers + await reader.detect("fires on the word garden", [passage("the garden")], Step(0, "after"))

    try:
        answers = asyncio.run(run())
        assert served.process.poll() is None, served.errors()
        assert served.counters()["prompt"] > 4 * chunk
    finally:
        served.stop()
    assert [answer.way for answer in answers] == ["sampled"] * 4, answers
    rows = Ledger(tmp_path / "l.sqlite").arrow("model_call").to_pylist()
    assert {row["status"] for row in rows} == {"settled"}
    assert sum(row["prompt_tokens"] > chunk for row in rows) == 4, "every long prompt takes several steps"
