"""Many questions at once: what the first error does to the others."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dragoman.evals.gateway.budget import Budget
from dragoman.evals.gateway.calls import BudgetReached, Message, Place, Request
from dragoman.evals.gateway.gateway import Gateway
from dragoman.evals.gateway.models import model_named
from dragoman.evals.judge.concurrency import together
from dragoman.store.ledger import Ledger
from tests.evals.gateway.server import ScriptedServer
from tests.evals.gateway.test_gateway import HELLO, rows


def test_a_budget_that_is_reached_loses_no_answer_that_is_under_way(tmp_path: Path) -> None:
    large = Request(messages=(Message("user", "many words " * 200),), max_tokens=5)

    async def asked(server: ScriptedServer) -> None:
        budget = Budget(tokens=300)
        async with Gateway(Ledger(tmp_path / "ledger.sqlite"), "run", 0, budget) as gateway:
            model = model_named(f"vllm:{server.url}")

            async def first() -> None:
                await gateway.ask(model, HELLO, Place(7, "step", 0))
                await gateway.ask(model, HELLO, Place(7, "step", 1))

            async def second() -> None:
                while not server.seen:
                    await asyncio.sleep(0.01)
                try:
                    await gateway.ask(model, large, Place(7, "step", 2))
                finally:
                    server.let_go()

            await together([first(), second()])

    with ScriptedServer(hold=True) as server:
        with pytest.raises(BudgetReached, match=r"^The budget of 300 tokens is reached"):
            asyncio.run(asked(server))
        assert len(server.seen) == 1, "nothing is asked after it"
    assert {row["ordinal"]: row["status"] for row in rows(tmp_path)} == {0: "settled", 1: "stopped", 2: "stopped"}


def test_any_other_error_ends_the_rest() -> None:
    ended = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("waits")

    async def fails() -> None:
        await asyncio.sleep(0)
        raise KeyError("x")

    with pytest.raises(KeyError):
        asyncio.run(together([waits(), fails()]))
    assert ended == ["waits"]
