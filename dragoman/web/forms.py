"""What a form sent, and what an address asks for."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request

from dragoman.store.errors import UserError

FIELDS = 100
"""Fields of a form at most."""


async def form(request: Request) -> dict[str, str]:
    """The fields of a form that was sent with POST, the last of each name. Raises UserError for something else."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise UserError("Send a form: application/x-www-form-urlencoded.")
    try:
        body = (await request.body()).decode("utf-8")
        return dict(parse_qsl(body, keep_blank_values=True, max_num_fields=FIELDS, errors="strict"))
    except (UnicodeDecodeError, ValueError):
        raise UserError("The form could not be read: it has too many fields, or text that is not UTF-8.") from None


def number(given: Mapping[str, str], name: str, default: int, least: int = 0, most: int = 2**31) -> int:
    """A whole number of a form or an address. Raises UserError where it is none, or out of bounds."""
    text = given.get(name, "")
    if text == "":
        return default
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) < 12) or not least <= int(text) <= most:
        raise UserError(f"{name} has to be a whole number from {least} to {most:,}.")
    return int(text)
