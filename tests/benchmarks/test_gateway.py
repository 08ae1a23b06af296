"""How many calls a second pass through the gateway, ledger and all, against a server that answers at once.

`DRAGOMAN_BENCH=full` makes thousands of calls and writes docs/benchmarks/gateway.md; otherwise small counts show that it runs.
"""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import time
from pathlib import Path

import pytest

from dragoman.evals.gateway.models import model_named
from tests.evals.gateway.traffic import question, server_process, traffic

FULL = os.environ.get("DRAGOMAN_BENCH") == "full"
CALLS = 3000 if FULL else 200
LEAST = 200
"""Calls a second that are promised, on two cores that also run the server."""
TABLE = Path(__file__).parents[2] / "docs" / "benchmarks" / "gateway.md"

INTRODUCTION = f"""# The gateway, measured

Written by `make bench` on {platform.machine()} with {os.cpu_count()} cores, which the scripted server shares: a process of its
own that answers every request at once. {CALLS:,} calls of about 120 prompt tokens with five alternatives for the token of the
reply. Each is reserved in the ledger and committed before it is sent, and its reply is committed before it is handed out. The
last line is the openai SDK alone, one client, without ledger, budget or retries.

"""


async def bare(url: str, calls: int, at_once: int) -> float:
    """Seconds that the SDK alone takes."""
    import openai

    limit = asyncio.Semaphore(at_once)
    async with openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=0) as client:

        async def call(number: int) -> None:
            async with limit:
                await client.chat.completions.create(
                    model="judge",
                    messages=[{"role": "user", "content": question(number).messages[0].content}],
                    max_tokens=1,
                    logprobs=True,
                    top_logprobs=5,
                )

        await call(0)
        begun = time.perf_counter()
        await asyncio.gather(*(call(number) for number in range(calls)))
        return time.perf_counter() - begun


@pytest.mark.benchmark
def test_calls_a_second(tmp_path: Path) -> None:
    lines = [
        "| Calls in flight | Calls a second | Milliseconds of our processor a call | Peak memory, MB |",
        "|---|---|---|---|",
    ]
    rates = {}
    with server_process() as (url, seen):
        asyncio.run(traffic(tmp_path, model_named(f"vllm:{url}"), 10, 10))  # imports
        for at_once in (16, 128, 1000):
            (tmp_path / str(at_once)).mkdir()
            begun, used = time.perf_counter(), time.process_time()
            model = model_named(f"vllm:{url}", connect_timeout=300)
            asyncio.run(traffic(tmp_path / str(at_once), model, CALLS, at_once))
            elapsed, used = time.perf_counter() - begun, time.process_time() - used
            rates[at_once] = CALLS / elapsed
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            lines.append(f"| {at_once:,} | {CALLS / elapsed:,.0f} | {1000 * used / CALLS:.2f} | {peak:,.0f} |")
        used = time.process_time()
        elapsed = asyncio.run(bare(url, CALLS, 128))
        lines.append(f"| 128, the SDK alone | {CALLS / elapsed:,.0f} | {1000 * (time.process_time() - used) / CALLS:.2f} | |")
    assert seen == {"answered": seen["answered"], "open": 0, "connections": 0}, "no connection is left"
    print("\n" + "\n".join(lines))
    if FULL:
        assert min(rates.values()) >= LEAST, rates
        TABLE.write_text(INTRODUCTION + "\n".join(lines) + "\n", "utf-8")
