"""What questions cost: counted on the way to the gateway."""

from __future__ import annotations

import time

from dragoman.evals.gateway.calls import Place, Reply, Request
from dragoman.evals.gateway.models import Model
from dragoman.evals.judge.model import Asks


class Counted:
    """A gateway that counts what passes."""

    def __init__(self, gateway: Asks) -> None:
        self.gateway = gateway
        self.calls = self.prompt_tokens = self.cached_tokens = self.completion_tokens = 0
        self.cost: float | None = 0.0
        """US dollars; None where the price is not known."""
        self.began = time.monotonic()
        self.ended = self.began

    async def ask(self, model: Model, request: Request, place: Place) -> Reply:
        """Pass on and count. Raises what the gateway raises."""
        reply = await self.gateway.ask(model, request, place)
        self.calls += 1
        self.prompt_tokens += reply.prompt_tokens
        self.cached_tokens += reply.cached_tokens
        self.completion_tokens += reply.completion_tokens
        self.cost = None if self.cost is None or reply.cost is None else self.cost + reply.cost
        self.ended = time.monotonic()
        return reply

    @property
    def seconds(self) -> float:
        """From the beginning to the last reply."""
        return self.ended - self.began

    def totals(self) -> dict[str, float | None]:
        """All counts."""
        return {
            "calls": self.calls,
            "seconds": self.seconds,
            "prompt_tokens": self.prompt_tokens,
            "cached_tokens": self.cached_tokens,
            "completion_tokens": self.completion_tokens,
            "cost": self.cost,
        }
