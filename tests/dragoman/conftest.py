"""What several folders of tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.mcp_servers import make_hostile_store


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with hostile text and labels, made once."""
    return make_hostile_store(tmp_path_factory.mktemp("hostile"))
