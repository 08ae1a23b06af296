"""Bad input, end to end: one clear sentence, exit code 2 (130 for Ctrl-C), nothing lost."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from dragoman.evals.organism.load import corpus_documents, organism_paths
from dragoman.store.features import Store
from dragoman.store.locking import write_lock
from tests.support.synthetic import make_store

from .command import ROOT, dragoman, here, refused, refused_here


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic store."""
    path = tmp_path_factory.mktemp("bad") / "store"
    make_store(path).close()
    return path


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough documents for a harvest."""
    path = tmp_path_factory.mktemp("text") / "text.jsonl"
    path.write_text("".join(json.dumps({"text": d.text}) + "\n" for d in corpus_documents(150)), "utf-8")
    return path


def harvest(store: Path, text: Path | str, dictionary: Path | str = "", model: Path | str = "") -> tuple[str | Path, ...]:
    """Arguments of a harvest of the organism."""
    paths = organism_paths()
    return ("harvest", store, "--model", model or paths.model, "--dictionary", dictionary or paths.sae, "--text", text, "--quiet")


def test_a_missing_store(tmp_path: Path) -> None:
    for command in ("label", "score", "report"):
        assert "There is no store at" in refused(command, tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_store(tmp_path: Path) -> None:
    assert "is not a store" in refused("label", tmp_path)


def test_a_store_of_another_version(store: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(store, other)
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))
    assert "format 99" in refused("label", other)


def test_a_feature_out_of_range(store: Path) -> None:
    assert "24" in refused("show", store, "24")
    refused("show", store, "sae/99")
    refused("show", store, "nosuch/1")
    refused("label", store, "--features", "20:30")
    assert "names no features" in refused("label", store, "--features", "some")


def test_scores_without_labels(store: Path) -> None:
    assert "dragoman label" in refused("score", store)


def test_unknown_names(store: Path) -> None:
    assert "induction" in refused("label", store, "--explainer", "oracle")
    refused("report", store, "--run", "nosuch")


def test_sql_is_read_only_and_explains_mistakes(store: Path) -> None:
    before = (store / "features.duckdb").read_bytes()
    refused("sql", store, "drop table feature")
    assert (store / "features.duckdb").read_bytes() == before
    assert "nosuch" in refused("sql", store, "select nosuch from feature")


def test_harvest_without_its_flags(tmp_path: Path) -> None:
    assert "Say once where" in refused("harvest", "--model", "m")
    assert "Say once where" in refused("harvest", tmp_path, "--store", tmp_path)
    assert "--model" in refused("harvest", tmp_path)


def test_settings_that_cannot_be_read(store: Path, tmp_path: Path) -> None:
    (tmp_path / "dragoman.toml").write_text("workers = = 3")
    assert "cannot be read as TOML" in refused("label", store, cwd=tmp_path)
    (tmp_path / "dragoman.toml").write_text("[label]\nworker = 3\n")
    assert "'worker'" in refused("label", store, cwd=tmp_path)


@pytest.mark.slow
def test_a_missing_model_dictionary_or_text(tmp_path: Path, text: Path) -> None:
    assert "nosuch" in refused_here(*harvest(tmp_path / "s", text, model=tmp_path / "nosuch"))
    assert "nosuch" in refused_here(*harvest(tmp_path / "s", text, dictionary=tmp_path / "nosuch"))
    assert "nosuch" in refused_here(*harvest(tmp_path / "s", tmp_path / "nosuch.txt"))


@pytest.mark.slow
def test_a_dictionary_of_another_width(tmp_path: Path, text: Path) -> None:
    folder = tmp_path / "sae"
    shutil.copytree(organism_paths().sae, folder)
    file = next(folder.glob("*.safetensors"))
    weights = load_file(file)
    width = weights["W_dec"].shape[1]
    weights["W_dec"], weights["W_enc"] = weights["W_dec"][:, : width // 2].clone(), weights["W_enc"][: width // 2].clone()
    weights["b_dec"] = weights["b_dec"][: width // 2].clone()
    save_file(weights, file)
    config = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps({**config, "d_in": width // 2}))
    assert str(width) in refused_here(*harvest(tmp_path / "s", text, dictionary=folder))


@pytest.mark.slow
def test_a_corrupt_dictionary(tmp_path: Path, text: Path) -> None:
    folder = tmp_path / "sae"
    shutil.copytree(organism_paths().sae, folder)
    file = next(folder.glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:1000])
    assert file.name in refused_here(*harvest(tmp_path / "s", text, dictionary=folder))


@pytest.mark.slow
def test_an_empty_corpus(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    assert "empty.txt" in refused_here(*harvest(tmp_path / "s", tmp_path / "empty.txt"))
    (tmp_path / "few.txt").write_text("one\n\ntwo\n\nthree")
    assert "documents" in refused_here(*harvest(tmp_path / "t", tmp_path / "few.txt"))


@pytest.mark.slow
def test_documents_with_nul_bytes_and_lone_surrogates_are_harvested(tmp_path: Path, text: Path) -> None:
    """They are text like any other: the harvest ends well, and what follows can read the store."""
    odd = tmp_path / "odd.jsonl"
    odd.write_text(
        text.read_text("utf-8") + '{"text": "nul \\u0000 here, robin"}\n{"text": "half \\ud83d a face, robin"}\n' * 3, "utf-8"
    )
    done = here(*harvest(tmp_path / "s", odd))
    assert done.returncode == 0, done
    found = dragoman(
        "sql", tmp_path / "s", "select text from document where text like '%robin' and text like '%a face%'", "--json"
    )
    assert found.returncode == 0 and len(json.loads(found.stdout)["rows"]) == 3, found


@pytest.mark.slow
def test_a_store_that_another_process_is_writing(tmp_path: Path, text: Path) -> None:
    with write_lock(tmp_path / "s"):
        assert "nother process" in refused_here(*harvest(tmp_path / "s", text))
        (tmp_path / "s" / "build").mkdir()
        assert "being written" in refused("label", tmp_path / "s")


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """A limit on the size of files stands in for a full disk: the same error, from the same calls."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.slow
def test_a_full_disk_during_harvest_and_the_same_command_afterwards(tmp_path: Path, text: Path) -> None:
    with full_disk(400_000):
        assert "full" in refused_here(*harvest(tmp_path / "s", text))
    assert here(*harvest(tmp_path / "s", text)).returncode == 0


