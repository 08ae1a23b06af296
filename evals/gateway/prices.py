"""What tokens cost: list prices from a dated file, or what the user says."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from dragoman.store.errors import UserError


@dataclass(frozen=True)
class Price:
    """US dollars for a million tokens."""

    prompt: float
    """Of a prompt."""
    cached: float
    """Of a prompt, read from the server's cache."""
    completion: float
    """Of a reply."""
    written: float | None = None
    """Of a prompt, written into the server's cache; None: as any other."""

    def of(self, prompt_tokens: int, cached_tokens: int, completion_tokens: int, written_tokens: int = 0) -> float:
        """US dollars of one call; `cached_tokens` and `written_tokens` are among the prompt's."""
        fresh = prompt_tokens - cached_tokens
        dearer = 0.0 if self.written is None else written_tokens * (self.written - self.prompt)
        return (fresh * self.prompt + dearer + cached_tokens * self.cached + completion_tokens * self.completion) / 1e6


FREE = Price(0.0, 0.0, 0.0)
"""Of a server of one's own."""


def list_price(kind: str, name: str) -> Price | None:
    """The list price of a hosted model (prices.json); a date after the name is ignored; None where it is not known.

    Prices are those for prompts of ordinary length, without surcharges for regions or priority.
    """
    table = _tables().get(kind, {})
    found = table.get(name) or table.get(re.sub(r"-(\d{8}|\d{4}-\d{2}-\d{2})$", "", name))
    return Price(*found) if found else None


def factor(what: str, kind: str) -> float:
    """How many times the list price something costs (prices.json): `cache write`, `batch`; 1 where nothing is said."""
    return float(_tables()[what].get(kind, 1.0))


@cache
def _tables() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(resources.files("dragoman.evals.gateway").joinpath("prices.json").read_text("utf-8"))
    return found


def price_from(text: str) -> Price:
    """A price as a user writes it: `PROMPT,REPLY` or `PROMPT,CACHED,REPLY`, in US dollars for a million tokens.

    Raises UserError for anything else.
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3) or not all(0 <= number < 1e6 for number in numbers):
        raise UserError(
            f"{text!r} is no price: write US dollars for a million tokens as PROMPT,CACHED,REPLY, for example 2.5,1.25,10."
        )
    return Price(numbers[0], numbers[-2] if len(numbers) == 3 else numbers[0], numbers[-1])
