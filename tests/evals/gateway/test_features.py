"""A budget for every feature: what does not fit ends the work on that feature only, at the same place every time."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from dragoman.evals.gateway.budget import Account, Accounts, Budget
from dragoman.evals.gateway.calls import FeatureSpent, Message, Place, Reply, Request
from dragoman.evals.gateway.gateway import Gateway
from dragoman.evals.gateway.models import Model, model_named
from dragoman.evals.gateway.prices import Price
from dragoman.store.calls import Calls
from dragoman.store.errors import UserError
from dragoman.store.ledger import Ledger
from dragoman.store.traffic import ModelCall

from .server import Said, ScriptedServer
from .test_gateway import rows


def question(number: int, words: int = 1) -> Request:
    return Request(messages=(Message("user", f"{number} " * words),), max_tokens=8)


def chain(path: Path, model: Model, features: int, calls: int, run: str = "run", **options: Any) -> dict[int, list[str]]:
    """Each feature asks one call after the other until one is refused; what came of each call."""

    async def work(gateway: Gateway, feature: int) -> list[str]:
        said: list[str] = []
        for number in range(calls):
            try:
                reply = await gateway.ask(model, question(number, 1 + feature), Place(feature, "s", number))
                said.append(f"{reply.texts[0]} {reply.prompt_tokens}")
            except (FeatureSpent, UserError) as error:
                return [*said, f"{type(error).__name__}: {error}"]
        return said

    async def all_features() -> dict[int, list[str]]:
        budget = options.pop("budget", Budget())
        async with Gateway(Ledger(path / "ledger.sqlite"), run, 0, budget, **{"backoff": 0.01, **options}) as gateway:
            found = await asyncio.gather(*(work(gateway, feature) for feature in range(features)))
            assert not gateway._books.accounts._features, "accounts of features that are at rest are not kept"
            return dict(enumerate(found))

    return asyncio.run(all_features())


def test_a_feature_ends_at_its_budget_and_the_others_go_on(tmp_path: Path) -> None:
    each = Budget(tokens=300)
    with ScriptedServer(lambda body: Said("word " * 3), caching=False) as server:
        model = model_named(f"vllm:{server.url}")
        found = chain(tmp_path, model, 3, 30, feature_budget=each)
        sent = len(server.seen)
        again = chain(tmp_path, model, 3, 30, feature_budget=each)
        assert again == found and len(server.seen) == sent, "the same calls are refused again, and nothing more is sent"
        more = chain(tmp_path, model, 3, 30, feature_budget=Budget(tokens=100_000))
        assert all(len(said) == 30 and "Spent" not in said[-1] for said in more.values()), "a larger budget goes on"
    for feature, said in found.items():
        spent = sum(row["tokens"] for row in rows(tmp_path) if row["feature"] == feature and row["ordinal"] < len(said) - 1)
        worst = sum(model.worst(question(len(said) - 1, 1 + feature)))
        assert 5 < len(said) < 30 and spent <= 300 < spent + worst
        assert said[-1] == (
            f"FeatureSpent: The budget of 300 tokens for feature {feature} is reached: {spent} are spent and the next call "
            f"may need {worst}; raise it and run the same command again, what was answered is kept."
        )
    stops = [row for row in rows(tmp_path) if row["status"] == "feature_spent"]
    assert len(stops) == 3 and {(row["tokens"], row["cost"]) for row in stops} == {(0, 0.0)}, "a stop is recorded once"


def test_dollars_of_a_feature(tmp_path: Path) -> None:
    with ScriptedServer(owner="x") as server:
        priced = model_named(f"openai:{server.url}#judge", price=Price(100, 100, 100))
        found = chain(tmp_path, priced, 1, 100, feature_budget=Budget(dollars=0.02))
        assert found[0][-1].startswith("FeatureSpent: The budget of $0.0200 for feature 0 is reached: $0.0")
        assert 0 < sum(row["cost"] for row in rows(tmp_path)) <= 0.02
        away = model_named(f"openai:{server.url.replace('127.0.0.1', 'example.invalid')}#judge")
        unknown = chain(tmp_path, away, 1, 1, "other", feature_budget=Budget(dollars=1.0))
        assert "is not known, so a budget in dollars cannot be kept" in unknown[0][0]


def test_calls_that_belong_to_no_feature_have_the_runs_budget_only(tmp_path: Path) -> None:
    async def run(model: Model) -> Reply:
        ledger = Ledger(tmp_path / "ledger.sqlite")
        async with Gateway(ledger, "run", 0, Budget(), feature_budget=Budget(tokens=1)) as gateway:
            with pytest.raises(FeatureSpent):
                await gateway.ask(model, question(0), Place(0, "s", 0))
            return await gateway.ask(model, question(0), Place(-1, "s", 0))

    with ScriptedServer() as server:
        assert asyncio.run(run(model_named(f"vllm:{server.url}"))).texts == ("yes",)


def test_what_a_killed_process_reserved_counts_for_the_feature(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    calls = Calls(ledger.path)
    row = ModelCall(
        id="x", run="run", feature=0, step="s", ordinal=9, attempt=0, key="k", model="vllm:judge", request="{}",
        status="reserved", tokens=290, cost=0.0, started="",
    )  # fmt: skip
    calls.write([row])
    calls.close()
    with ScriptedServer() as server:
        found = chain(tmp_path, model_named(f"vllm:{server.url}"), 2, 2, feature_budget=Budget(tokens=300))
    assert found[0][0].startswith("FeatureSpent: The budget of 300 tokens for feature 0 is reached: 290 are spent")
    assert len(found[1]) == 2 and "Spent" not in found[1][1]


def test_neither_account_is_ever_exceeded() -> None:
    """Calls of ten features at once, of random size and smaller real cost; nobody is refused while what is under way may help."""
    draw = random.Random(1)
    settled: dict[int, int] = {}
    most_run, most_feature = 0, 0

    async def run() -> tuple[Accounts, int, int]:
        nonlocal most_run, most_feature
        accounts = Accounts(Account(Budget(tokens=40_000), 0, 0.0), Budget(tokens=5_000), lambda f: (settled.get(f, 0), 0.0))
        spent = stopped = 0

        async def call(feature: int, worst: int, real: int, seconds: float) -> None:
            nonlocal spent, stopped, most_run, most_feature
            try:
                await accounts.reserve(feature, worst, 0.0)
            except FeatureSpent:
                spent += 1
                return
            except UserError:
                stopped += 1
                return
            account = accounts.of(feature)
            assert account is not None
            most_run = max(most_run, accounts.run.tokens + accounts.run.reserved_tokens)
            most_feature = max(most_feature, account.tokens + account.reserved_tokens)
            await asyncio.sleep(seconds)
            settled[feature] = settled.get(feature, 0) + real
            accounts.settle(feature, worst, 0.0, real, 0.0)

        sizes = [draw.randrange(100, 1000) for _ in range(600)]
        await asyncio.gather(
            *(call(n % 10, size, draw.randrange(size // 8, size // 3), draw.random() / 100) for n, size in enumerate(sizes))
        )
        assert not accounts._features and accounts.run.reserved_tokens == 0 and accounts.run.tokens == sum(settled.values())
        return accounts, spent, stopped

    _, spent, stopped = asyncio.run(run())
    assert most_feature <= 5_000 and most_run <= 40_000 and spent and stopped
    assert sum(settled.values()) > 38_000


def test_a_small_call_may_fit_after_a_large_one_was_refused() -> None:
    async def run() -> list[str]:
        account = Account(Budget(tokens=100), 0, 0.0, feature=3)
        await account.reserve(80, 0.0)
        large, small = asyncio.create_task(account.reserve(70, 0.0)), asyncio.create_task(account.reserve(20, 0.0))
        await asyncio.sleep(0)
        account.settle(80, 0.0, 60, 0.0)
        await asyncio.gather(large, small, return_exceptions=True)
        return [type(task.exception()).__name__ for task in (large, small)]

    assert asyncio.run(run()) == ["FeatureSpent", "NoneType"]
