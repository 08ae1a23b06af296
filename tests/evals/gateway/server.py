"""A scripted server for tests: real HTTP on loopback, in a thread of its own.

It speaks what vLLM speaks (OpenAI chat and completions with log-probabilities, `/v1/models`, `/health`, `/metrics`),
Anthropic's `/v1/messages`, and the batch endpoints of both (`batch_pages.py`). What a model would say comes from a Python
function of the request body; every way to fail can be scripted.

    with ScriptedServer(lambda body: "yes") as server:
        model = model_named(f"vllm:{server.url}")
"""

from __future__ import annotations

import asyncio
import functools
import json
import socket
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from . import replies
from .batch_pages import BatchPages
from .replies import HTML, Said, tokens_of

__all__ = ["Failure", "Said", "ScriptedServer", "Seen", "tokens_of"]

Body = dict[str, Any]
Kind = Literal["status", "drop", "hang", "garbage", "html"]


@dataclass(frozen=True)
class Failure:
    """A way not to answer."""

    kind: Kind = "status"
    """`status`: an error with a JSON body; `drop`: the connection closes in the middle; `hang`: no answer ever;
    `garbage`: JSON that ends too early; `html`: the page of a web server."""
    status: int = 500
    """HTTP status."""
    message: str = "scripted failure"
    """What the error says."""
    code: str | None = None
    """OpenAI's machine-readable code, for example `insufficient_quota`."""
    retry_after: float | None = None
    """Seconds in the `retry-after` header."""
    after: float = 0.0
    """Seconds before it fails."""


RATE_LIMIT = Failure(status=429, message="too many requests", retry_after=0.05)
OVERLOADED = Failure(status=503, message="overloaded")
BROKEN = Failure(status=500, message="internal error")
DROPPED = Failure("drop")
HANGING = Failure("hang")
GARBAGE = Failure("garbage", 200)
WEBSITE = Failure("html", 200)

Answer = Callable[[Body], "str | Said | Failure"]


@dataclass(frozen=True)
class Stream:
    """A reply that is sent piece by piece."""

    pieces: list[bytes]
    """Server-sent events."""
    every: float
    """Seconds between them."""
    whole: bool
    """Whether it ends; otherwise the connection is dropped."""


Sent = Failure | Stream | bytes
"""What goes over a connection."""


@dataclass(frozen=True)
class Seen:
    """A request as the server got it."""

    path: str
    """For example `/v1/chat/completions`."""
    body: Body
    """Its JSON."""
    headers: Mapping[str, str]
    """Names in lower case."""
    time: float
    """`time.monotonic()` of its arrival."""


