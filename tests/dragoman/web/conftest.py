"""One store without a model for the tests of this folder, its ledger full of what attacks pages; and browsers that are none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from dragoman.web.app import application
from tests.support.furnished import furnish
from tests.support.synthetic import make_store

HOME = "http://127.0.0.1"
ATTACK = "</script></title><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31m\u202eback\u2066\"'&{{ 7*7 }}"
"""Stands wherever a model or a corpus could put words."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store on which nothing was run."""
    folder = tmp_path_factory.mktemp("web") / "store"
    make_store(folder).close()
    return folder


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store on which everything was run."""
    folder = tmp_path_factory.mktemp("web") / "full"
    with make_store(folder) as store:
        furnish(store, ATTACK)
    return folder


@pytest.fixture(scope="module")
def client(store: Path) -> Iterator[TestClient]:
    with TestClient(application(store), base_url=HOME, headers={"origin": HOME}) as client:
        yield client


@pytest.fixture(scope="module")
def visitor(full: Path) -> Iterator[TestClient]:
    with TestClient(application(full), base_url=HOME, headers={"origin": HOME}) as client:
        yield client
