"""`dragoman train` from the command line, on the shipped model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dragoman.evals.organism.load import corpus_documents, organism_paths

from .command import here, refused_here


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.jsonl"
    path.write_text("".join(json.dumps({"text": d.text}) + "\n" for d in corpus_documents(40)), "utf-8")
    return path


def arguments(out: Path, text: Path) -> tuple[str | Path, ...]:
    return ("train", out, "--model", organism_paths().model, "--text", text, "--batch", "256", "--tokens", "10K", "--quiet")


def test_a_dictionary_with_its_log_and_its_page(text: Path, tmp_path: Path) -> None:
    command = (*arguments(tmp_path / "d", text), "--hook", "resid_post.1", "--features", "64", "--k", "4")
    done = here(*command, "--json")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["dictionaries"]
    assert (found["hooks"], found["step"], found["tokens"]) == (["resid_post.1"], 39, 39 * 256)
    assert 0 < found["unexplained"] < 1
    names = {f.name for f in (tmp_path / "d").iterdir() if not f.name.startswith(".")}
    assert names - {"logs"} == {"cfg.json", "sae_weights.safetensors", "training.jsonl", "training.json", "training.html"}
    again = here(*command)
    assert again.returncode == 0
    assert f"{1 - found['unexplained']:.2%} of the variance explained with 4.0 features a token" in again.stdout


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--hook", "resid_post.1", "--tokens", "many"), "--tokens must be a number of tokens such as 500000, 500K or 20M"),
        (("--hook", "resid_post.1", "--architecture", "gated"), "Unknown architecture 'gated'"),
        (("--hook", "resid_post.7"), "layers 0 to 3"),
        ((), "Say which hook point the dictionary reads"),
    ],
)
def test_bad_flags(text: Path, tmp_path: Path, flags: tuple[str, ...], says: str) -> None:
    assert says in refused_here(*arguments(tmp_path / "d", text), *flags)
    assert not (tmp_path / "d").exists()


def test_a_model_and_a_text_are_needed(tmp_path: Path) -> None:
    assert "Training needs --model" in refused_here("train", tmp_path / "d", "--hook", "resid_post.1")
