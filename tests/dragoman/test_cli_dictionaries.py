"""`dragoman dictionaries` for people and for scripts, on the organism's own dictionary."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dragoman.evals.organism.load import corpus_documents, organism_paths
from dragoman.tools.dictionaries import FORMATS

from .command import here, refused_here


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("text") / "texts.json"
    file.write_text(json.dumps([d.text for d in corpus_documents(60)]))
    return file


def test_formats_are_listed() -> None:
    page = here("dictionaries")
    assert page.returncode == 0 and all(f.name in page.stdout for f in FORMATS)
    assert [f["format"] for f in json.loads(here("dictionaries", "--json").stdout)["formats"]] == [f.name for f in FORMATS]


def test_one_dictionary(text: Path) -> None:
    paths = organism_paths()
    page = here("dictionaries", paths.sae)
    assert page.returncode == 0 and "saelens, topk" in page.stdout and "not measured: no model given" in page.stdout
    (one,) = json.loads(here("dictionaries", f"o={paths.sae}", "--model", paths.model, "--text", text, "--json").stdout)[
        "dictionaries"
    ]
    assert one["name"] == "o" and one["architecture"] == "topk" and one["k"] == 16 and one["hooks_out"] == [one["hook_in"]]
    assert 0 < one["variance_unexplained"] < 0.3 and one["tokens"] > 1000


def test_a_dictionary_at_the_wrong_place_is_loud(text: Path, tmp_path: Path) -> None:
    paths = organism_paths()
    place = f"{paths.sae}@resid_pre.0"
    page = here("dictionaries", place, "--model", paths.model, "--text", text)
    assert page.returncode == 0 and "implausible" in page.stdout
    assert "made for another model, hook point or normalisation" in " ".join(page.stderr.split())


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    paths = organism_paths()
    assert "Say which dictionaries" in refused_here("dictionaries", "--model", paths.model)
    assert "--text needs --model" in refused_here("dictionaries", paths.sae, "--text", tmp_path)
    assert "not a dictionary of a known format" in refused_here("dictionaries", tmp_path)
