"""Replies in pieces: what is recorded is the same as of a reply that came whole."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from dragoman.evals.gateway.budget import Budget
from dragoman.evals.gateway.calls import Place, Reply, Request
from dragoman.evals.gateway.gateway import Gateway
from dragoman.evals.gateway.models import model_named
from dragoman.evals.gateway.streaming import Piece
from dragoman.store.ledger import Ledger

from .server import Body, Failure, Said, ScriptedServer
from .test_tools import TALK

SAID = Said("Let us see it.", tools=[("activate", '{"text": "a long text, with \\u00e4"}'), ("record_note", '{"text": "b"}')])


def told(path: Path, spec: str, request: Request = TALK, run: str = "run", ordinal: int = 0) -> tuple[Reply, list[Piece]]:
    """The reply to a request, and the pieces it came in."""
    pieces: list[Piece] = []

    async def ask() -> Reply:
        async with Gateway(ledger, run, 0, Budget(), backoff=0.001, patience=5.0) as gateway:
            return await gateway.ask(model_named(spec), request, Place(0, "s", ordinal), pieces.append)

    ledger = Ledger(path / "ledger.sqlite")
    try:
        return asyncio.run(ask()), pieces
    finally:
        ledger.close()


@pytest.mark.parametrize("kind", ["vllm", "anthropic"])
def test_a_reply_in_pieces_is_the_whole_reply(kind: str, tmp_path: Path) -> None:
    with ScriptedServer(lambda body: SAID, caching=False) as server:
        reply, pieces = told(tmp_path, f"{kind}:{server.url}#judge")
        assert server.seen[-1].body["stream"] is True
        again, none = told(tmp_path, f"{kind}:{server.url}#judge")
        assert (again.texts, again.tool_calls, again.hit, none) == (reply.texts, reply.tool_calls, True, [])
    with ScriptedServer(lambda body: SAID, caching=False) as server:
        (tmp_path / "whole").mkdir()
        whole = asyncio.run(_whole(tmp_path / "whole", f"{kind}:{server.url}#judge"))
        assert "stream" not in server.seen[-1].body
    assert replace(reply, latency=0.0) == replace(whole, latency=0.0)
    assert "".join(piece.text for piece in pieces) == "Let us see it." and len(pieces) > 8
    for name, arguments in (("activate", 0), ("record_note", 1)):
        assert "".join(piece.arguments for piece in pieces if piece.tool == name) == reply.tool_calls[arguments].arguments


async def _whole(path: Path, spec: str) -> Reply:
    ledger = Ledger(path / "ledger.sqlite")
    try:
        async with Gateway(ledger, "run", 0, Budget()) as gateway:
            return await gateway.ask(model_named(spec), TALK, Place(0, "s", 0))
    finally:
        ledger.close()


@pytest.mark.parametrize("kind", ["vllm", "anthropic"])
def test_a_stream_that_breaks_off_is_asked_for_again(kind: str, tmp_path: Path) -> None:
    said = [replace(SAID, pieces=4), SAID]
    with ScriptedServer(lambda body: said.pop(0), caching=False) as server:
        reply, pieces = told(tmp_path, f"{kind}:{server.url}#judge")
    assert reply.texts == ("Let us see it.",) and [piece.anew for piece in pieces].count(True) == 1
    after = pieces[[piece.anew for piece in pieces].index(True) :]
    assert "".join(piece.text for piece in after) == "Let us see it." and len(after) < len(pieces)


def test_a_server_that_cannot_stream_is_asked_for_the_whole(tmp_path: Path) -> None:
    def whole(body: Body) -> Said:
        asked.append(bool(body.get("stream")))
        return SAID

    asked: list[bool] = []
    with ScriptedServer(whole, caching=False, streams=False) as server:
        reply, pieces = told(tmp_path, f"openai:{server.url}#judge")
        assert len(server.seen) == 2
    assert reply.texts == ("Let us see it.",) and pieces == [] and asked == [False]


def test_an_error_before_the_stream_is_that_error(tmp_path: Path) -> None:
    with ScriptedServer(lambda body: "Fine.", caching=False) as server:
        server.fail(Failure(status=429, message="too many", retry_after=0.01))
        reply, pieces = told(tmp_path, f"vllm:{server.url}", Request(messages=TALK.messages))
    assert reply.texts == ("Fine.",) and [piece.anew for piece in pieces] == [True, False]
