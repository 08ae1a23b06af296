"""What every server of ours shares: who may speak to it, under which names, and where it listens."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import socket
from collections.abc import Sequence

from dragoman.store.errors import UserError

SHORTEST = 16
"""Characters of a token at least."""


def checked_token(host: str, token: str | None, variable: str) -> str | None:
    """The token to ask for on an address; None where none is needed.

    host: the address that is listened on. variable: of the environment, which holds the token.

    Raises UserError for an address that others reach without a token, and for a token that is easily guessed or cannot be sent.
    """
    if not token:
        if not is_loopback(host):
            raise UserError(
                f"{host} can be reached from other machines: set a token of at least {SHORTEST} characters in {variable}, "
                "which clients then have to send, or leave out --host."
            )
        return None
    if len(token) < SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
        raise UserError(f"The token in {variable} is no good: take {SHORTEST} printable ASCII characters or more, no blanks.")
    return token


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def own_names(host: str, names: Sequence[str]) -> list[str]:
    """The names that requests may be addressed to, so that no page of another site that had its name changed to this address
    gets an answer; each may be followed by a port.

    host: the address that is listened on. names: further names by which clients reach it.
    """
    own = ["127.0.0.1", "localhost", "[::1]"]
    if not is_loopback(host):
        own += [socket.gethostname()] if _is_any(host) else [bracketed(host)]
    return list(dict.fromkeys([*own, *names]))


def bracketed(host: str) -> str:
    """An address as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


class Secret:
    """A token that is compared in the same time whatever is given."""

    def __init__(self, token: str) -> None:
        """token: what has to be given."""
        self._digest = _digest(token.encode())

    def is_(self, given: bytes) -> bool:
        """Whether this is the token."""
        return hmac.compare_digest(_digest(given), self._digest)

    def bears(self, authorization: Sequence[bytes]) -> bool:
        """Whether a request's headers of that name hold the token, once."""
        scheme, _, token = authorization[0].partition(b" ") if len(authorization) == 1 else (b"", b"", b"")
        return self.is_(token.strip()) and scheme.lower() == b"bearer"


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises UserError where the address is not this machine's or is in use.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family)
    except (OSError, UnicodeError) as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = os.strerror(number) if number is not None and number > 0 else str(error)
        raise UserError(f"Cannot listen on {host} port {port} ({reason}): choose others with --host and --port.") from error


def _digest(token: bytes) -> bytes:
    """Of one length whatever is given."""
    return hashlib.sha256(token).digest()


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
