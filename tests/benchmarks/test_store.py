"""How large a store is, how fast it is sealed, and how fast it is read.

`DRAGOMAN_BENCH=full` measures 8 and 21 million activations and writes docs/benchmarks/store.md; otherwise small counts show
that it runs.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pytest

from dragoman.store.features import Store
from tests.support.bulk import seal_bulk, write_bulk

FULL = os.environ.get("DRAGOMAN_BENCH") == "full"
SIZES = (8_000_000, 21_000_000) if FULL else (1_500_000,)
FEATURES = 24_576 if FULL else 512
READS = 200 if FULL else 20
TABLE = Path(__file__).parents[2] / "docs" / "benchmarks" / "store.md"

INTRODUCTION = f"""# The store, measured

Written by `make bench` on {platform.machine()} with {os.cpu_count()} cores. Synthetic activations: {FEATURES:,} features drawn
by a power law, 32 a token, lognormal values with full mantissas. Bytes each: the blocks of the activation table, and the whole
database file with statistics, tokens and text (logit effects and neighbours are not made here). Sealing: from Parquet shards to
the finished store, statistics and co-activation included. Reads: {READS} live features drawn at random, warm.

"""


def milliseconds(read: Callable[[int], object], features: list[int]) -> tuple[float, float]:
    """Median and 95th percentile of one call, each feature read once after the warm-up."""
    for feature in features[:5]:
        read(feature)
    times = []
    for feature in features:
        begun = time.perf_counter()
        read(feature)
        times.append(1000 * (time.perf_counter() - begun))
    return statistics.median(times), float(np.quantile(times, 0.95))


def table_bytes(path: Path, table: str) -> int:
    """Size of the blocks that a table lies in."""
    with duckdb.connect(str(path), read_only=True) as connection:
        ((blocks,),) = connection.execute(
            f"SELECT count(DISTINCT block_id) FROM pragma_storage_info('{table}') WHERE block_id >= 0"
        ).fetchall()
        ((size,),) = connection.execute("SELECT block_size FROM pragma_database_size()").fetchall()
    return int(blocks * size)


@pytest.mark.benchmark
def test_size_sealing_and_reading(tmp_path: Path) -> None:
    lines = [
        "| Activations | Bytes each, its table | Bytes each, whole file | Sealed in | What is read | Median ms | 95 % ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for size in SIZES:
        folder = tmp_path / str(size)
        count = write_bulk(folder, activations=size, features=FEATURES, active=32)
        begun = time.perf_counter()
        seal_bulk(folder, FEATURES)
        sealing = time.perf_counter() - begun
        whole = (folder / "features.duckdb").stat().st_size / count
        own = table_bytes(folder / "features.duckdb", "activation") / count
        with Store.open(folder) as store:
            assert store.manifest.activations == count
            live = store.features("live")
            features = np.random.default_rng(0).choice(live, min(READS, len(live)), replace=False).tolist()
            assert len(features) > 10
            begun = time.perf_counter()
            tokens = len(store.tokens("train").ids)
            table = 1000 * (time.perf_counter() - begun)
            reads = {
                "top-100 rows of a feature": milliseconds(lambda f: store.top(f, "train", 100), features),
                "top-100 rows as Examples": milliseconds(lambda f: store.examples(f, "train", "top", 100), features),
                "all activations of a feature in train": milliseconds(lambda f: store.activations(f, "train"), features),
                f"all {tokens:,} train tokens, once": (table, table),
            }
        lines += [
            f"| {count:,} | {own:.2f} | {whole:.2f} | {sealing:.1f} s | {what} | {median:.2f} | {high:.2f} |"
            for what, (median, high) in reads.items()
        ]
        if FULL:
            assert own <= whole <= 7, "bytes a stored activation"
            assert size < 20_000_000 or reads["top-100 rows of a feature"][0] <= 3, "milliseconds, warm"
    print("\n" + "\n".join(lines))
    if FULL:
        TABLE.parent.mkdir(parents=True, exist_ok=True)
        TABLE.write_text(INTRODUCTION + "\n".join(lines) + "\n")
