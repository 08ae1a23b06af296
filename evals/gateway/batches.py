"""Many calls at half the price, answered within a day: handed to a service in batches, picked up again after a restart.

1. What the ledger holds is taken from there. Batches that an earlier process left are followed to their end first.
2. As many of the other calls as the budgets admit at their worst are written into the ledger as reserved, together with the
   batch they are in. Only then is it handed in, and the service's id for it written down.
3. It is looked at again and again, ever more rarely. At its end the results are settled as they are read.
4. Calls that the service did not get to are asked by themselves at the full price; what did not fit a budget goes into the next
   batch.

A process that is killed between handing in and writing the service's id leaves a batch that was perhaps handed in. The next one
looks for it there, waits a little, looks again, and only then hands it in.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, TypeVar

from dragoman.store.calls import Batched, Handed
from dragoman.store.errors import UserError
from dragoman.store.hashing import row_id
from dragoman.store.traffic import ModelBatch, ModelCall

from .batch_servers import BatchServer, Result, batch_server
from .calls import FeatureSpent, Place, Reply, Request, Unanswered
from .forms import key_of, request_from, request_json
from .gateway import Gateway
from .keys import scrub
from .models import Model
from .prices import factor
from .sending import Books, again, blank, now, record_stop, settlement, unsettled
from .troubles import Away, Busy

log = logging.getLogger("dragoman.gateway")

POLL = 5.0
"""Seconds between two looks at a batch at first."""
POLL_MOST = 300.0
"""The same at most."""
GRACE = 20.0
"""Seconds in which a service may still make a batch of what it was sent by a process that is dead."""
AT_ONCE = 500
"""Results that are committed together."""
MISSED = "not answered in its batch"
"""How the reason of a call begins that the service did not get to."""

T = TypeVar("T")

Outcome = Reply | Unanswered | FeatureSpent
"""What comes of a call: a reply, or why there is none."""


async def ask_all(
    gateway: Gateway,
    model: Model,
    requests: Sequence[tuple[Request, Place]],
    *,
    poll: float = POLL,
    grace: float = GRACE,
    say: Callable[[str], None] | None = None,
) -> list[Outcome]:
    """Replies to many requests, in their order, through the model's batch endpoint; chats only.

    Where a call has no answer, the exception that says why stands in its place. A replay sends nothing.
    poll: seconds between two looks at a batch, at first. grace: see GRACE. say: told what is handed in and picked up.

    Raises UserError as `Gateway.ask` does, and where the model has no batch endpoint. What was answered until then is kept.
    """
    if gateway.recorded is not None:
        return [await _alone(gateway, model, request, place) for request, place in requests]
    books = await gateway.books(model)
    async with gateway.batching:
        server = batch_server(model)
        try:
            return await _Asking(gateway, books, model, server, poll, grace, say).all(requests)
        finally:
            await server.close()


async def _alone(gateway: Gateway, model: Model, request: Request, place: Place) -> Outcome:
    try:
        return await gateway.ask(model, request, place)
    except (Unanswered, FeatureSpent) as error:
        return error


class _Asking:
    """Requests on their way through batches."""

    def __init__(
        self,
        gateway: Gateway,
        books: Books,
        model: Model,
        server: BatchServer,
        poll: float,
        grace: float,
        say: Callable[[str], None] | None,
    ) -> None:
        self.gateway, self.books, self.model, self.server = gateway, books, model, server
        self.poll, self.grace, self.say = poll, grace, say
        self.share = factor("batch", model.kind)
        self.outcomes: dict[str, Outcome] = {}
        """By the key of the call."""

    async def all(self, requests: Sequence[tuple[Request, Place]]) -> list[Outcome]:
        """See `ask_all`."""
        keys = []
        wanted: dict[str, tuple[Request, Place, str]] = {}
        for request, place in requests:
            text = request_json(request)
            keys.append(key_of(self.books.seed, place, self.model.name, text))
            wanted.setdefault(keys[-1], (request, place, text))
        left = self.books.calls.batches(self.books.run, self.model.name)
        await self._together([self._pick_up(batch) for batch in left])
        while True:
            missed = [key for key in wanted if key not in self.outcomes and self._look_up(key)]
            found = await asyncio.gather(*(_alone(self.gateway, self.model, *wanted[key][:2]) for key in missed))
            self.outcomes.update(zip(missed, found, strict=True))
            open_keys = {key: wanted[key] for key in wanted if key not in self.outcomes}
            if not open_keys:
                return [self.outcomes[key] for key in keys]
            batches, stop = await self._admit(open_keys)
            await self._together([self._begin(rows) for rows in batches])
            if stop is not None:
                raise stop

    def _look_up(self, key: str) -> bool:
        """Take the outcome of a call from the ledger; whether its batch did not get to it, so that it is asked by itself."""
        own = [call for call in self.books.calls.find(key) if call.run == self.books.run]
        for call in own:
            if call.status == "settled":
                try:
                    self.outcomes[key] = again(call)
                except Unanswered as refused:
                    self.outcomes[key] = refused
                return False
        return bool(own) and own[-1].status == "failed" and (own[-1].reason or "").startswith(MISSED)

    async def _admit(self, wanted: dict[str, tuple[Request, Place, str]]) -> tuple[list[list[ModelCall]], UserError | None]:
        """Calls that the budgets admit, reserved and cut into batches; and why the run ends after them, where it does."""
        accounts, limits = self.books.accounts, self.server.limits
        batches: list[list[ModelCall]] = []
        size, stop = 0, None
        for key, (request, place, text) in wanted.items():
            if not request.messages:
                raise ValueError("only chats can be asked in batches")
            own = [call for call in self.books.calls.find(key) if call.run == self.books.run]
            cost = self.model.worst_cost(request)
            worst = sum(self.model.worst(request)), None if cost is None else self.share * cost
            row = blank(self.books.run, place, key, self.model.name, text).model_copy(
                update={"attempt": len(own), "tokens": worst[0], "cost": worst[1], "started": now()}
            )
            row = row.model_copy(update={"id": row_id("call", row.run, key, row.attempt)})
            try:
                if not accounts.admit(place.feature, worst[0], worst[1] or 0.0):
                    continue  # it waits for what is under way
            except FeatureSpent as error:
                await record_stop(self.books, row, "feature_spent", str(error))
                self.outcomes[key] = error
                continue
            except UserError as error:
                await record_stop(self.books, row, "stopped", str(error))
                stop = error
                break
            more = self.server.size(request)
            if not batches or len(batches[-1]) == limits.calls or size + more > limits.bytes:
                batches.append([])
                size = 0
            batches[-1].append(row)
            size += more
        if not batches and stop is None and not all(key in self.outcomes for key in wanted):
            await asyncio.sleep(self.poll)  # calls of others are under way
        return batches, stop

    async def _begin(self, rows: list[ModelCall]) -> None:
        """Write a batch down, then follow it to its end."""
        batch = ModelBatch(
            id=row_id("batch", self.books.run, [row.id for row in rows]),
            run=self.books.run,
            model=self.model.name,
            server=self.server.url,
            remote=None,
            status="prepared",
            calls=len(rows),
            started=now(),
        )
        await self.books.writer.write(*rows, batch, *(Batched(row.id, batch.id) for row in rows))
        await self._follow(batch, rows, perhaps=False)

    async def _pick_up(self, batch: ModelBatch) -> None:
        """Follow a batch that an earlier process left."""
        rows = self.books.calls.in_batch(batch.id)
        for row in rows:
            if row.status == "reserved":
                self.books.accounts.adopt(row.feature, row.tokens, row.cost or 0.0)
        self._tell(f"Picking up a batch of {batch.calls:,} calls at {self.server.url}.")
        await self._follow(batch, rows, perhaps=True)

    async def _follow(self, batch: ModelBatch, rows: Sequence[ModelCall], perhaps: bool) -> None:
        """Hand a batch in, unless it is there, wait for its end, and settle its calls.

        perhaps: whether it may have been handed in without our knowing.
        """
        open_rows = {row.id: row for row in rows if row.status == "reserved"}
        requests = {row.id: request_from(row.request) for row in rows}
        remote = batch.remote
        if remote is None:
            try:
                remote = await self._hand_in(batch, requests, perhaps)
            except Unanswered as error:  # of the whole batch, and nothing was spent
                raise await self._refused(batch, None, open_rows, str(error)) from None
            await self.books.writer.write(Handed(batch.id, remote, "submitted"))
            self._tell(f"{len(rows):,} calls are in a batch at {self.server.url}; it may take up to a day.")
        state = await self._ended(remote)
        if state is not None:
            raise await self._refused(batch, remote, open_rows, state)
        await self._patiently(lambda: self._read(remote, open_rows, requests))
        await self._settle(open_rows, [Result(id, None, "no result", passing=True) for id in list(open_rows)], requests)
        await self.books.writer.write(Handed(batch.id, remote, "read"))

    async def _hand_in(self, batch: ModelBatch, requests: dict[str, Request], perhaps: bool) -> str:
        """The service's id of the batch, which is found there or handed in."""
        calls, since = set(requests), datetime.fromisoformat(batch.started)
        begun, wait = time.monotonic(), self.poll
        while True:
            try:
                for pause in (self.grace, 0.0) if perhaps else ():
                    known = self.books.calls.remotes(self.server.url)
                    found = await self.server.find(batch.id, calls, since, known, self.poll)
                    if found is not None:
                        return found
                    await asyncio.sleep(pause)
                perhaps = True
                return await self.server.hand_in(batch.id, list(requests.items()))
            except (Busy, Away) as trouble:
                await self._wait(trouble, begun, wait)
                wait = min(2 * wait, POLL_MOST)

    async def _ended(self, remote: str) -> str | None:
        """Wait for the end of a batch; why the service did not take it, where it did not."""
        pause = self.poll
        while True:
            state = await self._patiently(lambda: self.server.state(remote))
            if state.ended:
                return state.refused
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, POLL_MOST)

    async def _patiently(self, what: Callable[[], Awaitable[T]]) -> T:
        """Try again while the service is busy or away, as long as the patience lasts."""
        begun, wait = time.monotonic(), self.poll
        while True:
            try:
                return await what()
            except (Busy, Away) as trouble:
                await self._wait(trouble, begun, wait)
                wait = min(2 * wait, POLL_MOST)

    async def _wait(self, trouble: Busy | Away, begun: float, wait: float) -> None:
        if time.monotonic() - begun > self.books.patience:
            raise UserError(
                f"{self.server.url} did not answer for {self.books.patience:,.0f} s ({trouble}): run the same command again "
                "later, batches that were handed in are picked up."
            )
        await asyncio.sleep(max(wait, (trouble.retry_after or 0.0) if isinstance(trouble, Busy) else 0.0))

    async def _read(self, remote: str, rows: dict[str, ModelCall], requests: dict[str, Request]) -> None:
        """Settle the calls of a batch as their results come."""
        results: list[Result] = []
        async for result in self.server.results(remote, requests):
            results.append(result)
            if len(results) == AT_ONCE:
                await self._settle(rows, results, requests)
                results = []
        await self._settle(rows, results, requests)

    async def _settle(self, rows: dict[str, ModelCall], results: Sequence[Result], requests: dict[str, Request]) -> None:
        """Commit what became of calls; `rows` loses them. What is settled already is left as it is."""
        settled, refusals = [], {}
        for result in results:
            if result.call not in rows:
                continue
            if result.received is not None:
                request = requests[result.call]
                row, _ = settlement(result.call, self.model, request, result.received, None, self.share)
            else:
                reason = f"{MISSED} ({result.reason})" if result.passing else result.reason
                reason = scrub(reason, self.model.secrets)
                row = unsettled(result.call, reason, 0, None if rows[result.call].cost is None else 0.0)
                if not result.passing:
                    refusals[rows[result.call].key] = Unanswered(reason)
            settled.append(row)
        await self.books.writer.write(*settled)
        self.outcomes.update(refusals)
        for row in settled:
            call = rows.pop(row.id)
            self.books.accounts.settle(call.feature, call.tokens, call.cost or 0.0, row.tokens, row.cost or 0.0)

    async def _refused(self, batch: ModelBatch, remote: str | None, rows: dict[str, ModelCall], reason: str) -> UserError:
        """Settle the calls of a batch that was not taken; what to tell the user."""
        failed = [
            unsettled(id, f"its batch was refused ({reason})", 0, None if row.cost is None else 0.0) for id, row in rows.items()
        ]
        await self.books.writer.write(*failed, Handed(batch.id, remote, "refused"))
        for row in rows.values():
            self.books.accounts.settle(row.feature, row.tokens, row.cost or 0.0, 0, 0.0)
        return UserError(
            f"{self.server.url} did not take a batch of {batch.calls:,} calls ({reason}): label fewer features at a time, or "
            "leave out --batch."
        )

    async def _together(self, work: Sequence[Coroutine[Any, Any, None]]) -> None:
        """Follow batches side by side, until one of them raises; the others are picked up by the next process."""
        tasks = [asyncio.create_task(each) for each in work]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _tell(self, sentence: str) -> None:
        log.info(sentence)
        if self.say is not None:
            self.say(sentence)
