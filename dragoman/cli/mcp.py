"""`dragoman mcp`: the toolbox for Claude, IDEs and other programs."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Device, Dictionaries, Model, Seed, Store

SDK = ("mcp", "mcp_types", "uvicorn", "starlette")
"""What the extra installs."""


def mcp(
    store: Store,
    http: Annotated[bool, typer.Option("--http", help="Serve over HTTP instead of stdin and stdout.")] = False,
    host: Annotated[
        str, typer.Option(help="Address to listen on, with --http; others than this machine's own need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on, with --http; 0 takes a free one.", min=0, max=65535)] = 8765,
    name: Annotated[
        list[str] | None,
        typer.Option(help="A further name by which clients reach this machine; may be repeated.", show_default=False),
    ] = None,
    seed: Seed = 0,
    model: Model = None,
    dictionary: Dictionaries = None,
    device: Device = None,
) -> None:
    """Give the toolbox to Claude, an IDE or another program, over the Model Context Protocol.

    The program starts this command itself and speaks with it on stdin and stdout; docs/mcp.md shows how to tell it. With --http
    it is started by hand and serves many programs. Clients have the tools, pages and prompts of agents: train rows, no scores.

    A token for HTTP is read from DRAGOMAN_MCP_TOKEN; clients send it as "Authorization: Bearer TOKEN".

    [bold]Examples[/bold]

        dragoman mcp S

        dragoman mcp S --http --port 9000

        dragoman mcp S --http --host 0.0.0.0 --name lab-machine.example.org
    """
    import os
    import sys

    from dragoman.guarding import checked_token
    from dragoman.logs import logging_to
    from dragoman.store.errors import UserError

    from .errors import say

    try:
        from dragoman.mcp.guarding import TOKEN
        from dragoman.mcp.serving import LIBRARIES, over_http, over_stdio
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in SDK:
            raise
        raise UserError("MCP needs the official SDK, version 2.3 or newer: pip install 'dragoman[mcp]'") from error
    from dragoman.mcp.library import Library

    token = os.environ.get(TOKEN)
    if http:
        checked_token(host, token, TOKEN)
    try:
        with logging_to(store, "mcp", LIBRARIES), Library.open(store, model, dictionary or (), device, seed) as library:
            if http:
                over_http(
                    library, host, port, name or (), token, lambda address: say(f"Serving MCP at {address}; Ctrl-C ends it.")
                )
                return
            if sys.stdin.isatty():
                say("Speaking MCP on stdin and stdout with the program that started this; --http serves a port. Ctrl-C ends it.")
            over_stdio(library)
    except KeyboardInterrupt:
        say("Ended.")
