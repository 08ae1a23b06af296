"""Budgets hold: spent and reserved together never exceed them, whatever runs at the same time."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from dragoman.evals.gateway.budget import Account, Budget
from dragoman.evals.gateway.calls import Message, Reply, Request
from dragoman.evals.gateway.models import model_named
from dragoman.evals.gateway.prices import Price, list_price, price_from
from dragoman.store.errors import UserError

from .server import Said, ScriptedServer
from .test_gateway import HELLO, ask, one, rows


def test_an_account_never_admits_too_much() -> None:
    """A thousand calls at once, each of random size and of a smaller real cost, in random order."""
    draw = random.Random(0)
    most = 0

    async def run() -> tuple[Account, int, int]:
        nonlocal most
        account = Account(Budget(tokens=100_000), 0, 0.0)
        done = stopped = 0

        async def call(worst: int, real: int, seconds: float) -> None:
            nonlocal most, done, stopped
            try:
                await account.reserve(worst, 0.0)
            except UserError:
                stopped += 1
                return
            most = max(most, account.tokens + account.reserved_tokens)
            await asyncio.sleep(seconds)
            account.settle(worst, 0.0, real, 0.0)
            done += 1

        sizes = [draw.randrange(100, 1000) for _ in range(1000)]
        await asyncio.gather(*(call(size, draw.randrange(size // 8, size // 3), draw.random() / 100) for size in sizes))
        return account, done, stopped

    account, done, stopped = asyncio.run(run())
    assert most <= 100_000 and 95_000 < account.tokens <= 100_000, "waiting calls use what others gave back"
    assert done + stopped == 1000 and done > 300 and account.reserved_tokens == 0
    with pytest.raises(UserError, match=r"^The budget of 100,000 tokens is reached: .* are spent and the next call may need"):
        asyncio.run(account.reserve(1, 0.0))


def test_a_call_that_waits_for_room_gets_it_or_is_told() -> None:
    async def run() -> list[str]:
        account = Account(Budget(dollars=1.0), 0, 0.0)
        await account.reserve(0, 0.75)
        waiting = [asyncio.create_task(account.reserve(0, 0.5)) for _ in range(3)]
        cancelled = asyncio.create_task(account.reserve(0, 0.01))
        await asyncio.sleep(0)
        cancelled.cancel()
        account.settle(0, 0.75, 0, 0.25)
        await asyncio.sleep(0)
        states = [str(task.done()) for task in waiting]
        account.settle(0, 0.5, 0, 0.5)
        await asyncio.gather(*waiting, return_exceptions=True)
        return states + [str(task.exception()) for task in waiting]

    first, second, third, *errors = asyncio.run(run())
    assert (first, second, third) == ("True", "False", "False")
    assert errors[0] == "None" and errors[1] == errors[2] and "The budget of $1.00 is reached: $0.7500 are spent" in errors[1]


def test_tokens(tmp_path: Path) -> None:
    with ScriptedServer(lambda body: Said("yes", delay=0.01), caching=False) as server:
        model = model_named(f"vllm:{server.url}")
        found = ask(tmp_path, model, *[HELLO] * 100, budget=Budget(tokens=1000))
        replies = [reply for reply in found if isinstance(reply, Reply)]
        stopped = [reply for reply in found if isinstance(reply, UserError)]
        spent = sum(row["tokens"] for row in rows(tmp_path))
        assert len(replies) + len(stopped) == 100 and stopped and len(server.seen) == len(replies)
        assert 1000 - sum(model.worst(HELLO)) < spent <= 1000
        assert spent == sum(reply.prompt_tokens + reply.completion_tokens for reply in replies)
        again = ask(tmp_path, model, *[HELLO] * 100, budget=Budget(tokens=1000))
        assert len(server.seen) == len(replies), "a second process has no more to spend, but keeps what it got"
        assert sum(isinstance(reply, Reply) for reply in again) == len(replies)
        more = ask(tmp_path, model, *[HELLO] * 100, budget=Budget(tokens=1_000_000))
        assert all(isinstance(reply, Reply) for reply in more) and len(server.seen) == 100


def test_dollars_need_a_price(tmp_path: Path) -> None:
    with ScriptedServer(owner="x") as server:
        away = model_named(f"openai:{server.url.replace('127.0.0.1', 'example.invalid')}#judge")
        assert away.price is None
        with pytest.raises(
            UserError, match=r"^The price of openai:.* is not known, so a budget in dollars cannot be kept: say it"
        ):
            one(tmp_path, away, budget=Budget(dollars=1.0))
        own = model_named(f"openai:{server.url}#judge")
        assert one(tmp_path, own, budget=Budget(dollars=0.0)).cost == 0.0, "one's own server costs nothing"
        priced = model_named(f"openai:{server.url}#judge", price=Price(1000, 1000, 1000))
        with pytest.raises(UserError, match=r"^The budget of \$0.01 is reached"):
            one(tmp_path, priced, budget=Budget(dollars=0.01), seed=1)
        assert len(server.seen) == 1


def test_upper_bounds_are_upper_bounds(tmp_path: Path) -> None:
    texts = ["", "a", "naïve café ⟨U+202E⟩ 日本語", "word " * 50, "7" * 40]
    with ScriptedServer() as server:
        model = model_named(f"vllm:{server.url}")
        for number, text in enumerate(texts):
            request = Request(messages=(Message("system", text), Message("user", text)), max_tokens=3, n=2)
            reply = one(tmp_path, model, request, seed=number)
            prompt, completion = model.worst(request)
            assert reply.prompt_tokens <= prompt and reply.completion_tokens <= completion == 6
    exact = model_named("vllm:http://127.0.0.1:1/v1", count=lambda text: len(text.split()))
    assert exact.count_tokens("a b c") == 3


def test_prices() -> None:
    assert list_price("anthropic", "claude-haiku-4-5-20251001") == list_price("anthropic", "claude-haiku-4-5") == Price(1, 0.1, 5)
    assert list_price("openai", "gpt-4o-2024-08-06") == Price(2.5, 1.25, 10)
    assert list_price("openai", "gpt-4o-audio") is None and list_price("vllm", "gpt-4o") is None
    assert price_from("2,8") == Price(2, 2, 8) and price_from("2,0.5,8") == Price(2, 0.5, 8)
    assert Price(2, 0.5, 8).of(1000, 400, 100) == pytest.approx((600 * 2 + 400 * 0.5 + 100 * 8) / 1e6)
    for wrong in ("", "2", "a,b", "1,2,3,4", "-1,2", "nan,1"):
        with pytest.raises(UserError, match="is no price"):
            price_from(wrong)
