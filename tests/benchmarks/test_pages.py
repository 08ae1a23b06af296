"""How fast the pages of features are, and that they stay so.

`DRAGOMAN_BENCH=full` measures 100,000 features with 20 million activations and writes docs/benchmarks/pages.md; otherwise two
small stores, one with twice the activations of the other, show that a page reads no more of the larger one than it needs.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dragoman.store.catalogue import TOKENS
from dragoman.store.facts import NEAR
from dragoman.store.features import Store
from tests.support.pages import TABLES, make_large_store, measure

ROOT = Path(__file__).parents[2]
FULL = os.environ.get("DRAGOMAN_BENCH") == "full"
FEATURES, ACTIVATIONS, READS = 100_000, 20_500_000, 200
PAGE = ROOT / "docs" / "benchmarks" / "pages.md"

INTRODUCTION = f"""# The pages of features, measured

Written by `make bench` on {platform.machine()} with {os.cpu_count()} cores. A synthetic store: {{features:,}} features drawn by
a power law, {{activations:,}} activations, 32 a token, a label and three scores for every feature, logit effects. Times are of
the application from request to whole answer, in one process, warm; of features {READS} live ones drawn at random, each asked for
once. Processor: the median of the processor time, which other work on the machine does not lengthen. Rows read: of the sealed
database, the most of any request.

"""


def report(found: dict[str, Any], written: int) -> str:
    """The table; found: what `measure` gives."""
    lines = ["| Page | Median ms | 95 % ms | Processor ms | Rows read | Size |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {name} | {one['median']:.0f} | {one['high']:.0f} | {one['work']:.0f} | {one['rows']:,} | {one['bytes'] // 1000} kB |"
        for name, one in found["pages"].items()
    ]
    lines += [
        "",
        f"The very first page, which reads all figures, labels and scores: {found['opening'] / 1000:.1f} s.",
        f"Memory for all of this, beyond the imported libraries: {found['memory']:.0f} MB.",
        f"The machine's load average meanwhile: {found['load']:.1f}; above the number of cores, other work slowed the pages.",
    ]
    return INTRODUCTION.format(features=FEATURES, activations=written) + "\n".join(lines) + "\n"


@pytest.mark.benchmark
@pytest.mark.skipif(FULL, reason="full counts are measured instead")
def test_pages_read_no_more_of_a_larger_store(tmp_path: Path) -> None:
    stores = [tmp_path / "small", tmp_path / "large"]
    for path, activations in zip(stores, (200_000, 400_000), strict=True):
        make_large_store(path, activations=activations, features=200, active=8)
    for path in stores:
        found = measure(path, 2)["pages"]
        for name in TABLES:
            assert found[name]["rows"] <= 50 * TOKENS, f"{name}: the top tokens of its rows are read and nothing else"
        with Store.open(path) as store:
            counts = [int(row["n"]) for row in store.sql("SELECT count(*) n FROM activation GROUP BY feature ORDER BY n DESC")]
            own, near = 2 * counts[0], sum(counts[: 2 * NEAR])
            assert found["a feature"]["rows"] <= own + near + 1_000 < store.manifest.activations, (
                "a feature's page reads its own activations, those of the features near it, and a few examples"
            )


@pytest.mark.benchmark
@pytest.mark.skipif(not FULL, reason="measured by `make bench`")
def test_pages_of_a_hundred_thousand_features(tmp_path: Path) -> None:
    written = make_large_store(tmp_path / "store", activations=ACTIVATIONS, features=FEATURES, active=32)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.pages", str(tmp_path / "store"), str(READS)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    found = json.loads(done.stdout)
    text = report(found, written)
    print("\n" + text)
    PAGE.write_text(text)
    assert written >= 20_000_000
    assert all(found["pages"][name]["median"] <= 300 for name in TABLES), "the table"
    assert found["pages"]["a feature"]["median"] <= 150
