"""Fixtures that every test may use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dragoman.store.features import Store
from tests.support.synthetic import make_store


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
