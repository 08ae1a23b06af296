"""Sealing: the same rows give the same store, in the promised order, whatever happened on the way."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from dragoman.store.features import Store
from dragoman.store.records import SPLITS
from dragoman.store.seal import seal
from tests.support.bulk import seal_bulk, write_bulk
from tests.support.synthetic import WORDS, Rows, dictionary, make_rows, seal_shards, subject, write_run, write_shards

ROOT = Path(__file__).parents[2]


def sealed(path: Path, rows: Rows, shards: int = 3, **sealing: Any) -> Store:
    write_shards(path, rows, shards)
    seal_shards(path, **sealing)
    return Store.open(path)


def test_activations_are_stored_in_the_promised_order(tmp_path: Path) -> None:
    rows = make_rows(documents=80, rate=0.3)
    for entry in rows.activations:
        entry["value"] = float(np.float32(round(entry["value"], 1) or 0.1))  # many ties, so that the tie-break matters
    with sealed(tmp_path / "store", rows) as store:
        connection = duckdb.connect(str(store.path / "features.duckdb"), read_only=True)
        stored = connection.execute("SELECT feature, split, context, position, value FROM activation ORDER BY rowid").fetchall()
    split = {entry["context"]: entry["split"] for entry in rows.contexts}
    wanted = [
        (a["feature"], SPLITS.index(split[a["context"]]), a["context"], a["position"], a["value"]) for a in rows.activations
    ]
    assert stored == sorted(wanted, key=lambda row: (row[0], row[1], -row[4], row[2], row[3]))


def test_the_store_does_not_depend_on_shards_or_on_the_order_of_rows(tmp_path: Path) -> None:
    rows = make_rows(documents=60)
    with sealed(tmp_path / "a", rows, shards=1, threads=1) as store:
        once = store.digest_tables()
    random.Random(0).shuffle(rows.activations)
    with sealed(tmp_path / "b", rows, shards=7, threads=2) as store:
        assert store.digest_tables() == once
    rows.activations[0]["value"] += 1.0
    with sealed(tmp_path / "c", rows) as store:
        assert store.digest_tables()["activation"] != once["activation"]
        assert store.digest() != Store.open(tmp_path / "a").digest()


def test_millions_of_rows_in_little_memory(tmp_path: Path) -> None:
    rows = Rows([], [], [])
    base = make_rows(documents=60)
    rows.documents, rows.contexts = base.documents, base.contexts
    write_shards(tmp_path, rows, shards=1)
    generator = np.random.default_rng(0)
    n = 3_000_000
    splits = np.array([SPLITS.index(entry["split"]) for entry in rows.contexts], np.uint8)
    token = generator.integers(0, 180 * 16, n)
    write_run(
        tmp_path / "build",
        0,
        24,
        feature=generator.integers(0, 24, n).astype(np.uint32),
        split=splits[token // 16],
        token=token,
        value=generator.exponential(1.0, n).astype(np.float32) + np.float32(0.01),
    )
    seal_shards(tmp_path, memory_limit="64MB", threads=1)
    with Store.open(tmp_path) as store:
        assert store.manifest.activations == n
        assert sum(store.stats_table()["corpus_active"].to_pylist()) == n


def test_a_finished_store_has_no_build_folder_and_a_manifest(tmp_path: Path) -> None:
    rows = make_rows(documents=60)
    with sealed(tmp_path, rows) as store:
        assert not (tmp_path / "build").exists()
        assert store.manifest.activations == store.manifest.activations_seen == len(rows.activations)
        assert sum(store.manifest.tokens.values()) == 60 * 48
        assert sum(store.manifest.contexts.values()) == 180


def test_a_harvest_without_any_activation_gives_dead_features(tmp_path: Path) -> None:
    rows = make_rows(documents=40)
    rows.activations = []
    with sealed(tmp_path, rows) as store:
        assert store.features("dead") == list(range(24))
        assert store.examples(0, "train", "top", 3) == []
        assert len(store.examples(0, "train", "random_silent", 3)) == 3
        assert len(store.examples(0, "train", "near_miss", 3)) == 0
        assert store.activations(5, "test")[0].size == 0


def test_any_valid_text_goes_in_and_comes_out(tmp_path: Path) -> None:
    rows = make_rows(documents=40)
    odd = "a\x00b\u202e\U0001f600'\"<b>\\\r\n\t\ufeff"
    rows.documents[0]["text"] = odd
    rows.documents[0]["source"] = 'it\'s "odd"; DROP TABLE x.txt'
    length = len(rows.contexts[0]["ids"])
    rows.contexts[0]["starts"] = [min(i, len(odd)) for i in range(length)]
    rows.contexts[0]["ends"] = [min(i + 1, len(odd)) for i in range(length)]
    write_shards(tmp_path / "it's", rows)
    vocabulary = [odd, "", " ", "'", *[f"w{i}" for i in range(len(WORDS) - 4)]]
    seal(tmp_path / "it's", subject=subject(), dictionaries=[dictionary(24)], vocabulary=vocabulary, plan={"odd": odd})
    with Store.open(tmp_path / "it's") as store:
        assert store.contexts([0])[0].strings == tuple(odd) + ("",) * (length - len(odd))
        assert store.vocabulary[:4] == [odd, "", " ", "'"]
        assert store.manifest.plan == {"odd": odd}
        assert [row["text"] for row in store.sql("SELECT text FROM document WHERE document = 0")] == [odd]


def test_several_dictionaries_share_a_store(tmp_path: Path) -> None:
    write_shards(tmp_path, make_rows(documents=60))
    both = [dictionary(10, "first"), dictionary(14, "second", offset=10)]
    seal(tmp_path, subject=subject(), dictionaries=both, vocabulary=list(WORDS), plan={})
    with Store.open(tmp_path) as store:
        assert str(store.key(12)) == "second/2"
        assert store.id("second/2") == 12
        assert [row["index"] for row in store.sql("SELECT index FROM feature WHERE dictionary = 1 ORDER BY feature")] == list(
            range(14)
        )
        assert store.feature("second/13").stats.liveness == "dead"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feature": 24}, "names feature 24"),
        ({"value": float("nan")}, "not a finite"),
        ({"value": -1.0}, "above 0"),
        ({"position": 16}, "not there"),
    ],
)
def test_contradictory_shards_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    rows = make_rows(documents=40)
    rows.activations[-1] |= change
    with pytest.raises(ValueError, match=message):
        write_shards(tmp_path, rows)
        seal_shards(tmp_path)
    assert not (tmp_path / "manifest.json").exists()
    assert sorted((tmp_path / "build").glob("activations-*.keys")), "the shards are kept"


SEAL = """
import sys
from pathlib import Path
from tests.support.synthetic import seal_shards
print("go", flush=True)
seal_shards(Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_killed_while_sealing_the_same_call_seals_again(tmp_path: Path) -> None:
    rows = make_rows(documents=150, rate=0.2)
    write_shards(tmp_path / "shards", rows)
    shutil.copytree(tmp_path / "shards", tmp_path / "calm")
    begun = time.monotonic()
    seal_shards(tmp_path / "calm")
    takes = time.monotonic() - begun
    with Store.open(tmp_path / "calm") as store:
        wanted = store.digest_tables()
    generator = random.Random(0)
    interrupted = 0
    for number in range(3):
        path = tmp_path / f"killed{number}"
        shutil.copytree(tmp_path / "shards", path)
        for _ in range(2):
            process = subprocess.Popen([sys.executable, "-c", SEAL, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(generator.uniform(0, takes))
            process.send_signal(signal.SIGKILL)
            process.wait()
            if (path / "manifest.json").exists():  # too late: the machine is quicker than it was
                takes /= 4
                break
            interrupted += 1
        if not (path / "manifest.json").exists():
            seal_shards(path)
        with Store.open(path) as store:
            assert store.digest_tables() == wanted
    assert interrupted, "no kill came in time: the test proved nothing"


def test_a_full_disk_is_said_in_one_sentence_and_loses_nothing(tmp_path: Path) -> None:
    write_shards(tmp_path, make_rows(documents=100, rate=0.2))
    limited = (
        "import resource, sys; from pathlib import Path; from dragoman.store.errors import UserError\n"
        "from tests.support.synthetic import seal_shards\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "try: seal_shards(Path(sys.argv[1]))\n"
        "except UserError as error: print(error); sys.exit(2)\n"
    )
    ended = subprocess.run([sys.executable, "-c", limited, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2, ended.stderr
    assert "disk is full" in ended.stdout and "same command again" in ended.stdout
    seal_shards(tmp_path)
    with Store.open(tmp_path) as store:
        assert store.manifest.activations > 1000


def test_leftovers_in_the_build_folder_do_no_harm(tmp_path: Path) -> None:
    write_shards(tmp_path, make_rows(documents=40))
    for name in ("features.duckdb.partial", "features.duckdb.partial.wal", "ids.bin", "owner.bin", "left-out.parquet"):
        (tmp_path / "build" / name).write_bytes(os.urandom(100))
    seal_shards(tmp_path)
    assert not (tmp_path / "build").exists()
    with Store.open(tmp_path) as store:
        assert store.manifest.activations > 0


@pytest.mark.parametrize("delay", [0.0, 0.3])
def test_an_interrupt_comes_out_as_itself(tmp_path: Path, delay: float) -> None:
    def interrupt(step: str) -> None:
        if step == "sorting activations":
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT)).start()

    while True:
        write_bulk(tmp_path, activations=1_500_000, features=256, active=16)
        with pytest.raises(KeyboardInterrupt):
            seal_bulk(tmp_path, 256, progress=interrupt)
            time.sleep(60)
        if not (tmp_path / "manifest.json").exists():
            break
        delay /= 4  # too late to show anything: the machine is quick
        shutil.rmtree(tmp_path)
    seal_bulk(tmp_path, 256)
    Store.open(tmp_path).close()
