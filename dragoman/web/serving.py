"""The application behind a port, until Ctrl-C."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette

from dragoman.guarding import bracketed, listening

LIBRARIES = ("uvicorn",)
"""Loggers of the libraries that serve."""
LEAVE = 2
"""Seconds that open connections have to end when the server does."""


def serve(app: Callable[[], Starlette], host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve an application.

    Args:
        app: makes it, once the port is ours.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        say: is told the server's address.

    Raises UserError where the address is not this machine's or is in use.
    """
    with listening(host, port) as listener:
        config = uvicorn.Config(app(), log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=LEAVE)
        say(f"http://{bracketed(host)}:{listener.getsockname()[1]}/")
        asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
