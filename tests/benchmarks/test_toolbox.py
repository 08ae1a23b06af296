"""How many tool calls a second the toolbox answers, on the organism, one feature after the other.

`DRAGOMAN_BENCH=full` uses 2,000 documents, makes more calls and writes docs/benchmarks/toolbox.md; otherwise small counts show
that it runs.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dragoman.evals.organism.load import corpus_documents, organism_paths
from dragoman.tools.harvest import harvest
from dragoman.tools.toolbox import Desk, Toolbox
from dragoman.tools.workbench import Workbench

FULL = os.environ.get("DRAGOMAN_BENCH") == "full"
DOCUMENTS = 2_000
CALLS = 100 if FULL else 3
MIXED = 1_000 if FULL else 20
LEAST = 100
"""Calls a second that are promised, of the tools that a labeler uses most, mixed, on two cores."""
THREADS = 8
TABLE = Path(__file__).parents[2] / "docs" / "benchmarks" / "toolbox.md"
TEXTS = ["The nurse gave Mary a cup of tea.", "The nurse gave him a cup of tea in the park near the old mill.", "import math"]
EDITS = [
    {"kind": "delete", "start": 1},
    {"kind": "case", "start": 0, "how": "lower"},
    {"kind": "substitute", "find": " Mary", "text": " him"},
]
COMMON: dict[str, tuple[str, dict[str, Any]]] = {
    "top examples, 8 of them": ("top_examples", {"n": 8}),
    "examples by quantile, 8": ("top_examples", {"stratum": "quantile", "n": 8}),
    "near misses, 8": ("top_examples", {"stratum": "near_miss", "n": 8}),
    "statistics": ("feature_stats", {}),
    "activate, 3 texts of 3 to 20 tokens": ("activate", {"texts": TEXTS}),
    "edit and compare, 3 edits of 11 tokens": ("edit_and_compare", {"text": TEXTS[0], "edits": EDITS}),
    "match a pattern": ("match_pattern", {"pattern": 'strongly: "the" where prev "in" "on"'}),
}
RARE: dict[str, tuple[str, dict[str, Any]]] = {
    "neighbours by decoder": ("neighbours", {}),
    "neighbours by co-activation": ("neighbours", {"by": "coactivation"}),
    "contrast of two texts": ("contrast", {"a": TEXTS[:1], "b": TEXTS[1:2]}),
    "steer two prompts": ("steer", {"prompts": TEXTS[:2]}),
    "SQL over one feature": ("query_store", {"sql": "SELECT count(*), max(value) FROM activation WHERE feature = 7"}),
}

INTRODUCTION = f"""# The toolbox, measured

Written by `make bench` on {platform.machine()} with {os.cpu_count()} cores; load average {{load:.1f}} at the end. The organism
with its residual dictionary on {DOCUMENTS:,} documents of its corpus, {CALLS} calls of each tool, each on another live feature,
one after the other. The last line is a mixture of the tools above the empty row in equal shares, {THREADS} threads asking at
once: {LEAST} a second are promised.

"""


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Workbench]:
    if not FULL:
        yield request.getfixturevalue("organism_bench")
        return
    paths = organism_paths()
    text = "".join(json.dumps({"text": document.text}) + "\n" for document in corpus_documents(DOCUMENTS))
    (tmp_path / "text.jsonl").write_text(text, "utf-8")
    store = harvest(tmp_path / "store", str(paths.model), [str(paths.sae)], str(tmp_path / "text.jsonl"), progress=False)
    with Workbench.open(store) as opened:
        yield opened


@pytest.mark.benchmark
def test_calls_a_second(bench: Workbench) -> None:
    began = time.perf_counter()
    desk, live = Desk.of(bench), bench.store.features("live")
    opened = time.perf_counter() - began
    calls = {**COMMON, **RARE}
    for name, arguments in calls.values():  # imports, the model, tables that are made once
        Toolbox(desk, "bench", live[0]).call(name, arguments)
    rows = []
    for what, (name, arguments) in calls.items():
        begun, used = time.perf_counter(), time.process_time()
        for number in range(CALLS):
            Toolbox(desk, "bench", live[7 * number % len(live)]).call(name, arguments)
        elapsed, used = time.perf_counter() - begun, time.process_time() - used
        rows.append(f"| {what} | {CALLS / elapsed:,.0f} | {1000 * used / CALLS:.1f} |")
    jobs = [(live[7 * n % len(live)], *list(COMMON.values())[n % len(COMMON)]) for n in range(MIXED)]
    begun, used = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(lambda job: Toolbox(desk, "bench", job[0]).call(job[1], job[2]), jobs))
    elapsed, used = time.perf_counter() - begun, time.process_time() - used
    rows.insert(len(COMMON), "| | | |")
    rows.append(f"| mixture, {THREADS} threads | {MIXED / elapsed:,.0f} | {1000 * used / MIXED:.1f} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    after = f"\nOpening the desk took {opened:.1f} seconds; peak memory, model and torch included, {peak:,.0f} MB.\n"
    table = "\n".join(["| Call | Calls a second | Milliseconds of processor a call |", "|---|---|---|", *rows]) + "\n" + after
    print("\n" + table)
    assert len(results) == MIXED
    if FULL:
        TABLE.write_text(INTRODUCTION.format(load=os.getloadavg()[0]) + table, "utf-8")
        assert MIXED / elapsed >= LEAST
