"""A small store of the organism of which every test gets a copy that it may write to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dragoman.evals.organism.load import corpus_documents, organism_paths
from dragoman.tools.harvest import harvest


def harvest_organism(folder: Path) -> Path:
    """A store of the organism and its residual dictionary with a few hundred live features."""
    paths = organism_paths()
    text = "".join(json.dumps({"text": document.text}) + "\n" for document in corpus_documents(800))
    (folder / "text.jsonl").write_text(text, "utf-8")
    harvest(folder / "store", str(paths.model), [str(paths.sae)], str(folder / "text.jsonl"), progress=False).close()
    return folder / "store"


@pytest.fixture(scope="session")
def harvested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such a store, not to be written to."""
    return harvest_organism(tmp_path_factory.mktemp("harvested"))


@pytest.fixture
def organism(harvested: Path, tmp_path: Path) -> Path:
    """Folder of a copy of it."""
    target = tmp_path / "store"
    target.mkdir()
    for name in ("features.duckdb", "manifest.json"):
        shutil.copy(harvested / name, target / name)
    return target
