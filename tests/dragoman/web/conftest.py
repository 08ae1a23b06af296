"""One store without a model for the tests of this folder, and browsers that are none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from dragoman.web.app import application
from tests.support.synthetic import make_store

HOME = "http://127.0.0.1"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("web") / "store"
    make_store(folder).close()
    return folder


@pytest.fixture(scope="module")
def client(store: Path) -> Iterator[TestClient]:
    with TestClient(application(store), base_url=HOME, headers={"origin": HOME}) as client:
        yield client
