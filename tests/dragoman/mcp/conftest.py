"""One store and one HTTP server for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mcp_servers import TOKEN, Served, serving


@pytest.fixture(scope="session")
def server(hostile: Path) -> Iterator[Served]:
    with serving(hostile, DRAGOMAN_MCP_TOKEN=TOKEN) as served:
        yield served
