"""A thousand calls in flight: nothing lost, nothing doubled, memory flat, no connection left."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path

import pytest

from dragoman.evals.gateway.budget import Budget
from dragoman.evals.gateway.gateway import Gateway
from dragoman.evals.gateway.models import model_named
from dragoman.store.ledger import Ledger

from .server import ScriptedServer
from .test_gateway import rows
from .traffic import calls_at_once

AT_ONCE = 1000


@pytest.mark.slow
def test_a_thousand_in_flight(tmp_path: Path) -> None:
    """Nobody is answered before a thousand wait; then all are, and later rounds take no more memory."""

    async def run(server: ScriptedServer) -> list[int]:
        gateway = Gateway(Ledger(tmp_path / "ledger.sqlite"), "run", 0, Budget(), most=AT_ONCE, start=AT_ONCE)
        async with gateway:
            model = model_named(f"vllm:{server.url}", connect_timeout=300)  # a thousand at once, on a machine that may be busy
            waiting = asyncio.create_task(calls_at_once(gateway, model, AT_ONCE, AT_ONCE, 20))
            while server.open < AT_ONCE:
                await asyncio.sleep(0.02)
                assert not waiting.done()
            server.let_go()
            await waiting
            living = []
            for seed in (1, 2):
                gateway.seed = seed
                await calls_at_once(gateway, model, 500, 250, 20)
                gc.collect()
                living.append(len(gc.get_objects()))
        return living

    with ScriptedServer(keep=False, caching=False, hold=True) as server:
        first, second = asyncio.run(run(server))
        assert server.most_open >= AT_ONCE and server.answered == 2000
        assert server.open == 0
        begun = time.monotonic()
        while server.connections:  # the server notices it a moment later
            assert time.monotonic() - begun < 120, "every connection is closed"
            time.sleep(0.01)
    assert second - first < 500, "five hundred more calls leave nothing behind"
    found = rows(tmp_path)
    assert len(found) == 2000 and {row["status"] for row in found} == {"settled"}
    assert len({row["key"] for row in found}) == len({row["id"] for row in found}) == 2000
