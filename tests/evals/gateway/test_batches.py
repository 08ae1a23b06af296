"""Calls in batches: half the price, every outcome a service can give, budgets, and nothing handed in twice after a kill."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from dragoman.evals.gateway import openai_batches
from dragoman.evals.gateway.batch_servers import Limits
from dragoman.evals.gateway.batches import Outcome, ask_all
from dragoman.evals.gateway.budget import Budget
from dragoman.evals.gateway.calls import FeatureSpent, Message, Place, Refused, Reply, Request, Tool, Unanswered
from dragoman.evals.gateway.gateway import Gateway
from dragoman.evals.gateway.models import model_named
from dragoman.evals.gateway.prices import Price
from dragoman.store.errors import UserError
from dragoman.store.ledger import Ledger

from .server import BROKEN, DROPPED, GARBAGE, HANGING, Body, Failure, Said, ScriptedServer
from .test_gateway import rows
from .traffic import ROOT

KINDS = ("openai", "anthropic")
PRICE = Price(10, 1, 20)


def question(text: str) -> Request:
    return Request(messages=(Message("system", "Be brief."), Message("user", text)), max_tokens=8)


def batched(path: Path, spec: str, texts: Sequence[str], run: str = "run", **options: Any) -> list[Outcome]:
    """Outcomes of questions asked in batches, each of a feature of its own."""

    async def ask() -> list[Outcome]:
        budget, each = options.pop("budget", Budget()), options.pop("poll", 0.02)
        async with Gateway(Ledger(path / "ledger.sqlite"), run, 0, budget, **{"backoff": 0.01, **options}) as gateway:
            model = model_named(spec, price=PRICE)
            asked = [(question(text), Place(number, "s", 0)) for number, text in enumerate(texts)]
            return await ask_all(gateway, model, asked, poll=each, grace=0.05)

    return asyncio.run(ask())


def echo(body: Body) -> str | Said | Failure:
    text = str(body["messages"][-1]["content"])
    failures = {"broken": BROKEN, "late": HANGING, "gone": DROPPED, "missing": GARBAGE}
    if text == "refused":
        return Failure(status=400, message="this cannot be asked.")
    if text == "forbidden":
        return Said("", finish="refusal" if "max_completion_tokens" not in body and "system" in body else "content_filter")
    return failures.get(text, f"said {text}")


@pytest.mark.parametrize("kind", KINDS)
def test_replies_at_half_the_price(kind: str, tmp_path: Path) -> None:
    texts = [f"question {number}" for number in range(20)]
    with ScriptedServer(echo) as server:
        server.batches.takes = 0.1
        spec = f"{kind}:{server.url}#judge"
        found = batched(tmp_path, spec, texts)
        taken, looks = list(server.batches.batches.values()), server.batches.looks
        again = batched(tmp_path, spec, texts)
        assert len(server.batches.batches) == 1 and server.batches.looks == looks, "the second process asks nothing"
        replayed = batched(tmp_path, spec, texts, run="second", recorded="run")
    assert len(taken) == 1 and len(taken[0].calls) == 20
    for number, (reply, same, once_more) in enumerate(zip(found, again, replayed, strict=True)):
        assert isinstance(reply, Reply) and isinstance(same, Reply) and isinstance(once_more, Reply)
        assert reply.texts == same.texts == once_more.texts == (f"said question {number}",)
        fresh = reply.prompt_tokens - reply.cached_tokens
        full = (fresh * 10 + reply.cached_tokens + reply.completion_tokens * 20) / 1e6
        assert reply.cost == same.cost == once_more.cost == pytest.approx(full / 2)
    calls = [row for row in rows(tmp_path) if row["run"] == "run"]
    assert {row["id"] for row in calls} == set(server.batches.calls()) and {row["status"] for row in calls} == {"settled"}
    (batch,) = Ledger(tmp_path / "ledger.sqlite").arrow("model_batch").to_pylist()
    assert (batch["status"], batch["remote"], batch["calls"], batch["model"]) == ("read", "batch_0", 20, f"{kind}:judge")


@pytest.mark.parametrize("kind", KINDS)
def test_every_outcome_of_a_call(kind: str, tmp_path: Path) -> None:
    """What the service did not get to is asked by itself; here it answers then, except for one that it fails on for good."""
    alone: list[str] = []

    def answer(body: Body) -> str | Said | Failure:
        text = str(body["messages"][-1]["content"])
        if server.batches.ends and text in ("late", "gone", "missing"):
            alone.append(text)
            return f"alone {text}"
        return echo(body)

    texts = ["good", "broken", "late", "gone", "missing", "refused", "forbidden"]
    with ScriptedServer(answer) as server:
        found = batched(tmp_path, f"{kind}:{server.url}#judge", texts, backoff=0.001)
        assert len(server.batches.batches) == 1
    good, broken, late, gone, missing, refused, forbidden = found
    assert isinstance(good, Reply) and good.texts == ("said good",)
    assert [reply.texts for reply in (late, gone, missing) if isinstance(reply, Reply)] == [
        ("alone late",), ("alone gone",), ("alone missing",),
    ]  # fmt: skip
    assert sorted(alone) == ["gone", "late", "missing"]
    assert isinstance(broken, Unanswered) and "the server failed on it" in str(broken)
    assert isinstance(refused, Unanswered) and str(refused).endswith("this cannot be asked")
    assert isinstance(forbidden, Refused)
    first = {row["feature"]: row for row in rows(tmp_path) if row["attempt"] == 0}
    assert [first[number]["status"] for number in range(7)] == ["settled", *["failed"] * 5, "settled"]
    assert all(first[number]["tokens"] == 0 for number in range(1, 6)), "what was not answered costs nothing"
    assert isinstance(late, Reply) and isinstance(good, Reply) and late.cost is not None and good.cost is not None
    assert late.cost > 1.5 * good.cost, "alone at the full price"


def test_budgets_hold_over_batches(tmp_path: Path) -> None:
    """What does not fit at its worst waits for what does, and then goes into a batch of its own."""
    with ScriptedServer(echo, caching=False) as server:
        spec = f"openai:{server.url}#judge"
        worst = sum(model_named(spec).worst(question("question 10")))
        texts = [f"question {number}" for number in range(10, 40)]
        found = batched(tmp_path, spec, texts, budget=Budget(tokens=10 * worst))
        assert all(isinstance(reply, Reply) for reply in found)
        sizes = [len(batch.calls) for batch in server.batches.batches.values()]
        assert sum(sizes) == 30 and sizes[0] == 10 and len(sizes) > 2
        with pytest.raises(UserError, match="The budget of 300 tokens is reached"):
            batched(tmp_path, spec, texts, run="small", budget=Budget(tokens=300))
        small = [row for row in rows(tmp_path) if row["run"] == "small"]
        assert 0 < sum(row["tokens"] for row in small) <= 300
        assert {row["status"] for row in small} == {"settled", "stopped"}, "what was admitted was answered first"
        dollars = model_named(spec, price=PRICE).worst_cost(question("question 10"))
        assert dollars is not None
        each = batched(tmp_path, spec, texts[:3], run="each", feature_budget=Budget(dollars=0.49 * dollars))
        assert all(isinstance(outcome, FeatureSpent) for outcome in each)
        each = batched(tmp_path, spec, texts[:3], run="half", feature_budget=Budget(dollars=0.51 * dollars))
        assert all(isinstance(outcome, Reply) for outcome in each), "half the price fits into half the budget"


def test_a_batch_is_cut_at_the_services_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(echo) as server:
        spec, texts = f"openai:{server.url}#judge", [f"question {number}" for number in range(10)]
        monkeypatch.setattr(openai_batches.OpenAIBatches, "limits", Limits(4, 10**9))
        batched(tmp_path, spec, texts)
        assert sorted(len(batch.calls) for batch in server.batches.batches.values()) == [2, 4, 4]
        size = max(len(content) for name, content in server.batches.files.items() if name.startswith("file-"))
        monkeypatch.setattr(openai_batches.OpenAIBatches, "limits", Limits(1000, size))
        batched(tmp_path, spec, texts, run="bytes")
        assert sorted([len(batch.calls) for batch in server.batches.batches.values()][3:]) == [2, 4, 4]


def test_a_batch_that_is_refused(tmp_path: Path) -> None:
    with ScriptedServer(echo) as server:
        server.batches.refuses = "Enqueued token limit reached"
        spec = f"openai:{server.url}#judge"
        with pytest.raises(UserError, match=r"did not take a batch of 2 calls \(Enqueued token limit reached\): label fewer"):
            batched(tmp_path, spec, ["a", "b"])
        assert {(row["status"], row["tokens"]) for row in rows(tmp_path)} == {("failed", 0)}
        server.batches.refuses = None
        assert all(isinstance(reply, Reply) for reply in batched(tmp_path, spec, ["a", "b"]))
        assert len(server.batches.batches) == 2


def test_models_without_batches_say_so(tmp_path: Path) -> None:
    with ScriptedServer() as server, pytest.raises(UserError, match="has no batch endpoint: leave out --batch"):
        batched(tmp_path, f"vllm:{server.url}#judge", ["a"])


def test_a_service_that_is_away_for_a_while(tmp_path: Path) -> None:
    with ScriptedServer(echo) as server:
        server.batches.takes = 0.3
        spec = f"anthropic:{server.url}#judge"

        def away(looked: int) -> None:
            while server.batches.looks < looked:
                time.sleep(0.002)
            server.die()
            time.sleep(0.2)
            server.come_back()

        import threading

        thread = threading.Thread(target=away, args=(1,))
        thread.start()
        found = batched(tmp_path, spec, ["a", "b"])
        thread.join()
        assert all(isinstance(reply, Reply) for reply in found) and len(server.batches.batches) == 1


def test_tools_in_a_batch(tmp_path: Path) -> None:
    tool = Tool("note", "Remember.", {"type": "object", "properties": {"text": {"type": "string"}}})

    async def ask(spec: str) -> list[Outcome]:
        async with Gateway(Ledger(tmp_path / "ledger.sqlite"), "run", 0, Budget()) as gateway:
            request = Request(messages=(Message("user", "a"),), tools=(tool,))
            return await ask_all(gateway, model_named(spec), [(request, Place(0, "s", 0))] * 2, poll=0.02, grace=0.05)

    for kind in KINDS:
        with ScriptedServer(lambda body: Said("", tools=[("note", '{"text": "x"}')])) as server:
            first, second = asyncio.run(ask(f"{kind}:{server.url}#judge"))
            assert isinstance(first, Reply) and first.tool_calls[0].parsed == {"text": "x"} and first == second
            assert len(server.batches.calls()) == 1, "the same request at the same place is one call"


def test_calls_in_a_batch_are_not_asked_beside_it(tmp_path: Path) -> None:
    """A process that ended while a batch was in the works: its calls are neither lost, nor sent alone, nor handed in again."""

    async def interrupted(spec: str) -> None:
        async with Gateway(Ledger(tmp_path / "ledger.sqlite"), "run", 0, Budget()) as gateway:
            asked = [(question(text), Place(number, "s", 0)) for number, text in enumerate("ab")]
            task = asyncio.create_task(ask_all(gateway, model_named(spec, price=PRICE), asked, poll=0.02))
            while not server.batches.looks:
                await asyncio.sleep(0.01)
            task.cancel()

    async def alone(spec: str) -> Reply:
        async with Gateway(Ledger(tmp_path / "ledger.sqlite"), "run", 0, Budget()) as gateway:
            return await gateway.ask(model_named(spec, price=PRICE), question("a"), Place(0, "s", 0))

    with ScriptedServer(echo) as server:
        server.batches.takes = 3600
        spec = f"anthropic:{server.url}#judge"
        asyncio.run(interrupted(spec))
        with pytest.raises(UserError, match=r"^Run run has calls in a batch at .* run the same command with --batch"):
            asyncio.run(alone(spec))
        next(iter(server.batches.batches.values())).ready = server.batches.takes = 0.0
        worst = 2 * sum(model_named(spec).worst(question("a")))
        found = batched(tmp_path, spec, ["a", "b", "c"], budget=Budget(tokens=worst + 10))
        assert all(isinstance(reply, Reply) for reply in found), "what it had reserved is given back as its calls are settled"
        assert [len(batch.calls) for batch in server.batches.batches.values()] == [2, 1]
        assert asyncio.run(alone(spec)).hit


RUN = """
import asyncio, sys
from pathlib import Path
from dragoman.evals.gateway.batches import ask_all
from dragoman.evals.gateway.budget import Budget
from dragoman.evals.gateway.calls import Message, Place, Reply, Request
from dragoman.evals.gateway.gateway import Gateway
from dragoman.evals.gateway.models import model_named
from dragoman.store.ledger import Ledger

