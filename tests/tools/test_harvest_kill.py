"""kill -9 at random moments of a harvest, then the same command: the store equals an undisturbed one, row for row."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from dragoman.tools.subject import Subject
from tests.support.soak import FULL, record, table

ROOT = Path(__file__).parents[2]
KILLS = 10 if FULL else 3

SCRIPT = """
import json, os, random, shutil, signal, sys, time
from pathlib import Path
import dragoman.tools.harvest as h
import transformers.models.llama.modeling_llama

folder, kills, shard_tokens, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
random.seed(seed)

def start(store):
    child = os.fork()
    if child:
        return child
    dictionaries = ["neurons:mlp.1", "0=neurons:mlp.0"]
    h.harvest(store, folder / "model", dictionaries, folder / "texts.json", window=20, shard_tokens=shard_tokens, progress=False)
    os._exit(0)

def finish(store):
    began = time.monotonic()
    assert os.waitpid(start(store), 0)[1] == 0
    return time.monotonic() - began

def killed(store, low, high):
    # At a random moment between these parts of the time that a whole harvest takes; None if it had ended by then.
    moment = random.uniform(low, high) * lasts
    child = start(store)
    time.sleep(moment)
    if os.waitpid(child, os.WNOHANG) != (0, 0):
        return None
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return {"moment": moment, "left": left(store)}

def left(store):
    build = store / "build"
    if (store / "manifest.json").exists():
        return "a finished store" + (", its build folder not yet deleted" if build.exists() else "")
    if (store / "features.duckdb").exists():
        return "the sealed database without its manifest"
    if not (build / "plan.json").exists():
        return "nothing yet"
    done = len(list(build.glob("rest-*.json")))
    if (build / "ids.bin").exists():
        return f"all {done} shards, sealing begun"
    return f"{done} finished shards" + (", one begun" if list(build.glob("activations.*.partial")) else "")

lasts = finish(folder / "whole")
table = []
for number in range(kills):
    store = folder / f"killed-{number}"
    while (row := killed(store, number / kills, (number + 1) / kills)) is None:  # the machine is quicker than it was
        shutil.rmtree(store)
        lasts *= 0.8
    table.append({**row, "again": finish(store)})
for number in range(kills):  # and one store again and again, before it could get far
    killed(folder / "often", 0, 0.5)
finish(folder / "often")
print(json.dumps({"lasts": lasts, "table": table}))
"""


def rows(store: Path) -> dict[str, list[tuple[object, ...]]]:
    with duckdb.connect(str(store / "features.duckdb"), read_only=True) as connection:
        tables = [name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables if name != "migration"}


@pytest.mark.slow
@pytest.mark.soak
def test_killed_harvests_go_on_to_the_same_store(tiny: Callable[[str], Subject], tmp_path: Path) -> None:
    subject = tiny("llama")
    subject.model.save_pretrained(tmp_path / "model")
    subject.tokenizer.save_pretrained(tmp_path / "model")
    words = ["the", "cat", "sat", "on", "mat", "and", "dog", "ran", "to", "park"]
    generator = random.Random(0)
    texts = [" ".join(generator.choices(words, k=generator.randint(3, 60))) + f" {n}" for n in range(1000 if FULL else 300)]
    (tmp_path / "texts.json").write_text(json.dumps(texts))

    seed = random.SystemRandom().randrange(2**32)
    print(f"kill moments from seed {seed}")
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(KILLS), "1000", str(seed)]
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    expected = rows(tmp_path / "whole")
    assert len(expected["activation"]) > 10_000 and len(found["table"]) == KILLS
    equal = [rows(tmp_path / f"killed-{number}") == expected for number in range(KILLS)]
    often = rows(tmp_path / "often") == expected
    said = {True: "yes", False: "**no**"}
    text = table(
        ("kill", "after, s", "what it left", "the same command then took, s", "equal"),
        [
            (number + 1, f"{row['moment']:.2f}", row["left"], f"{row['again']:.2f}", said[equal[number]])
            for number, row in enumerate(found["table"])
        ],
    )
    text += (
        f"\n\nAn undisturbed harvest took {found['lasts']:.2f} s ({len(expected['document']):,} documents, "
        f"{len(expected['activation']):,} activations). One more store was killed {KILLS} times in a row before it was "
        f"finished; equal: {said[often]}. Moments from seed {seed}."
    )
    print(text)
    if FULL:
        record("harvest", text)
    assert all(equal) and often
