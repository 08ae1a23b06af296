"""Who may speak to the server over HTTP: those that know the token, under a name that is the server's."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from mcp.server.transport_security import TransportSecuritySettings

from dragoman.guarding import Secret, own_names

TOKEN = "DRAGOMAN_MCP_TOKEN"
"""The variable of the environment that holds the token."""
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
log = logging.getLogger(__name__)


def security(host: str, names: Sequence[str]) -> TransportSecuritySettings:
    """The names that requests may be addressed to, and the pages they may come from.

    host: the address that is listened on. names: further names by which clients reach it.
    """
    ported = [form for name in own_names(host, names) for form in (name, f"{name}:*")]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=ported,
        allowed_origins=[f"{scheme}://{name}" for scheme in ("http", "https") for name in ported],
    )


class Guard:
    """Lets only requests with the token through."""

    def __init__(self, app: App, token: str) -> None:
        """app: what is guarded. token: what `Authorization: Bearer` has to carry."""
        self._app, self._secret = app, Secret(token)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] == "lifespan" or self._secret.bears([v for n, v in scope.get("headers", ()) if n == b"authorization"]):
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
