"""How much a run may spend, and who may still send."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from dragoman.store.errors import UserError

from .calls import BudgetReached, FeatureSpent


@dataclass(frozen=True)
class Budget:
    """Limits of one run, or of each feature in it, over all its processes; None is no limit."""

    tokens: int | None = None
    """Tokens of prompts and replies together."""
    dollars: float | None = None
    """US dollars at list price."""


class Account:
    """What a run or a feature has spent and may still have to pay. Spent and reserved together never exceed the budget.

    A call that does not fit while others are under way waits, because they were reserved at their worst. One that would not fit
    even if those cost nothing ends the run, and with it every call that waits; in a feature's account it is refused, and
    whoever waits behind it has a chance of its own, so that what is refused follows from what was asked and spent before.
    """

    def __init__(self, budget: Budget, tokens: int, dollars: float, feature: int | None = None) -> None:
        """tokens, dollars: spent before. feature: whose account it is; None: the run's."""
        self.budget, self.feature = budget, feature
        self.tokens, self.dollars = tokens, dollars
        self.reserved_tokens, self.reserved_dollars = 0, 0.0
        self.reached: str | None = None
        """The sentence that ends the run, once the budget is reached; nothing is admitted any more."""
        self._waiting: deque[tuple[int, float, asyncio.Future[None]]] = deque()
        self._reservations = 0

    async def reserve(self, tokens: int, dollars: float) -> None:
        """Set aside the worst that a call may cost. Raises BudgetReached or, of a feature, FeatureSpent when it is reached."""
        if not self._waiting and self.fits(tokens, dollars):
            self.add(tokens, dollars)
            return
        self.stop_if_hopeless(tokens, dollars)
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
        self._reservations -= 1
        self.reserved_tokens -= reserved_tokens
        self.reserved_dollars -= reserved_dollars
        self.tokens += tokens
        self.dollars += dollars
        while self._waiting:
            wanted_tokens, wanted_dollars, turn = self._waiting[0]
            if turn.done():
                self._waiting.popleft()
            elif self.fits(wanted_tokens, wanted_dollars):
                self._waiting.popleft()
                self.add(wanted_tokens, wanted_dollars)
                turn.set_result(None)
            else:
                try:
                    self.stop_if_hopeless(wanted_tokens, wanted_dollars)
                except (UserError, FeatureSpent) as error:
                    self._waiting.popleft()
                    turn.set_exception(error)
                    continue
                return

    def book(self, tokens: int, dollars: float) -> None:
        """Count what is spent without having been reserved."""
        self.tokens += tokens
        self.dollars += dollars

    def add(self, tokens: int, dollars: float) -> None:
        """Reserve, without asking whether it fits."""
        self._reservations += 1
        self.reserved_tokens += tokens
        self.reserved_dollars += dollars

    def fits(self, tokens: int, dollars: float) -> bool:
        """Whether a call of this cost can be reserved now."""
        limit = self.budget
        return self.reached is None and not (
            (limit.tokens is not None and self.tokens + self.reserved_tokens + tokens > limit.tokens)
            or (limit.dollars is not None and self.dollars + max(0.0, self.reserved_dollars) + dollars > limit.dollars)
        )

    def stop_if_hopeless(self, tokens: int, dollars: float) -> None:
        """Raise where this call would not fit even if everything under way turned out to be free."""
        if self.reached is not None:
            raise BudgetReached(self.reached)
        sentence = self.hopeless(tokens, dollars)
        if sentence is not None and self.feature is not None:
            raise FeatureSpent(sentence)
        if sentence is not None:
            self.reached = sentence
            raise BudgetReached(sentence)

    def hopeless(self, tokens: int, dollars: float) -> str | None:
        """A sentence where a call of this cost would not fit even if everything under way turned out to be free."""
        limit, again = self.budget, "raise it and run the same command again, what was answered is kept"
        whose = "" if self.feature is None else f" for feature {self.feature}"
        if limit.tokens is not None and self.tokens + tokens > limit.tokens:
            return (
                f"The budget of {limit.tokens:,} tokens{whose} is reached: {self.tokens:,} are spent and the next call may need "
                f"{tokens:,}; {again}."
            )
        if limit.dollars is not None and self.dollars + dollars > limit.dollars:
            budget = f"${limit.dollars:,.2f}" if self.feature is None else f"${limit.dollars:,.4f}"
            return (
                f"The budget of {budget}{whose} is reached: ${self.dollars:,.4f} are spent and the next call may need "
                f"${dollars:,.4f}; {again}."
            )
        return None

    @property
    def idle(self) -> bool:
        """Whether nothing is reserved and nobody waits."""
        return not self._waiting and not self._reservations


class Accounts:
    """The account of a run and one for each of its features: a call must fit both."""

    def __init__(self, run: Account, each: Budget | None, spent: Callable[[int], tuple[int, float]]) -> None:
        """each: the budget of every feature; None: features have none. spent: what a feature has spent, by the ledger."""
        self.run = run
        self._each, self._spent = each, spent
        self._features: dict[int, Account] = {}
        """Of features with calls under way; otherwise the ledger knows."""

    async def reserve(self, feature: int, tokens: int, dollars: float) -> None:
        """Set aside the worst that a call may cost; the feature's account first. Raises as `Account.reserve`."""
        account = self.of(feature)
        if account is None:
            await self.run.reserve(tokens, dollars)
            return
        self._features[feature] = account
        try:
            await account.reserve(tokens, dollars)
            try:
                await self.run.reserve(tokens, dollars)
            except BaseException:
                account.settle(tokens, dollars, 0, 0.0)
                raise
        finally:
            self._drop(feature, account)

    def admit(self, feature: int, tokens: int, dollars: float) -> bool:
        """Reserve at once, or say that the call has to wait for others. Raises as `reserve` where waiting would not help."""
        account = self.of(feature)
        for each in (account, self.run):
            if each is not None and not each.fits(tokens, dollars):
                each.stop_if_hopeless(tokens, dollars)
                return False
        self.run.add(tokens, dollars)
        if account is not None:
            account.add(tokens, dollars)
            self._features[feature] = account
        return True

    def adopt(self, feature: int, tokens: int, dollars: float) -> None:
        """Take a reservation that an earlier process left, and that counts as spent, as one that is under way."""
        for each in (self.of(feature), self.run):
            if each is not None:
                each.book(-tokens, -dollars)
                each.add(tokens, dollars)
                if each is not self.run:
                    self._features[feature] = each

    def settle(self, feature: int, reserved_tokens: int, reserved_dollars: float, tokens: int, dollars: float) -> None:
        """Give back a reservation and book what the call did cost, which is in the ledger by now."""
        self.run.settle(reserved_tokens, reserved_dollars, tokens, dollars)
        account = self._features.get(feature)
        if account is not None:
            account.settle(reserved_tokens, reserved_dollars, tokens, dollars)
            self._drop(feature, account)

    def of(self, feature: int) -> Account | None:
        """The account of a feature; None where it has none, as calls that belong to no feature."""
        if self._each is None or feature < 0:
            return None
        return self._features.get(feature) or Account(self._each, *self._spent(feature), feature=feature)

    def _drop(self, feature: int, account: Account) -> None:
        if account.idle and self._features.get(feature) is account:
            del self._features[feature]
