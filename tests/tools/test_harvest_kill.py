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

ROOT = Path(__file__).parents[2]
FULL = os.environ.get("DRAGOMAN_SOAK") == "full"
KILLS = 10 if FULL else 3

SCRIPT = """
import json, os, random, shutil, signal, sys, time
from pathlib import Path
import dragoman.tools.harvest as h
import transformers.models.llama.modeling_llama

folder, kills, shard_tokens, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])

def start(store):
    child = os.fork()
    if child:
        return child
    dictionaries = ["neurons:mlp.1", "0=neurons:mlp.0"]
    h.harvest(store, folder / "model", dictionaries, folder / "texts.json", window=20, shard_tokens=shard_tokens, progress=False)
    os._exit(0)

began = time.monotonic()
assert os.waitpid(start(folder / "whole"), 0)[1] == 0
lasts = time.monotonic() - began
moments, done = random.Random(seed), []
while len(done) < kills:
    child = start(folder / "killed")
    time.sleep(moments.uniform(0, 0.5 * lasts))
    if os.waitpid(child, os.WNOHANG) != (0, 0):
        shutil.rmtree(folder / "killed")  # it had finished before: begin again
        continue
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    build = folder / "killed" / "build"
    done.append([sorted(f.name for f in build.glob("*")), (folder / "killed" / "manifest.json").exists()])
assert os.waitpid(start(folder / "killed"), 0)[1] == 0
print(json.dumps(done))
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
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    print("\n".join(f"killed with {len(files)} files in build" for files, _ in found))
    assert len(found) == KILLS
    expected = rows(tmp_path / "whole")
    assert len(expected["activation"]) > 10_000
    assert rows(tmp_path / "killed") == expected
