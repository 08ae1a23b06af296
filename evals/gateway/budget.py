"""How much a run may spend, and who may still send."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from dragoman.store.errors import UserError


@dataclass(frozen=True)
class Budget:
    """Limits of one run, over all its processes; None is no limit."""

    tokens: int | None = None
    """Tokens of prompts and replies together."""
    dollars: float | None = None
    """US dollars at list price."""


class Account:
    """What a run has spent and what it may still have to pay. Spent and reserved together never exceed the budget.

    A call that does not fit while others are under way waits, because they were reserved at their worst; one that would not fit
    even if those cost nothing ends the run, and with it every call that waits.
    """

    def __init__(self, budget: Budget, tokens: int, dollars: float) -> None:
        """tokens, dollars: spent before."""
        self.budget = budget
        self.tokens, self.dollars = tokens, dollars
        self.reserved_tokens, self.reserved_dollars = 0, 0.0
        self.reached: str | None = None
        """The sentence that ends the run, once the budget is reached; nothing is admitted any more."""
        self._waiting: deque[tuple[int, float, asyncio.Future[None]]] = deque()

    async def reserve(self, tokens: int, dollars: float) -> None:
        """Set aside the worst that a call may cost. Raises UserError when the budget is reached."""
        if not self._waiting and self._fits(tokens, dollars):
            self._add(tokens, dollars)
            return
        self._stop_if_hopeless(tokens, dollars)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((tokens, dollars, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.settle(tokens, dollars, 0, 0.0)
            raise

    def settle(self, reserved_tokens: int, reserved_dollars: float, tokens: int, dollars: float) -> None:
        """Give back a reservation and book what the call did cost."""
        self.reserved_tokens -= reserved_tokens
        self.reserved_dollars -= reserved_dollars
        self.tokens += tokens
        self.dollars += dollars
        while self._waiting:
            wanted_tokens, wanted_dollars, turn = self._waiting[0]
            if turn.done():
                self._waiting.popleft()
            elif self._fits(wanted_tokens, wanted_dollars):
                self._waiting.popleft()
                self._add(wanted_tokens, wanted_dollars)
                turn.set_result(None)
            else:
                try:
                    self._stop_if_hopeless(wanted_tokens, wanted_dollars)
                except UserError as error:
                    self._waiting.popleft()
                    turn.set_exception(error)
                    continue
                return

    def _add(self, tokens: int, dollars: float) -> None:
        self.reserved_tokens += tokens
        self.reserved_dollars += dollars

    def _fits(self, tokens: int, dollars: float) -> bool:
        limit = self.budget
        return self.reached is None and not (
            (limit.tokens is not None and self.tokens + self.reserved_tokens + tokens > limit.tokens)
            or (limit.dollars is not None and self.dollars + max(0.0, self.reserved_dollars) + dollars > limit.dollars)
        )

    def _stop_if_hopeless(self, tokens: int, dollars: float) -> None:
        """Raise where this call would not fit even if everything under way turned out to be free."""
        limit, again = self.budget, "raise it and run the same command again, what was answered is kept"
        if self.reached is None and limit.tokens is not None and self.tokens + tokens > limit.tokens:
            self.reached = (
                f"The budget of {limit.tokens:,} tokens is reached: {self.tokens:,} are spent and the next call may need "
                f"{tokens:,}; {again}."
            )
        if self.reached is None and limit.dollars is not None and self.dollars + dollars > limit.dollars:
            self.reached = (
                f"The budget of ${limit.dollars:,.2f} is reached: ${self.dollars:,.4f} are spent and the next call may need "
                f"${dollars:,.4f}; {again}."
            )
        if self.reached is not None:
            raise UserError(self.reached)
