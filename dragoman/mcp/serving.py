"""The two ways to speak with the server: over stdin and stdout, and over HTTP."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

import uvicorn
from mcp.server.stdio import stdio_server

from dragoman.guarding import bracketed, checked_token, listening

from .calling import Caller
from .guarding import TOKEN, Guard, security
from .library import Library
from .server import make_server

PATH = "/mcp"
"""Where the server answers over HTTP."""
LIBRARIES = ("mcp", "uvicorn")
"""Loggers of the libraries that serve."""
_LEAVE = 2
"""Seconds that open connections have to end when the server does."""
log = logging.getLogger(__name__)


def over_stdio(library: Library) -> None:
    """Serve one client on stdin and stdout, until stdin ends. Nothing but the protocol is written to stdout."""
    asyncio.run(_stdio(library))


def over_http(
    library: Library, host: str, port: int, names: Sequence[str], token: str | None, say: Callable[[str], None]
) -> None:
    """Serve any number of clients over HTTP, until Ctrl-C.

    Args:
        library: the store.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        names: further names by which clients reach this machine.
        token: what clients must send.
        say: is told the server's address.

    Raises UserError where the address is not this machine's or is in use, or a token is missing or no good.
    """
    token = checked_token(host, token, TOKEN)
    with listening(host, port) as listener:
        say(f"http://{bracketed(host)}:{listener.getsockname()[1]}{PATH}")
        asyncio.run(_http(library, listener, host, names, token))


async def _stdio(library: Library) -> None:
    caller = Caller(library.toolbox)
    server = make_server(library, caller)
    # A thread waits for stdin and cannot be woken, so Ctrl-C leaves at once; nothing is left half written.
    with suppress(NotImplementedError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, os._exit, 0)
    try:
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())
    finally:
        caller.close()


async def _http(library: Library, listener: socket.socket, host: str, names: Sequence[str], token: str | None) -> None:
    caller = Caller(library.toolbox)
    app = make_server(library, caller).streamable_http_app(
        streamable_http_path=PATH, host=host, transport_security=security(host, names)
    )
    guarded = app if token is None else Guard(app, token)  # type: ignore[arg-type]
    config = uvicorn.Config(guarded, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=_LEAVE)
    try:
        await uvicorn.Server(config).serve(sockets=[listener])
    finally:
        caller.close()