async def main(path, spec, calls):
    async with Gateway(Ledger(Path(path)), "run", 0, Budget(tokens=10**9), backoff=0.01) as gateway:
        asked = [(Request(messages=(Message("user", str(n)),), max_tokens=4), Place(n, "s", 0)) for n in range(int(calls))]
        found = await ask_all(gateway, model_named(spec), asked, poll=0.02, grace=0.2)
        print(sum(isinstance(reply, Reply) and reply.texts == (f"said {n}",) for n, reply in enumerate(found)), gateway.spent[0])

asyncio.run(main(*sys.argv[1:]))
"""


def start(path: Path, spec: str, calls: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN, str(path / "ledger.sqlite"), spec, str(calls)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True)


def kill_when(process: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    begun = time.monotonic()
    while not reached() and process.poll() is None and time.monotonic() - begun < 300:
        time.sleep(0.005)
    assert reached(), "the moment to kill it came"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def prepared(path: Path) -> int:
    """Batches that are in the ledger."""
    try:
        return len(Ledger(path / "ledger.sqlite").arrow("model_batch"))
    except Exception:
        return 0


def settled(path: Path) -> int:
    return sum(row["status"] == "settled" for row in rows(path))


CALLS = 600

MOMENTS: dict[str, tuple[dict[str, Any], Callable[[ScriptedServer, Path], Any]]] = {
    "written, not handed in": ({"deaf": True, "deaf_to_files": True}, lambda server, path: prepared(path) == 1),
    "taken, but its id not known": ({"delay_taking": 3600.0}, lambda server, path: len(server.batches.batches) == 1),
    "in the works": ({"takes": 3600.0}, lambda server, path: server.batches.looks >= 2),
    "half read": ({}, lambda server, path: server.batches.ends and settled(path) >= 500),
}

LATER = (("anthropic", "in the works"), ("openai", "half read"))
"""From here on both services are treated alike."""


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "moment"), [*((kind, moment) for kind in KINDS for moment in list(MOMENTS)[:2]), *LATER])
def test_killed_and_picked_up(kind: str, moment: str, tmp_path: Path) -> None:
    settings, reached = MOMENTS[moment]
    with ScriptedServer(echo, caching=False, keep=False) as server:
        spec = f"{kind}:{server.url}#judge"
        server.batches.__dict__.update(settings)
        kill_when(start(tmp_path, spec, CALLS), lambda: bool(reached(server, tmp_path)))
        for name in settings:
            setattr(server.batches, name, type(settings[name])())
        for batch in server.batches.batches.values():
            batch.ready = 0.0
        output, _ = start(tmp_path, spec, CALLS).communicate(timeout=300)
        taken = server.batches.calls()
        assert len(taken) == CALLS == len(set(taken)) and len(server.batches.batches) == 1, "nothing is handed in twice"
        found = rows(tmp_path)
        assert {row["status"] for row in found} == {"settled"} and len(found) == CALLS
        assert output.split() == [str(CALLS), str(sum(row["tokens"] for row in found))], "reservations are given back"
