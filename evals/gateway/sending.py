"""One call on its way to a server: reserved, sent, tried again, settled."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from dragoman.store.calls import Calls, Settled
from dragoman.store.errors import UserError
from dragoman.store.hashing import row_id, seed_of
from dragoman.store.traffic import ModelCall

from .budget import Accounts
from .calls import FeatureSpent, Place, Refused, Reply, Request, Unanswered
from .forms import Received, received_from, reply_json
from .keys import scrub
from .models import Model
from .replicas import Replica, Replicas
from .streaming import Piece, Tell
from .troubles import Away, Busy
from .writer import Writer

TRIES = 4
"""Times a call is sent to a server that fails on it, but answers others."""
TRIES_ALONE = 8
"""The same while it answers nobody else either."""
IN_A_ROW = 10
"""Calls one after the other that a server failed on for good, with none answered between: then the run stops."""
LONGEST = 30.0
"""Seconds between two tries at most, unless the server asks for more."""
REFUSALS = ("refusal", "content_filter")


@dataclass
class Books:
    """What all calls of a run share."""

    run: str
    """Id of the run."""
    seed: int
    """Of the run."""
    calls: Calls
    """The ledger's calls, for reading."""
    writer: Writer
    """The same, for writing."""
    accounts: Accounts
    """What may still be spent."""
    patience: float
    """Seconds that a server may stay away."""
    backoff: float
    """Seconds before a call is tried again, at first."""
    failed_in_a_row: int = 0
    """Calls that a server failed on, since the last answer."""


class Sending:
    """One call on its way."""

    def __init__(
        self, books: Books, model: Model, replicas: Replicas, request: Request, row: ModelCall, tell: Tell | None = None
    ) -> None:
        """row: the call as the ledger is to hold it, without what a reservation adds. tell: is told of pieces as they come."""
        self.books, self.model, self.replicas, self.request = books, model, replicas, request
        self.row = row
        self.tell = tell
        self.reserved = False
        """Whether a reservation is in the ledger for the next try."""
        prompt, completion = model.worst(request)
        self.worst_prompt, self.worst_completion = prompt, completion
        self.worst_cost = model.worst_cost(request)
        self.random = random.Random(seed_of(books.seed, row.key))
        self.begun = time.monotonic()

    async def reply(self) -> Reply:
        """Try until there is a reply or a reason to stop."""
        try:
            return await self._try()
        except Unanswered as error:
            if self.reserved:
                await self._settle(None, 0.0, reason=str(error))
            raise
        except (UserError, FeatureSpent) as error:
            status = "feature_spent" if isinstance(error, FeatureSpent) else "stopped"
            if self.reserved:
                await self._settle(None, 0.0, reason=str(error), status=status)
            else:
                await record_stop(self.books, self.row, status, scrub(str(error), self.model.secrets))
            raise

    async def _try(self) -> Reply:
        failed, refused, answered = 0, 0, self.replicas.answered
        while True:
            replica = await self.replicas.acquire()
            try:
                if not self.reserved:
                    await self._reserve()
                replica.pace.sent(replica.in_flight)
                sent = time.monotonic()
                received = await replica.server.send(self.model.served, self.request, self.tell)
                latency = time.monotonic() - sent
                tokens = (received.prompt_tokens or 0) + (received.completion_tokens or 0)
                self.replicas.good(replica, latency, tokens)
            except Busy as busy:
                refused += 1
                replica.pace.refused(time.monotonic() - sent)
                trouble: Busy | Away = busy
            except Away as away:
                if away.slow:
                    replica.pace.refused(time.monotonic() - sent)
                trouble = away
            else:
                self.books.failed_in_a_row = 0
                return await self._settle(received, latency)
            finally:
                self.replicas.release(replica)
            if self.tell is not None:
                self.tell(Piece(anew=True))
            if isinstance(trouble, Busy):
                await self._wait_for_room(trouble, replica, refused)
                continue
            alive = await self.replicas.alive(replica, str(trouble))  # if not, everybody waits; this call is not to blame
            failed += alive
            hopeless = alive and failed >= (TRIES if self.replicas.answered > answered else TRIES_ALONE)
            given_up = f"the server failed on it {failed} times ({trouble})"
            if trouble.spent:
                await self._settle(None, 0.0, reason=given_up if hopeless else str(trouble), lost=True)
            if hopeless:
                self._give_up(replica, given_up, str(trouble))
            if alive:
                await asyncio.sleep(self._backoff(failed))

    async def _reserve(self) -> None:
        """Set the worst case aside, and commit it before anything leaves."""
        books, feature = self.books, self.row.feature
        await books.accounts.reserve(feature, self.worst_prompt + self.worst_completion, self.worst_cost or 0.0)
        id = row_id("call", self.row.run, self.row.key, self.row.attempt)
        worst = {"tokens": self.worst_prompt + self.worst_completion, "cost": self.worst_cost}
        self.row = self.row.model_copy(update={"id": id, "started": now(), **worst})
        await books.writer.write(self.row)
        self.reserved = True

    async def _settle(
        self,
        received: Received | None,
        latency: float,
        reason: str | None = None,
        lost: bool = False,
        status: str = "failed",
    ) -> Reply:
        """Book what the call did cost, and commit it; without a reply that is nothing, or the worst where it was `lost`.

        The reply is handed out only after that, so that no answer is ever used that a kill could take away.
        """
        if received is None:
            spent = (self.row.tokens, self.row.cost) if lost else (0, None if self.worst_cost is None else 0.0)
            row = unsettled(self.row.id, scrub(reason or "", self.model.secrets), *spent, status)
        else:
            row, received = settlement(self.row.id, self.model, self.request, received, latency)
        await self.books.writer.write(row)
        self.reserved = False
        self.books.accounts.settle(self.row.feature, self.row.tokens, self.row.cost or 0.0, row.tokens, row.cost or 0.0)
        self.row = self.row.model_copy(update={"attempt": self.row.attempt + 1})
        if received is None:
            return Reply((), (), None, None, 0, 0, 0, row.cost, latency, False, row.id)
        return reply_of(received, row.cost, latency, False, row.id)

    async def _wait_for_room(self, busy: Busy, replica: Replica, refused: int) -> None:
        """After a refusal: as long as the server asks, or longer and longer."""
        url, patience = replica.server.url, self.books.patience
        if busy.retry_after is not None and busy.retry_after > patience:
            raise UserError(f"{url} asks to wait {busy.retry_after:,.0f} s before the next call ({busy}): run this again then.")
        if time.monotonic() - max(self.replicas.last_good, self.begun) > patience:
            raise UserError(f"{url} has refused every call for {patience:,.0f} s ({busy}): run the same command again later.")
        if busy.retry_after:
            self.replicas.pause(replica, busy.retry_after)
        await asyncio.sleep(max(busy.retry_after or 0.0, self._backoff(refused)))

    def _give_up(self, replica: Replica, given_up: str, reason: str) -> None:
        """Raise, for this call or for all."""
        self.books.failed_in_a_row += 1
        if self.books.failed_in_a_row >= IN_A_ROW:
            raise UserError(
                f"{replica.server.url} fails on everything ({reason}), though it is there: look at its own log, mend it and run "
                "the same command again."
            )
        raise Unanswered(given_up)

    def _backoff(self, tries: int) -> float:
        """Seconds before the next try: doubled each time, between half and all of it."""
        return float(min(LONGEST, self.books.backoff * 2 ** (tries - 1)) * self.random.uniform(0.5, 1.0))


