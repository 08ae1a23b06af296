"""A run again, from the calls of an earlier one: what was answered then is answered now, what failed fails, nothing is sent."""

from __future__ import annotations

from dragoman.store.errors import UserError
from dragoman.store.hashing import row_id

from .calls import BudgetReached, FeatureSpent, NotRecorded, Place, Reply, Request, Unanswered
from .models import Model
from .sending import Books, again, now


class Recorded:
    """The calls of an earlier run.

    Each attempt at a call is copied into this run as a hit, at its original price, and counted. Where a budget stopped a call
    then, it stops it now, whatever the order in which features are replayed: stops are on record like replies.
    """

    def __init__(self, books: Books, run: str) -> None:
        """run: whose calls are used."""
        self.books, self.run = books, run

    def name(self, model: Model) -> None:
        """Name a model that is called as its server calls it, by what the earlier run recorded.

        Raises UserError where that is none or several.
        """
        prefix = f"{model.kind}:"
        names = [name for name in self.books.calls.models(self.run) if name.startswith(prefix)]
        if len(names) != 1:
            found = f"used several models ({', '.join(names)})" if names else f"asked no model of the kind {model.kind}"
            raise UserError(f"Run {self.run} {found}: say which is meant, as {model.kind}:{model.urls[0]}#MODEL.")
        model.call_it(names[0].removeprefix(prefix))

    async def reply(self, model: Model, request: Request, key: str, place: Place) -> Reply:
        """What the earlier run got. Raises what it raised, and NotRecorded where it never asked."""
        calls = self.books.calls.find(key)
        then = [call for call in calls if call.run == self.run]
        if not then:
            self._stop_if_spent(model, request, place)
            raise NotRecorded(f"Run {self.run} {self._missing(place, model)}")
        if self.run != self.books.run:
            copied = {call.attempt for call in calls if call.run == self.books.run}
            for number, call in enumerate(then):
                id = row_id("call", self.books.run, key, call.attempt)
                then[number] = call.model_copy(update={"id": id, "run": self.books.run, "hit": True, "started": now()})
                if call.attempt not in copied:
                    await self.books.writer.write(then[number])
                    self.books.accounts.run.book(call.tokens, call.cost or 0.0)
        call = next((call for call in then if call.status == "settled"), then[-1])
        if call.status == "settled":
            return again(call)
        if call.status == "failed":
            raise Unanswered(call.reason or "it failed")
        if call.status == "feature_spent":
            raise FeatureSpent(call.reason or "The budget of the feature is reached.")
        if call.status == "stopped":
            reason = call.reason or f"Run {self.run} ended here."
            raise (BudgetReached if reason.startswith("The budget") else UserError)(reason)
        raise NotRecorded(f"Run {self.run} was killed before an answer came: it {self._missing(place, model)}")

    def _stop_if_spent(self, model: Model, request: Request, place: Place) -> None:
        """Raise where the budgets of this run leave no room for a call that the earlier run never made."""
        accounts, worst = self.books.accounts, (sum(model.worst(request)), model.worst_cost(request) or 0.0)
        feature = accounts.of(place.feature)
        if feature is not None and (sentence := feature.hopeless(*worst)) is not None:
            raise FeatureSpent(sentence)
        if (sentence := accounts.run.hopeless(*worst)) is not None:
            raise BudgetReached(sentence)

    @staticmethod
    def _missing(place: Place, model: Model) -> str:
        return (
            f"holds no answer to call {place.ordinal} of {place.step} for feature {place.feature} by {model.name}: replay it "
            "with the configuration, the store and the version of Dragoman that recorded it."
        )