class ScriptedServer:
    """A server on a port of its own; a context manager. What the answer function raises is raised again at the end."""

    def __init__(
        self,
        answer: Answer = lambda body: "yes",
        *,
        models: Sequence[str] = ("judge",),
        owner: str = "vllm",
        context: int = 8192,
        key: str | None = None,
        caching: bool = True,
        keep: bool = True,
        streams: bool = True,
        hold: bool = False,
        port: int = 0,
    ) -> None:
        """Start nothing yet.

        answer: what is said to a body, from `/v1/chat/completions`, `/v1/completions` or `/v1/messages`.
        models: names it serves; others get a 404. owner: `owned_by` in /v1/models, by which vLLM is known.
        context: tokens of prompt and reply together; more gets a 400. key: the only key it takes; None takes any.
        caching: play a prefix cache of blocks of 16 tokens. keep: remember requests in `seen`.
        streams: whether replies are streamed to those who ask for that; False: they get a 400.
        hold: answer nobody before `let_go` is called.
        """
        self.answer = answer
        self.models, self.owner, self.context, self.key = tuple(models), owner, context, key
        self.port = port
        self.seen: list[Seen] = []
        """Requests for answers, in the order of arrival."""
        self.answered = 0
        """Answers sent whole, failures and other pages not counted."""
        self.open, self.most_open = 0, 0
        """Requests that wait for their answer now, and at most."""
        self.connections, self.most_connections = 0, 0
        """Open connections now, and at most."""
        self.prompt_tokens = self.cached_tokens = self.completion_tokens = 0
        """Sums over all answers."""
        self.page: Failure | None = None
        """Sent instead of the list of models."""
        self.batches = BatchPages()
        """What its batch endpoints do and hold."""
        self.errors: list[BaseException] = []
        """What answer functions raised."""
        self._keep, self.streams = keep, streams
        self._held: list[Callable[[], None]] | None = [] if hold else None
        self._blocks: set[int] | None = set() if caching else None
        self._planned: deque[Failure] = deque()
        self._loop = asyncio.new_event_loop()
        self._listening: asyncio.Server | None = None
        self._place = socket.socket()
        """Keeps the port while the server is dead: bound, but not listening, so that connections are refused."""
        self._transports: set[asyncio.Transport] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        """Base address for OpenAI's client."""
        return f"http://127.0.0.1:{self.port}/v1"

    def fail(self, failure: Failure, times: int = 1) -> None:
        """Fail the next requests for answers, before any is answered."""
        self._planned.extend([failure] * times)

    def let_go(self) -> None:
        """Answer all who wait, and from now on everybody at once."""

        def answer() -> None:
            held, self._held = self._held or [], None
            for finish in held:
                finish()

        self._loop.call_soon_threadsafe(answer)

    def die(self) -> None:
        """Close the port and every connection, as a killed process does."""
        asyncio.run_coroutine_threadsafe(self._die(), self._loop).result()

    def come_back(self) -> None:
        """Listen on the same port again; the prefix cache is empty."""
        if self._blocks is not None:
            self._blocks.clear()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def __enter__(self) -> Self:
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.bind(("127.0.0.1", self.port))
        self.port = self._place.getsockname()[1]
        self._thread.start()
        self.come_back()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.die()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._place.close()
        if self.errors and error is None:
            raise self.errors[0]

    async def _listen(self) -> None:
        self._listening = await self._loop.create_server(
            lambda: _Connection(self), "127.0.0.1", self.port, backlog=4096, reuse_address=True
        )

    async def _die(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        for transport in tuple(self._transports):
            transport.abort()
        await asyncio.sleep(0)

    def respond(self, method: str, path: str, headers: Mapping[str, str], content: bytes) -> tuple[float, Sent]:
        """Seconds to wait, and then what to send."""
        target, path = path, path.partition("?")[0]
        if path == "/health":
            return 0.0, replies.http(200, b"", "text/plain")
        if path == "/metrics":
            return 0.0, replies.http(200, replies.metrics(self).encode(), "text/plain; version=0.0.4")
        if path == "/version":
            return 0.0, replies.http(200, b'{"version":"0.32.0"}')
        given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        if self.key is not None and given != self.key:
            return 0.0, replies.error(401, f"Incorrect API key provided: {given}.", "invalid_api_key")
        if path == "/v1/models" and self.page is not None:
            return 0.0, self.page
        if path == "/v1/models":
            return 0.0, replies.http(200, replies.models(self.models, self.owner, self.context))
        batched: tuple[float, Sent] | None = self.batches.respond(self, method, target, headers, content)
        if batched is not None:
            return batched
        if method != "POST" or path not in replies.SHAPES:
            return 0.0, replies.error(404, "Not Found", None)
        return self.answer_to(path, json.loads(content), headers)

    def answer_to(self, path: str, body: Body, headers: Mapping[str, str]) -> tuple[float, Sent]:
        """What a model says to a body, after how many seconds."""
        if self._keep:
            self.seen.append(Seen(path, body, headers, time.monotonic()))
        if self._planned:
            failure = self._planned.popleft()
            return failure.after, failure
        if body.get("model") not in self.models:
            return 0.0, replies.error(404, f"The model `{body.get('model')}` does not exist.", "model_not_found")
        tokens = replies.prompt_tokens(body)
        wanted = body.get("max_tokens") or body.get("max_completion_tokens") or 0
        if len(tokens) + wanted > self.context:
            message = (
                f"This model's maximum context length is {self.context} tokens. However, you requested {len(tokens) + wanted} "
                f"tokens ({len(tokens)} in the messages, {wanted} in the completion). Please reduce the length."
            )
            return 0.0, replies.error(400, message, "context_length_exceeded")
        if body.get("stream") and not self.streams:
            return 0.0, replies.error(400, "this server takes no parameter `stream`", None)
        try:
            said = self.answer(body)
        except Exception as error:
            traceback.print_exc()
            self.errors.append(error)
            said = Failure(status=500, message=f"the answer function of the test raised {error!r}")
        if isinstance(said, Failure):
            return said.after, said
        said = Said(said) if isinstance(said, str) else said
        cached = 0 if body.get("prompt_logprobs") or self._blocks is None else replies.cached(tokens, self._blocks)
        payload, written = replies.SHAPES[path](body, said, tokens, cached)
        self.prompt_tokens += len(tokens)
        self.cached_tokens += cached
        self.completion_tokens += written
        if body.get("stream"):
            pieces = replies.streamed(path, payload)
            return said.delay, Stream(pieces[: said.pieces], said.every, said.pieces is None)
        return said.delay, replies.http(200, json.dumps(payload).encode())


class _Connection(asyncio.Protocol):
    """One connection: requests with Content-Length, one after the other, kept alive."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.buffer = b""
        self.busy = self.asked = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        server = self.server
        server._transports.add(transport)
        server.connections += 1
        server.most_connections = max(server.most_connections, server.connections)

    def connection_lost(self, error: Exception | None) -> None:
        self.server._transports.discard(self.transport)
        self.server.connections -= 1
        if self.busy:
            self.busy = False
            self.server.open -= 1

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.busy:
            return
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        self.busy = True
        server = self.server
        server.open += 1
        server.most_open = max(server.most_open, server.open)
        method, target, _ = first.split(" ")
        self.asked = method == "POST"
        wait, reply = server.respond(method, target, headers, rest[:length])
        if server._held is not None and method == "POST":
            server._held.append(functools.partial(self.finish, reply))
        elif wait:
            asyncio.get_running_loop().call_later(wait, self.finish, reply)
        else:
            self.finish(reply)

    def finish(self, reply: Sent) -> None:
        """Send it, unless the other side has gone."""
        if not self.busy or (isinstance(reply, Failure) and reply.kind == "hang"):
            return
        if isinstance(reply, Failure) and reply.kind == "drop":
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{")
            self.transport.close()
            return
        if isinstance(reply, Stream):
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            self.stream(reply, 0)
            return
        self.busy = False
        self.server.open -= 1
        self.server.answered += self.asked and not isinstance(reply, Failure)
        self.transport.write(self.failure(reply) if isinstance(reply, Failure) else reply)
        if self.buffer:
            self.data_received(b"")

    def stream(self, reply: Stream, at: int) -> None:
        """Send the pieces from `at` on, unless the other side has gone."""
        while self.busy and at < len(reply.pieces):
            piece = reply.pieces[at]
            self.transport.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            at += 1
            if reply.every:
                asyncio.get_running_loop().call_later(reply.every, self.stream, reply, at)
                return
        if not self.busy:
            return
        if not reply.whole:
            self.transport.close()
            return
        self.busy = False
        self.server.open -= 1
        self.server.answered += 1
        self.transport.write(b"0\r\n\r\n")
        if self.buffer:
            self.data_received(b"")

    def failure(self, failure: Failure) -> bytes:
        """The bytes of a failure that has some."""
        if failure.kind == "html":
            return replies.http(failure.status, HTML, "text/html; charset=utf-8")
        if failure.kind == "garbage":
            return replies.http(failure.status, b'{"choices": [{"mess')
        extra = {} if failure.retry_after is None else {"retry-after": f"{failure.retry_after:g}"}
        return replies.error(failure.status, failure.message, failure.code, extra)


def serve_alone(patience: float) -> None:
    """Serve in a process of its own until stdin closes; the address is its first line. What it saw is its last, as JSON.

    A connection that the other side closed before is noticed a little later than stdin: for those still open it waits
    `patience` seconds at most.
    """
    with ScriptedServer(keep=False, caching=False) as server:
        print(server.url, flush=True)
        sys.stdin.read()
        until = time.monotonic() + patience
        while server.connections and time.monotonic() < until:
            time.sleep(0.01)
        print(json.dumps({"answered": server.answered, "open": server.open, "connections": server.connections}), flush=True)


if __name__ == "__main__":
    serve_alone(float(sys.argv[1]))
