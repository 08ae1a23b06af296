"""Fixtures that every test may use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dragoman.store.features import Store
from tests.support.synthetic import make_store

if TYPE_CHECKING:
    from dragoman.tools.workbench import Workbench


@pytest.fixture(scope="session")
def synthetic_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a sealed synthetic store that all tests share; do not write to its ledger."""
    path = tmp_path_factory.mktemp("synthetic") / "store"
    make_store(path).close()
    return path


@pytest.fixture
def synthetic_store(synthetic_path: Path) -> Iterator[Store]:
    """The shared synthetic store, open."""
    with Store.open(synthetic_path) as store:
        yield store


@pytest.fixture(scope="session")
def organism_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A store of the organism and its residual dictionary that all tests share; do not write to its ledger."""
    from dragoman.evals.organism.load import corpus_documents, organism_paths
    from dragoman.tools.harvest import harvest
    from dragoman.tools.workbench import Workbench

    folder, paths = tmp_path_factory.mktemp("organism"), organism_paths()
    text = "".join(json.dumps({"text": document.text}) + "\n" for document in corpus_documents(300))
    (folder / "text.jsonl").write_text(text, "utf-8")
    store = harvest(folder / "store", str(paths.model), [str(paths.sae)], str(folder / "text.jsonl"), progress=False)
    with Workbench.open(store) as bench:
        yield bench
