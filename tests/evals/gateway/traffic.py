"""Many calls at once, for tests and measurements; a scripted server in a process of its own."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dragoman.evals.gateway.budget import Budget
from dragoman.evals.gateway.calls import Message, Place, Reply, Request
from dragoman.evals.gateway.gateway import Gateway
from dragoman.evals.gateway.models import Model
from dragoman.store.ledger import Ledger

ROOT = Path(__file__).parents[3]


@contextmanager
def server_process(patience: float = 60) -> Iterator[tuple[str, dict[str, Any]]]:
    """Address of a server that answers at once; the dictionary is filled with what it saw when the block ends.

    patience: seconds that it waits then for connections that are still open.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.evals.gateway.server", str(patience)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    seen: dict[str, Any] = {}
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), seen
    finally:
        output, _ = process.communicate(timeout=patience + 60)
        seen.update(json.loads(output))


def question(number: int, words: int = 100) -> Request:
    """A request like a judge's: some hundred tokens, one token wanted with its alternatives."""
    return Request(messages=(Message("user", f"{'text ' * words}{number}: does it fire?"),), max_tokens=1, top_logprobs=5)


async def calls_at_once(gateway: Gateway, model: Model, calls: int, at_once: int, words: int = 100) -> list[float]:
    """Ask `calls` questions, `at_once` of them at any time; when each reply came (`time.monotonic()`)."""
    numbers = itertools.count()
    times: list[float] = []

    async def worker() -> None:
        while (number := next(numbers)) < calls:
            reply: Reply = await gateway.ask(model, question(number, words), Place(number % 50, "step", number))
            assert reply.texts == ("yes",)
            times.append(time.monotonic())

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return times


async def traffic(path: Path, model: Model, calls: int, at_once: int, words: int = 100) -> list[float]:
    """The same through a gateway of its own, which begins with as many in flight as asked for."""
    async with Gateway(Ledger(path / "ledger.sqlite"), "run", 0, Budget(), most=at_once, start=at_once) as gateway:
        return await calls_at_once(gateway, model, calls, at_once, words)
