"""What goes wrong between us and a server, and whether to wait, to try again, or to stop with one sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from dragoman.store.errors import UserError

from .calls import Unanswered
from .keys import VARIABLES, scrub


class Busy(Exception):
    """The server refused for now, and nothing was spent: too many requests. The message says what it said."""

    def __init__(self, reason: str, retry_after: float | None) -> None:
        """retry_after: seconds that the server asks to wait, where it says so."""
        super().__init__(reason)
        self.retry_after = retry_after


class Away(Exception):
    """No answer, and perhaps no server: a failed connection, a dropped one, a timeout, an error of the server, a broken reply."""

    def __init__(self, reason: str, spent: bool, slow: bool = False) -> None:
        """spent: the call may have been worked on and billed. slow: it was a timeout."""
        super().__init__(reason)
        self.spent = spent
        self.slow = slow


_TOO_LONG = re.compile(
    r"context.?length|context window|maximum model length|too long|too large: \d+|max_model_len|reduce the length"
    r"|exceed.{0,40}context",
    re.IGNORECASE,
)
_NO_CREDIT = re.compile(r"insufficient_quota|exceeded your current quota|credit balance|billing", re.I)
_BUSY = (408, 409, 429, 529)
SHOWN = 200
"""Characters of a server's own words that are passed on."""


def trouble_of(
    status: int, content: bytes, retry_after: str | None, *, kind: str, url: str, model: str, secrets: Iterable[str]
) -> Exception:
    """What an HTTP error means: Busy, Away, Unanswered for this one call, or UserError where no call makes sense."""
    said, code = _message(content)
    said = scrub(said, secrets)[:SHOWN]
    if status in (401, 403):
        return UserError(
            f"{url} refuses the key ({status}): put the right one into the environment as {VARIABLES[kind]} and try again."
        )
    if status in (402, 400, 429) and _NO_CREDIT.search(f"{code} {said}"):
        return UserError(f"The account at {url} has no credit left ({said}): add credit there and run the same command again.")
    if status in _BUSY:
        return Busy(said or f"HTTP {status}", _seconds(retry_after))
    if status >= 500:
        return Away(f"HTTP {status}: {said}" if said else f"HTTP {status}", spent=False)
    if status == 404:
        return UserError(
            f"{url} has no model {model!r} or no such endpoint ({said or 'HTTP 404'}): check the address and the name in --judge."
        )
    if _TOO_LONG.search(f"{code} {said}") or status == 413:
        return Unanswered(f"the prompt is too long for {model}: {said}".rstrip(". "))
    return Unanswered(f"the server refused the request (HTTP {status}): {said}".rstrip(". "))


def other_kind(url: str, kind: str, sent: str) -> UserError:
    """For a server that answers, but not as one of this kind does."""
    wanted = {"vllm": "a vLLM server", "openai": "an OpenAI-compatible server", "anthropic": "Anthropic's API"}[kind]
    return UserError(f"{url} answers, but not as {wanted} does ({sent}): check the address and the port, /v1 included.")


def not_there(url: str, kind: str, reason: str) -> UserError:
    """For a server that does not answer at all."""
    start = ", or start one with `dragoman judge serve MODEL`" if kind == "vllm" else ""
    return UserError(f"No server answers at {url} ({reason}): check the address{start}.")


def parsed(content: bytes, media_type: str, *, kind: str, url: str) -> Any:
    """The JSON object of a successful reply.

    Raises UserError for a server of another kind (a web page), Away for JSON that cannot be read.
    """
    try:
        found = json.loads(content)
    except ValueError:
        if "json" not in media_type:
            raise other_kind(url, kind, f"it sent {media_type or 'no type'}") from None
        raise Away("its reply is broken JSON", spent=True) from None
    if not isinstance(found, dict):
        raise Away("its reply is no JSON object", spent=True)
    return found


def _message(content: bytes) -> tuple[str, str]:
    """A server's own words and code, whatever shape its error has; nothing of a web page."""
    try:
        body = json.loads(content)
    except ValueError:
        return "", ""
    if not isinstance(body, dict):
        return "", ""
    error = body.get("error", body)
    if not isinstance(error, dict):
        return str(error), ""
    text = error.get("message") or body.get("detail") or ""
    return " ".join(str(text).split()), f"{error.get('code') or ''} {error.get('type') or ''}"


def _seconds(header: str | None) -> float | None:
    """The retry-after header; dates are not read."""
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:
        return None
