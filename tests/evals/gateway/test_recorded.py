"""A run replayed from the ledger: no server, the same replies, the same failures, the same stops."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from dragoman.evals.gateway.budget import Budget
from dragoman.evals.gateway.calls import Message, NotRecorded, Place, Refused, Reply, Request, Unanswered
from dragoman.evals.gateway.gateway import TRIES_ALONE, Gateway
from dragoman.evals.gateway.models import model_named
from dragoman.evals.gateway.prices import Price
from dragoman.store.errors import UserError
from dragoman.store.ledger import Ledger

from .server import BROKEN, DROPPED, HANGING, Body, Failure, Said, ScriptedServer
from .test_features import chain
from .test_gateway import HELLO, ask, one, rows

PRICE = Price(1, 1, 1)


def plain(found: list[Reply | BaseException]) -> list[Any]:
    """Replies without what is the ledger's, and exceptions as kind and words."""
    leave = {"hit", "call", "latency"}
    return [
        {name: value for name, value in vars(reply).items() if name not in leave}
        if isinstance(reply, Reply)
        else f"{type(reply).__name__}: {reply}"
        for reply in found
    ]


def sums(path: Path, run: str) -> tuple[int, float, int]:
    found = [row for row in rows(path) if row["run"] == run]
    return sum(row["tokens"] for row in found), sum(row["cost"] or 0.0 for row in found), len(found)


def answer(body: Body) -> str | Said | Failure:
    text = body["messages"][-1]["content"]
    if text == "poison":
        return DROPPED
    if text == "long":
        return Failure(status=400, message="this prompt is too long")
    return Said("", finish="refusal") if text == "forbidden" else f"said {text}"


def test_replies_failures_and_refusals_come_again_without_a_server(tmp_path: Path) -> None:
    texts = ("a", "poison", "long", "forbidden", "b")
    requests = [Request(messages=(Message("user", text),), max_tokens=4) for text in texts]
    with ScriptedServer(answer) as server:
        server.fail(BROKEN)
        server.fail(DROPPED)
        model = model_named(f"vllm:{server.url}", price=PRICE)
        first = ask(tmp_path, model, *requests, run="first", backoff=0.001)
        sent = len(server.seen)
        server.die()
        unnamed = model_named(f"vllm:{server.url}", price=PRICE)
        second = ask(tmp_path, unnamed, *requests, run="second", recorded="first")
        third = ask(tmp_path, unnamed, *requests, run="second", recorded="first")
        same = ask(tmp_path, unnamed, *requests, run="first", recorded="first")
        assert len(server.seen) == sent
    assert plain(second) == plain(first) == plain(third) == plain(same)
    assert isinstance(first[1], Unanswered) and "times (the connection was dropped)" in str(first[1])
    assert isinstance(second[3], Refused) and str(second[2]).startswith("the prompt is too long")
    assert all(reply.hit for reply in (*second, *third) if isinstance(reply, Reply))
    assert sums(tmp_path, "first") == sums(tmp_path, "second") and sums(tmp_path, "first")[2] >= len(texts) + 2
    assert all(row["hit"] for row in rows(tmp_path) if row["run"] == "second")


def test_what_was_never_asked_is_said(tmp_path: Path) -> None:
    with ScriptedServer() as server:
        model = model_named(f"vllm:{server.url}#judge")
        one(tmp_path, model, run="first")
        with pytest.raises(NotRecorded) as raised:
            one(tmp_path, model, Request(messages=(Message("user", "other"),)), run="again", recorded="first")
        assert str(raised.value).startswith("Run first holds no answer to call 0 of step for feature 7 by vllm:judge: replay it ")
        with pytest.raises(NotRecorded):
            one(tmp_path, model, run="again", recorded="first", seed=1)
        assert len(server.seen) == 1
        with pytest.raises(
            UserError, match=r"^Run none asked no model of the kind vllm: say which is meant, as vllm:.*#MODEL\.$"
        ):
            one(tmp_path, model_named(f"vllm:{server.url}"), run="again", recorded="none")


def test_stops_fall_at_the_same_place(tmp_path: Path) -> None:
    """Features replayed one by one, in another order and all at once: what a budget stopped is stopped, and nothing else."""
    limits = {"budget": Budget(tokens=1580), "feature_budget": Budget(tokens=300)}  # too little for all features to end at theirs
    with ScriptedServer(lambda body: Said("word " * 3, delay=0.002), caching=False) as server:
        model = model_named(f"vllm:{server.url}#judge")
        first = chain(tmp_path, model, 8, 30, "first", **dict(limits))
    ended = [said[-1].partition(":")[0] for said in first.values()]
    assert set(ended) == {"FeatureSpent", "BudgetReached"}, "both budgets ended something"
    assert chain(tmp_path, model, 8, 30, "second", recorded="first", **dict(limits)) == first
    assert chain(tmp_path, model, 8, 30, "third", recorded="first") == first, "the stops are on record"
    assert sums(tmp_path, "first") == sums(tmp_path, "second")


def test_budgets_hold_where_the_record_ends(tmp_path: Path) -> None:
    with ScriptedServer(caching=False) as server:
        model = model_named(f"vllm:{server.url}#judge")
        chain(tmp_path, model, 1, 5, "first")
    spent = sums(tmp_path, "first")[0]
    for limits, error in (
        ({"feature_budget": Budget(tokens=spent + 10)}, "FeatureSpent: The budget of"),
        ({"budget": Budget(tokens=spent + 10)}, "BudgetReached: The budget of"),
        ({}, "NotRecorded: Run first holds no answer to call 5 of s for feature 0"),
    ):
        found = chain(tmp_path, model, 1, 9, f"second {error}", recorded="first", **limits)
        assert len(found[0]) == 6 and found[0][5].startswith(error)


def test_a_call_that_was_under_way_at_a_kill_is_not_made_up(tmp_path: Path) -> None:
    async def killed(server: ScriptedServer) -> None:
        model = model_named(f"vllm:{server.url}#judge")
        async with Gateway(Ledger(tmp_path / "ledger.sqlite"), "first", 0, Budget()) as gateway:
            task = asyncio.create_task(gateway.ask(model, HELLO, Place(7, "step", 0)))
            while not server.seen:
                await asyncio.sleep(0.01)
            task.cancel()

    with ScriptedServer(lambda body: HANGING) as server:
        asyncio.run(killed(server))
        assert [row["status"] for row in rows(tmp_path)] == ["reserved"]
        with pytest.raises(NotRecorded, match="Run first was killed before an answer came"):
            one(tmp_path, model_named(f"vllm:{server.url}#judge"), run="second", recorded="first")


def test_the_reason_of_a_lost_call_is_the_reason_it_was_given_up_for(tmp_path: Path) -> None:
    with ScriptedServer(answer) as server:
        (lost,) = ask(tmp_path, model_named(f"vllm:{server.url}"), Request(messages=(Message("user", "poison"),)), backoff=0.001)
    reasons = [row["reason"] for row in rows(tmp_path)]
    assert reasons == ["the connection was dropped"] * (TRIES_ALONE - 1) + [str(lost)]
