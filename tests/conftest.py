"""Fixtures that every test may use."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from dragoman.store.features import Store
from tests.support.synthetic import make_store

if TYPE_CHECKING:
    from dragoman.tools.workbench import Workbench

TERMINAL = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
"""Variables that change what commands print; no test is to depend on where it is run."""

for _name in TERMINAL:
    os.environ.pop(_name, None)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # begun in the background; commands would inherit it and not hear Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["HF_HUB_OFFLINE"] = "1"  # transformers asks the hub about some tokenizers, even from a folder
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"

hypothesis.settings.register_profile(
    "certain",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("certain")


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