def settlement(
    id: str, model: Model, request: Request, received: Received, latency: float | None, share: float = 1.0
) -> tuple[Settled, Received]:
    """The row of a call that was answered, and the reply with its token counts; what a server does not count counts at its worst.

    share: of the list price that is paid.
    """
    worst_prompt, worst_completion = model.worst(request)
    prompt = worst_prompt if received.prompt_tokens is None else received.prompt_tokens
    completion = worst_completion if received.completion_tokens is None else received.completion_tokens
    cached = min(received.cached_tokens, prompt)
    cost = model.cost(prompt, cached, completion, min(received.written_tokens, prompt - cached))
    reply = scrub(said := reply_json(received), model.secrets)
    received = received if reply == said else received_from(reply, prompt, cached, completion)
    row = Settled(
        id=id,
        status="settled",
        reason=None,
        reply=reply,
        tokens=prompt + completion,
        cost=None if cost is None else share * cost,
        prompt_tokens=prompt,
        cached_tokens=cached,
        completion_tokens=completion,
        latency=latency,
    )
    return row, replace(received, prompt_tokens=prompt, cached_tokens=cached, completion_tokens=completion)


def unsettled(id: str, reason: str, tokens: int, cost: float | None, status: str = "failed") -> Settled:
    """The row of a call without an answer, and what counts as spent on it."""
    return Settled(id, status, reason, None, tokens, cost, None, None, None, None)


async def record_stop(books: Books, row: ModelCall, status: str, reason: str) -> None:
    """Put on record that a call was not sent, because the run or the feature ended before it: a replay ends there too."""
    known = [call for call in books.calls.find(row.key) if call.run == row.run]
    if known and (known[-1].status, known[-1].reason) == (status, reason):
        return
    update = {"attempt": len(known), "status": status, "reason": reason, "tokens": 0, "cost": 0.0, "started": now()}
    id = row_id("call", row.run, row.key, len(known))
    await books.writer.write(row.model_copy(update={"id": id, **update}))


def reply_of(received: Received, cost: float | None, latency: float, hit: bool, call: str) -> Reply:
    """What the caller gets. Raises Refused where the model refused to say anything."""
    if all(finish in REFUSALS for finish in received.finish):
        raise Refused("the model refused to answer")
    return Reply(
        texts=received.texts,
        finish=received.finish,
        logprobs=received.logprobs,
        prompt_logprobs=received.prompt_logprobs,
        prompt_tokens=received.prompt_tokens or 0,
        cached_tokens=received.cached_tokens,
        completion_tokens=received.completion_tokens or 0,
        cost=cost,
        latency=latency,
        hit=hit,
        call=call,
        tool_calls=received.tool_calls,
    )


def again(call: ModelCall) -> Reply:
    """The reply of a call that was settled before. Raises Refused as `reply_of` does."""
    assert call.reply is not None
    counts = call.prompt_tokens or 0, call.cached_tokens or 0, call.completion_tokens or 0
    return reply_of(received_from(call.reply, *counts), call.cost, call.latency or 0.0, True, call.id)


def blank(run: str, place: Place, key: str, model: str, request: str) -> ModelCall:
    """A call before its first try."""
    return ModelCall(
        id="",
        run=run,
        feature=place.feature,
        step=place.step,
        ordinal=place.ordinal,
        attempt=0,
        key=key,
        model=model,
        request=request,
        status="reserved",
        tokens=0,
        cost=None,
        started="",
    )


def now() -> str:
    """UTC time for the ledger."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