def test_a_full_disk_during_label_and_the_same_command_afterwards(tmp_path: Path) -> None:
    make_store(tmp_path / "s").close()
    with Store.open(tmp_path / "s") as store:
        ledger = store.ledger.path.stat().st_size  # made now, so that the limit is met while labels are written
    with full_disk(max(20_000, ledger // 4)):
        assert "full" in refused_here("label", tmp_path / "s", "--quiet", "--workers", "0")
    assert here("label", tmp_path / "s", "--quiet", "--workers", "0").returncode == 0
    assert _labels(tmp_path / "s") == 23


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on_and_loses_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dragoman", "label", str(tmp_path / "s"), "--quiet"]
    process = _interrupted(tmp_path / "s", command)
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 130 and out == "" and errors.startswith("Stopped. What is done is kept"), errors
    assert len(errors.splitlines()) == 1
    kept = _labels(tmp_path / "s")
    with Store.open(tmp_path / "s") as store:
        assert kept >= 3 and store.ledger.runs()[0].status == "stopped"
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0
    with Store.open(tmp_path / "s") as store:
        assert len(store.ledger.labels()) == len(store.features("live")) and store.ledger.runs()[0].status == "done"


def _interrupted(path: Path, command: list[str]) -> subprocess.Popen[str]:
    """The command on a new store, to which Ctrl-C was sent after some labels."""
    pipe = subprocess.PIPE
    while True:
        make_store(path, documents=200).close()
        process = subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
        while process.poll() is None and _labels(path) < 3:
            time.sleep(0.01)
        with _locked(path):  # no further label can be written before the signal is there
            if process.poll() is None and _labels(path) < 20:
                os.killpg(process.pid, signal.SIGINT)
                return process
        process.communicate(timeout=300)  # it was too quick
        shutil.rmtree(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Nobody else writes to the ledger meanwhile."""
    with closing(sqlite3.connect(path / "ledger.sqlite", timeout=60, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def _labels(path: Path) -> int:
    """Labels in the ledger; 0 where there is none yet."""
    try:
        with closing(sqlite3.connect(f"file:{path / 'ledger.sqlite'}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM label").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
