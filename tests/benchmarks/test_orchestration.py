"""How many features and tool calls a second a campaign manages, against a scripted model that answers at once.

`DRAGOMAN_BENCH=full` labels hundreds of features, keeps at it for 10,000 and writes docs/benchmarks/orchestration.md; otherwise
small counts show that it runs. What is kept of a finished feature is counted in objects, which do not depend on how an allocator
and a database happen to keep their pages; the memory of the process is printed beside it.
"""

from __future__ import annotations

import gc
import os
import platform
import time
from pathlib import Path

import pytest

from dragoman.agents.campaign import Means, Wish, campaign
from dragoman.agents.crew import Crew
from dragoman.agents.settings import Settings
from dragoman.store.features import Store
from tests.agents.answering import answering
from tests.agents.conftest import harvest_organism
from tests.agents.ledgers import rows

FULL = os.environ.get("DRAGOMAN_BENCH") == "full"
ONE_SHOT, EXPERIMENTS, LONG = (400, 60, 10_000) if FULL else (40, 6, 120)
LEAST_FEATURES, LEAST_CALLS = 20, 100
"""A second, as promised, on two cores that also run the scripted server."""
MOST_KEPT = 1
"""Objects that may be left of a finished feature, on average."""
TABLE = Path(__file__).parents[2] / "docs" / "benchmarks" / "orchestration.md"


def memory() -> int:
    """Bytes of this process in memory, pages of files left out."""
    status = Path("/proc/self/status").read_text("utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in status if line.startswith("RssAnon:"))


def objects() -> int:
    """Objects that are alive in this process."""
    gc.collect()
    return len(gc.get_objects())


def labeled(path: Path, url: str, features: tuple[int, ...], settings: Settings, seed: int = 0) -> tuple[float, float]:
    """Seconds, and seconds of this process's processor, of a campaign; opening it is counted."""
    wish = Wish(f"vllm:{url}", features=features, settings=settings, seed=seed)
    begun, used = time.perf_counter(), time.process_time()
    outcome = campaign(path, wish, Means(), progress=False)
    assert outcome.labels + outcome.failures == len(features)
    return time.perf_counter() - begun, time.process_time() - used


@pytest.mark.benchmark
@pytest.mark.slow
def test_orchestration_keeps_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    organism = harvest_organism(tmp_path)
    with Store.open(organism) as store:
        live = store.features("live")
    one_shot = Settings(rung="one-shot")
    with answering(trouble=False, tests=16) as server:
        labeled(organism, server.url, tuple(live[:2]), one_shot, seed=1)  # imports
        features = tuple(live[:ONE_SHOT])
        elapsed, used = labeled(organism, server.url, features, one_shot)
        calls = rows(organism, "SELECT count(*) FROM model_call WHERE status = 'settled'")[0][0] - 2
        assert calls == len(features), "one call a feature"
        rate, each = len(features) / elapsed, 1000 * used / len(features)

        settings = Settings(ladder=False, rounds=4, idle=4, tests=24)
        labeled(organism, server.url, tuple(live[:1]), settings, seed=1)  # loads the model
        before = rows(organism, "SELECT count(*) FROM experiment")[0][0]
        tried = tuple(live[:EXPERIMENTS])
        tested, worked = labeled(organism, server.url, tried, settings)
        made = rows(organism, "SELECT count(*) FROM experiment WHERE result IS NOT NULL")[0][0] - before
        evidence = 7 * len(tried)
        per_second = (made + evidence) / tested

        sizes: list[int] = []
        finished = Crew._finished

        async def watched(self: Crew, feature: int, label: str | None) -> None:
            await finished(self, feature, label)
            sizes.append(memory())

        monkeypatch.setattr(Crew, "_finished", watched)
        seed, alive = 1, objects()
        while len(sizes) < LONG:  # the organism has a few hundred live features: the same ones under other seeds
            seed += 1
            labeled(organism, server.url, tuple(live[: LONG - len(sizes)]), one_shot, seed=seed)
        kept = (objects() - alive) / len(sizes)
    half = len(sizes) // 2
    growth = (max(sizes[-half // 4 :]) - max(sizes[: half // 2])) / (len(sizes) - half // 2)
    lines = [
        "| | Features | Seconds | A second | Milliseconds of our processor each |",
        "|---|---|---|---|---|",
        f"| one-shot features | {len(features):,} | {elapsed:.1f} | {rate:,.1f} | {each:.1f} |",
        f"| tool calls | {made + evidence:,} | {tested:.1f} | {per_second:,.1f} | {1000 * worked / (made + evidence):.1f} |",
    ]
    remained = (
        f"Over {len(sizes):,} features one-shot, memory was {sizes[0] / 2**20:,.0f} MB after the first, "
        f"{sizes[half] / 2**20:,.0f} MB after half of them and {sizes[-1] / 2**20:,.0f} MB after the last: "
        f"{growth:,.0f} bytes a feature from the first quarter on. "
        f"Of a finished feature {kept:.2f} Python objects were left on average."
    )
    print("\n" + "\n".join(lines) + "\n" + remained)
    if FULL:
        introduction = (
            f"# Campaigns, measured\n\nWritten by `make bench` on {platform.machine()} with {os.cpu_count()} cores, which the "
            f"scripted model shares: a server process of its own that answers every request at once; load average "
            f"{os.getloadavg()[0]:.1f} at the end. The organism, 32 features in flight, judge `pattern`, ledger, trail and "
            "checkpoint of every step on disk; opening the store is counted. A one-shot feature is seven tool calls for its "
            "evidence, one model call and one figure on validation. Tool calls are those for evidence and those of "
            "experiments (four rounds), with all that goes with them: hypotheses, predictions, verdicts, revisions.\n\n"
        )
        TABLE.write_text(introduction + "\n".join(lines) + f"\n\n{remained}\n", "utf-8")
    assert kept < MOST_KEPT
    if FULL:
        assert rate >= LEAST_FEATURES and per_second >= LEAST_CALLS, (rate, per_second)
