"""What the gateway wants of a server, whoever's SDK it is spoken to with; and the connections to one address."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .calls import Request
from .forms import Received
from .keys import is_loopback
from .streaming import Tell

if TYPE_CHECKING:
    import httpx2

LANE = 32
"""Connections that share one HTTP client: its pool looks at all of them for every request."""


class Listed(NamedTuple):
    """A model that a server has."""

    name: str
    """What it is called there."""
    context: int | None
    """Tokens of prompt and reply together, where the server says."""
    owner: str
    """Who serves it, where the server says; `vllm` for vLLM."""


class Server(Protocol):
    """One address, spoken to from one event loop. Errors come as `troubles` describes them."""

    url: str
    """Base address."""

    async def models(self) -> list[Listed] | None:
        """The models it has; None where it has no such list. Raises UserError for a wrong key or a server of another kind."""
        ...

    async def healthy(self) -> bool:
        """Whether it answers at all."""
        ...

    async def send(self, model: str, request: Request, tell: Tell | None = None) -> Received:
        """One call, tried once. Raises Busy, Away, Unanswered or UserError.

        tell: is told of a chat's reply in pieces as they come, where the server can stream.
        """
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class Timeouts(NamedTuple):
    """Seconds to wait."""

    connect: float = 10.0
    """For a connection."""
    read: float = 300.0
    """For a whole reply, or the next piece of one that is streamed."""


class Lanes:
    """SDK clients for one address, each with HTTP connections of its own, made as calls in flight need them."""

    def __init__(self, make: Callable[[httpx2.AsyncClient], Any], url: str, timeouts: Timeouts) -> None:
        """make: an SDK client around an HTTP client."""
        self._make, self._url, self._timeouts = make, url, timeouts
        self._lanes: list[_Lane] = []

    def free(self) -> _Lane:
        """A client that has a connection left, as a context manager: `with lanes.free() as client`."""
        for lane in self._lanes:
            if lane.in_use < LANE:
                return lane
        self._lanes.append(_Lane(self._make(self._http())))
        return self._lanes[-1]

    async def close(self) -> None:
        """Close all connections."""
        for lane in self._lanes:
            await lane.client.close()
        self._lanes.clear()

    def _http(self) -> httpx2.AsyncClient:
        import httpx2

        timeout = httpx2.Timeout(self._timeouts.read, connect=self._timeouts.connect, pool=None)
        limits = httpx2.Limits(
            max_connections=None, max_keepalive_connections=LANE, keepalive_expiry=4.0
        )  # vLLM closes after 5 s
        proxies = not is_loopback(self._url)
        return httpx2.AsyncClient(timeout=timeout, limits=limits, verify=_certificates(), trust_env=proxies)


class _Lane:
    """One SDK client and how many calls use it."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.in_use = 0

    def __enter__(self) -> Any:
        self.in_use += 1
        return self.client

    def __exit__(self, *error: object) -> None:
        self.in_use -= 1


@cache
def _certificates() -> ssl.SSLContext:
    """One context for all clients: making one takes tens of milliseconds."""
    import httpx2

    return httpx2.create_ssl_context()
