"""What pages of a large store take: a store with labels and scores for every feature, and the time and rows of each page."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from starlette.testclient import TestClient

from dragoman.store.features import Store
from dragoman.store.ledger import Ledger
from dragoman.store.manifest import LEDGER
from dragoman.store.reading import Database
from dragoman.store.records import Label, Run, Score
from dragoman.store.seal import StaticTables
from dragoman.web.app import application
from tests.support.bulk import VOCABULARY, seal_bulk, write_bulk

HOME = "http://127.0.0.1"
TABLES = {
    "first page of the table": "/features",
    "sorted by a score": "/features?sort=simulation.r",
    "sorted by name": "/features?sort=label",
    "the last page": "/features?sort=density&page=1000000",
    "search for two words": "/features?q=robin+number",
    "top token": "/features?token=w99&sort=max",
}
"""Pages that are measured besides those of features."""
WORDS = ("robin", "park", "month", "number", "bracket", "name", "river", "word", "verb", "quote")


def make_large_store(path: Path, *, activations: int, features: int, active: int) -> int:
    """A sealed store with a label and three scores for every feature; the number of activations."""
    written = write_bulk(path, activations=activations, features=features, active=active)
    seal_bulk(path, features, tables=StaticTables(_effects(features), None))
    ledger = Ledger(path / LEDGER)
    ledger.start_run(
        Run(id="labels", kind="label", config=json.dumps({"explainer": "bulk", "features": f"0:{features}"}), status="done")
    )
    ledger.start_run(Run(id="scores", kind="score", config=json.dumps({"judge": "pattern", "labels": "labels"}), status="done"))
    random = np.random.default_rng(1)
    for first in range(0, features, 5_000):
        chosen = range(first, min(first + 5_000, features))
        labels = [_label(feature, random.choice(WORDS, 6).tolist()) for feature in chosen]
        values = random.random((len(labels), 3))
        scores = [
            Score(
                label=label.id, feature=label.feature, run="scores", scorer=scorer, judge="pattern", contestant="label",
                split="test", value=float(value), low=float(value) / 2, high=1.0, n=80,
            )
            for label, row in zip(labels, values, strict=True)
            for scorer, value in zip(("simulation.r", "detection.auroc", "detection.balanced_accuracy"), row, strict=True)
        ]  # fmt: skip
        ledger.record(labels=labels, scores=scores)
    ledger.close()
    return written


def _label(feature: int, said: list[str]) -> Label:
    text = " ".join(said)
    return Label(
        id=f"label{feature}",
        feature=feature,
        run="labels",
        name=" ".join(said[:4]),
        description=f"fires on {text} where it stands before {said[0]} or after {said[1]}, and weakly on {said[2]}",
        agent="bulk",
        pattern='strongly: " w1"',
    )


def _effects(features: int, top: int = 10) -> pa.Table:
    """Logit effects as a harvest writes them."""
    count = features * 2 * top
    return pa.table(
        {
            "feature": np.repeat(np.arange(features, dtype=np.uint32), 2 * top),
            "side": pa.array(np.tile(np.repeat(["promoted", "suppressed"], top), features)),
            "rank": np.tile(np.arange(top, dtype=np.uint8), 2 * features),
            "token": np.random.default_rng(2).integers(0, VOCABULARY, count).astype(np.uint32),
            "value": np.linspace(1, 0, count, dtype=np.float32),
        }
    )


def measure(path: Path, reads: int) -> dict[str, Any]:
    """Median and 95 % milliseconds, median processor time and most rows read of every kind of page; memory in MB; the load.

    The medians of a table are over `reads` requests, those of features over as many live features, each read once.
    """
    before = _memory("VmRSS")
    with Store.open(path) as store:
        live = store.features("live")
        chosen = np.random.default_rng(0).choice(live, min(reads + 5, len(live)), replace=False).tolist()
    with TestClient(application(path), base_url=HOME, headers={"accept": "text/html"}) as client:
        begun = time.perf_counter()
        assert client.get("/features").status_code == 200
        found: dict[str, Any] = {"opening": 1000 * (time.perf_counter() - begun), "pages": {}}
        for name, address in TABLES.items():
            found["pages"][name] = _timed(client, [address] * (reads + 1), 1)
        found["pages"]["a feature"] = _timed(client, [f"/features/{feature}" for feature in chosen], 5)
        pairs = [f"/compare/features?features={a},{b}" for a, b in pairwise(chosen[: min(20, reads + 2)])]
        found["pages"]["two features"] = _timed(client, pairs, 1)
    found["memory"], found["load"] = _memory("VmHWM") - before, os.getloadavg()[0]
    return found


def _timed(client: TestClient, addresses: Sequence[str], warm: int) -> dict[str, float]:
    times, work, rows, sizes = [], [], [], []
    for n, address in enumerate(addresses):
        with counted() as count:
            begun, busy = time.perf_counter(), time.process_time()
            answer = client.get(address)
            took, used = 1000 * (time.perf_counter() - begun), 1000 * (time.process_time() - busy)
        assert answer.status_code == 200, answer.text[:500]
        if n >= warm:
            times.append(took)
            work.append(used)
            rows.append(count[0])
            sizes.append(len(answer.content))
    return {
        "median": statistics.median(times),
        "work": statistics.median(work),
        "high": float(np.quantile(times, 0.95)),
        "rows": max(rows),
        "bytes": max(sizes),
    }


@contextmanager
def counted() -> Iterator[list[int]]:
    """Counts the rows that are read of the sealed database meanwhile."""
    count = [0]
    own = {name: getattr(Database, name) for name in ("rows", "records", "columns", "table")}

    def counting(name: str) -> Any:
        def read(self: Database, *arguments: Any) -> Any:
            got = own[name](self, *arguments)
            count[0] += len(next(iter(got.values()), ())) if isinstance(got, dict) else len(got)
            return got

        return read

    for name in own:
        setattr(Database, name, counting(name))
    try:
        yield count
    finally:
        for name, method in own.items():
            setattr(Database, name, method)


def _memory(what: str) -> float:
    """Memory of this process in MB: VmRSS now, VmHWM at most so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) * 1024 / 1e6


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]))))
