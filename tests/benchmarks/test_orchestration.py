"""How many features and tool calls a second a campaign manages, against a scripted model that answers at once.

`DRAGOMAN_BENCH=full` labels hundreds of features, keeps at it for 10,000 and writes docs/benchmarks/orchestration.md, speed and
memory apart; otherwise small counts show that it runs. What is kept of a finished feature is counted in objects, which do not
depend on how an allocator and a database happen to keep their pages; the memory of the process is printed beside it.
"""

from __future__ import annotations

import os
import platform
import shutil
import time
from pathlib import Path

import pytest

from dragoman.agents.campaign import Means, Wish, campaign
from dragoman.agents.settings import Settings
from dragoman.store.features import Store
from tests.agents.answering import answering
from tests.agents.conftest import harvest_organism
from tests.agents.ledgers import rows
from tests.benchmarks.persevering import persevering

FULL = os.environ.get("DRAGOMAN_BENCH") == "full"
ONE_SHOT, EXPERIMENTS, LONG = (400, 60, 10_000) if FULL else (40, 6, 120)
LEAST_FEATURES, LEAST_CALLS = 20, 100
"""A second, as promised, on two cores that also run the scripted server."""
MOST_KEPT = 1
"""Objects that may be left of a finished feature, on average."""
PARTS = 8
"""Rows of the table of memory after the first."""
TABLE = Path(__file__).parents[2] / "docs" / "benchmarks" / "orchestration.md"
TITLE, HEADING = "# Campaigns, measured", "## Memory"
MEMORY = (
    "One-shot features, 32 in flight in one process: the organism's live ones under one seed after the other; "
    "load average {load:.1f} at the end. Memory is the process's own pages, those of files left out (RssAnon); in use is "
    "what of it glibc's allocator has handed out and not got back. All threads share one arena of that allocator, as in "
    "every command (`dragoman/arenas.py`). With an arena for each thread, glibc's default, an earlier campaign grew by 20 "
    "kB a feature between its 200th and its 1,200th: 17 kB in holes of the arenas, 3 kB in what the store keeps of the last "
    "4,096 features asked for."
)


@pytest.fixture(scope="module")
def harvested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the organism."""
    return harvest_organism(tmp_path_factory.mktemp("harvested"))


@pytest.fixture
def organism(harvested: Path, tmp_path: Path) -> Path:
    """A copy of it, with no ledger."""
    shutil.copytree(harvested, tmp_path / "store")
    return tmp_path / "store"


def labeled(path: Path, url: str, features: tuple[int, ...], settings: Settings, seed: int = 0) -> tuple[float, float]:
    """Seconds, and seconds of this process's processor, of a campaign; opening it is counted."""
    wish = Wish(f"vllm:{url}", features=features, settings=settings, seed=seed)
    begun, used = time.perf_counter(), time.process_time()
    outcome = campaign(path, wish, Means(), progress=False)
    assert outcome.labels + outcome.failures == len(features)
    return time.perf_counter() - begun, time.process_time() - used


@pytest.mark.benchmark
@pytest.mark.slow
def test_orchestration_keeps_up(organism: Path) -> None:
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
    lines = [
        "| | Features | Seconds | A second | Milliseconds of our processor each |",
        "|---|---|---|---|---|",
        f"| one-shot features | {len(features):,} | {elapsed:.1f} | {rate:,.1f} | {each:.1f} |",
        f"| tool calls | {made + evidence:,} | {tested:.1f} | {per_second:,.1f} | {1000 * worked / (made + evidence):.1f} |",
    ]
    table = "\n".join(lines)
    print("\n" + table)
    if FULL:
        introduction = (
            f"Written by `make bench` on {platform.machine()} with {os.cpu_count()} cores, which the scripted model shares: a "
            f"server process of its own that answers every request at once; load average {os.getloadavg()[0]:.1f} at the end. "
            "The organism, 32 features in flight, judge `pattern`, ledger, trail and checkpoint of every step on disk; "
            "opening the store is counted. A one-shot feature is seven tool calls for its evidence, one model call and one "
            "figure on validation. Tool calls are those for evidence and those of experiments (four rounds), with all that "
            "goes with them: hypotheses, predictions, verdicts, revisions."
        )
        promised = f"Promised are {LEAST_FEATURES} one-shot features and {LEAST_CALLS} tool calls a second on two cores."
        write(0, f"{introduction}\n\n{table}\n\n{promised}\n")
        assert rate >= LEAST_FEATURES and per_second >= LEAST_CALLS, (rate, per_second)


@pytest.mark.benchmark
@pytest.mark.slow
def test_nothing_is_left_of_a_finished_feature(organism: Path) -> None:
    with answering(trouble=False) as server:
        found = persevering(organism, server.url, LONG)
    sizes, used = found.memory, found.used
    assert len(sizes) == LONG
    places = [0, *(LONG * part // PARTS - 1 for part in range(1, PARTS + 1))]
    listed = [f"| {place + 1:,} | {sizes[place] / 2**20:,.0f} | {used[place] / 2**20:,.0f} |" for place in places]
    quarter = LONG // 4
    growth = (max(sizes[-quarter:]) - max(sizes[quarter : 2 * quarter])) / (2 * quarter)
    table = "\n".join(["| Features finished | Memory, MB | In use, MB |", "|---|---|---|", *listed])
    told = (
        f"Growth from the second quarter to the last: {growth:,.0f} bytes a feature. Of a finished feature {found.kept:.2f} "
        "Python objects were left on average."
    )
    print(f"\n{table}\n\n{told}")
    if FULL:
        write(1, f"{MEMORY.format(load=os.getloadavg()[0])}\n\n{table}\n\n{told}\n")
    assert found.kept < MOST_KEPT


def write(half: int, text: str) -> None:
    """One half of the page, speed or memory, the other one left as it is."""
    page = TABLE.read_text("utf-8") if TABLE.exists() else ""
    halves = list(page.removeprefix(TITLE).strip().partition(HEADING)[::2])
    halves[half] = text
    TABLE.write_text(f"{TITLE}\n\n{halves[0].strip()}\n\n{HEADING}\n\n{halves[1].strip()}\n", "utf-8")
