"""Kill -9 in the middle of calls: what was committed is not sent again, and what may be under way counts as spent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .server import HANGING, Body, Failure, Said, ScriptedServer
from .test_gateway import rows
from .traffic import ROOT

CALLS = 200
WORST = 64 + 16 + 1 + 4
"""What a call of the run below is reserved at, or a little more."""

RUN = """
import asyncio, sys
from pathlib import Path
from dragoman.evals.gateway.budget import Budget
from dragoman.evals.gateway.calls import Message, Place, Request
from dragoman.evals.gateway.gateway import Gateway
from dragoman.evals.gateway.models import model_named
from dragoman.store.errors import UserError
from dragoman.store.ledger import Ledger

async def main(path, url, calls, budget):
    async with Gateway(Ledger(Path(path)), "run", 0, Budget(tokens=int(budget))) as gateway:
        model = model_named(f"vllm:{url}")
        requests = [Request(messages=(Message("user", str(n)),), max_tokens=1) for n in range(int(calls))]
        asked = [gateway.ask(model, request, Place(0, "s", n)) for n, request in enumerate(requests)]
        try:
            print(sum(reply.hit for reply in await asyncio.gather(*asked)))
        except UserError as error:
            print(error)

asyncio.run(main(*sys.argv[1:]))
"""


def start(path: Path, url: str, budget: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN, str(path / "ledger.sqlite"), url, str(CALLS), str(budget)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True)


def wait_for(process: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    begun = time.monotonic()
    while not reached():
        assert process.poll() is None and time.monotonic() - begun < 300, "the moment to kill it never came"
        time.sleep(0.002)


def kept(path: Path) -> int:
    return sum(row["status"] == "settled" for row in rows(path))


@pytest.mark.slow
def test_kill_and_run_again(tmp_path: Path) -> None:
    committed: set[int] = set()
    given, most = list[int](), CALLS

    def answer(body: Body) -> Said | Failure:
        number = int(body["messages"][0]["content"])
        assert number not in committed, "what was committed is sent again"
        if len(given) == most:
            return HANGING
        given.append(number)
        return Said("yes", delay=0.02)

    with ScriptedServer(answer, caching=False) as server:
        for answered in (30, 100):
            most = answered + 20  # so that it cannot end before it is killed
            process = start(tmp_path, server.url, 10**9)
            wait_for(process, lambda: server.answered >= answered and kept(tmp_path) > len(committed))  # noqa: B023
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            found = rows(tmp_path)
            committed |= {row["ordinal"] for row in found if row["status"] == "settled"}
            assert 0 < len(committed) < CALLS
            assert len([row for row in found if row["status"] == "reserved"]) >= 1, "killed while calls were under way"
        most = 10**9
        output, _ = start(tmp_path, server.url, 10**9).communicate(timeout=300)
        assert int(output) == len(committed), "everything that was committed is found again"
        found = rows(tmp_path)
        settled = [row["ordinal"] for row in found if row["status"] == "settled"]
        assert sorted(settled) == list(range(CALLS)), "each is answered once"
        reserved = [row for row in found if row["status"] == "reserved"]
        assert len(server.seen) <= len(settled) + len(reserved), "whatever was sent had been reserved"
        assert len({row["id"] for row in found}) == len(found)


@pytest.mark.slow
def test_a_budget_counts_what_a_killed_process_may_have_spent(tmp_path: Path) -> None:
    budget = 3000
    with ScriptedServer(lambda body: HANGING, caching=False) as server:
        process = start(tmp_path, server.url, budget)
        wait_for(process, lambda: server.open >= 16)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    reserved = sum(row["tokens"] for row in rows(tmp_path))
    assert 16 * 64 < reserved <= budget and {row["status"] for row in rows(tmp_path)} == {"reserved"}
    with ScriptedServer(caching=False) as server:
        output, _ = start(tmp_path, server.url, budget).communicate(timeout=300)
        assert output.startswith(f"The budget of {budget:,} tokens is reached")
        found = rows(tmp_path)
        assert sum(row["tokens"] for row in found) <= budget
        real = sum(row["tokens"] for row in found if row["status"] == "settled")
        assert real == server.prompt_tokens + server.completion_tokens > 0 and real + reserved > budget - WORST
