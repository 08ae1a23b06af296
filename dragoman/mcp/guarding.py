"""Who may speak to the server over HTTP: those that know the token, under a name that is the server's."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import logging
import socket
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from mcp.server.transport_security import TransportSecuritySettings

from dragoman.store.errors import UserError

TOKEN = "DRAGOMAN_MCP_TOKEN"
"""The variable of the environment that holds the token."""
SHORTEST = 16
"""Characters of a token at least."""
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
log = logging.getLogger(__name__)


def checked_token(host: str, token: str | None) -> str | None:
    """The token to ask for on an address; None where none is needed.

    Raises UserError for an address that others reach without a token, and for a token that is easily guessed or cannot be sent.
    """
    if not token:
        if not is_loopback(host):
            raise UserError(
                f"{host} can be reached from other machines: set a token of at least {SHORTEST} characters in {TOKEN} "
                "(clients send it as a bearer token), or leave out --host."
            )
        return None
    if len(token) < SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
        raise UserError(f"The token in {TOKEN} is no good: take at least {SHORTEST} printable ASCII characters without blanks.")
    return token


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def security(host: str, names: Sequence[str]) -> TransportSecuritySettings:
    """The names that requests may be addressed to, and the pages they may come from, so that no page of another site that had
    its name changed to this address gets an answer.

    host: the address that is listened on. names: further names by which clients reach it.
    """
    own = ["127.0.0.1", "localhost", "[::1]"]
    if not is_loopback(host):
        own += [socket.gethostname()] if _is_any(host) else [f"[{host}]" if ":" in host else host]
    hosts = list(dict.fromkeys([*own, *names]))
    ported = [form for name in hosts for form in (name, f"{name}:*")]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=ported,
        allowed_origins=[f"{scheme}://{name}" for scheme in ("http", "https") for name in ported],
    )


class Guard:
    """Lets only requests with the token through."""

    def __init__(self, app: App, token: str) -> None:
        """app: what is guarded. token: what `Authorization: Bearer` has to carry."""
        self._app, self._digest = app, _digest(token.encode())

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] == "lifespan" or self._knows(scope):
            await self._app(scope, receive, send)
            return
        log.warning("a request without the right token was refused")
        body = json.dumps({"error": f"Send the server's token: Authorization: Bearer, then what {TOKEN} holds."}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"www-authenticate", b"Bearer"),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _knows(self, scope: Message) -> bool:
        given = [value for name, value in scope.get("headers", ()) if name == b"authorization"]
        scheme, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        return hmac.compare_digest(_digest(token.strip()), self._digest) and scheme.lower() == b"bearer"


def _digest(token: bytes) -> bytes:
    """Of one length whatever is given, so that comparing takes the same time."""
    return hashlib.sha256(token).digest()


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
