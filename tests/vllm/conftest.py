"""The small judge on a real vLLM server, started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vllm.served import Served
from tests.vllm.small_judge import FOLDER


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The small judge, served."""
    judge = Served(FOLDER, tmp_path_factory.mktemp("vllm"))
    try:
        yield judge
    finally:
        judge.stop()
