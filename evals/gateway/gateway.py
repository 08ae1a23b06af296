"""The gateway: every call of a run to a language model goes through it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from dragoman.store.calls import Calls, Settled
from dragoman.store.errors import UserError
from dragoman.store.hashing import row_id, seed_of
from dragoman.store.ledger import Ledger
from dragoman.store.records import ModelCall

from .budget import Account, Budget
from .calls import Place, Reply, Request, Unanswered
from .forms import Received, key_of, received_from, reply_json, request_json
from .keys import scrub
from .models import Model
from .pace import START
from .replicas import Replica, Replicas
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


class Gateway:
    """All model traffic of one run; an async context manager, used in one event loop."""

    def __init__(
        self,
        ledger: Ledger,
        run: str,
        seed: int,
        budget: Budget,
        reuse: bool = False,
        *,
        patience: float = 600.0,
        most: int = 1024,
        start: int = START,
        backoff: float = 0.5,
        say: Callable[[str], None] | None = None,
    ) -> None:
        """Nothing is sent yet.

        reuse: also take replies to the same questions from other runs of the ledger.
        patience: seconds that a server may stay away. most: calls in flight to one server at most; start: at first.
        backoff: seconds before a call is tried again, doubled each time and shortened by a share drawn from the seed.
        say: told, in a sentence, when a server goes away and comes back; without it the log warns of that.
        """
        self.run, self.seed, self.budget, self.reuse = run, seed, budget, reuse
        self._path = ledger.path
        self._patience, self._most, self._start = patience, most, start
        self._backoff, self._say = backoff, say
        self._replicas: dict[int, Replicas] = {}
        self._models: list[Model] = []
        self._unusable: dict[int, str] = {}
        self._checking = asyncio.Lock()
        self._asking: dict[str, asyncio.Task[Reply]] = {}
        self._failed_in_a_row = 0

    async def __aenter__(self) -> Self:
        self._calls = Calls(self._path)
        self._writer = Writer(self._calls)
        self._account = Account(self.budget, *self._calls.spent(self.run))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        for replicas in self._replicas.values():
            await replicas.close()
        await self._writer.close()
        self._calls.close()

    @property
    def spent(self) -> tuple[int, float]:
        """Tokens and dollars that the run has spent, over all its processes."""
        return self._account.tokens, self._account.dollars

    async def ask(self, model: Model, request: Request, place: Place) -> Reply:
        """The reply to one request; taken from the ledger when the same was asked at the same place before.

        Raises Unanswered when this one call has no answer, and UserError when no further call makes sense: the key is wrong,
        the server does not have the model, the budget is reached, the server stayed away longer than the patience. A request
        that the model's servers cannot take (see its capabilities) raises ValueError.
        """
        _possible(model, request)
        if not model.named:
            await self._servers_of(model)
        text = request_json(request)
        key = key_of(self.seed, place, model.name, text)
        asking = self._asking.get(key)
        if asking is not None:  # the same question at the same place, under way already
            return replace(await asyncio.shield(asking), hit=True)
        task = asyncio.create_task(self._answer(model, request, text, key, place))
        self._asking[key] = task
        try:
            return await task
        finally:
            if self._asking.get(key) is task:
                del self._asking[key]

    async def _answer(self, model: Model, request: Request, text: str, key: str, place: Place) -> Reply:
        """From the ledger, or from a server."""
        known = self._calls.find(key)
        own = [call for call in known if call.run == self.run]
        for call in (*own, *(known if self.reuse else ())):
            if call.status == "settled":
                return await self._again(call, own)
        row = ModelCall(
            id="",
            run=self.run,
            feature=place.feature,
            step=place.step,
            ordinal=place.ordinal,
            attempt=len(own),
            key=key,
            model=model.name,
            request=text,
            status="reserved",
            tokens=0,
            cost=None,
            started="",
        )
        return await _Asking(self, model, await self._servers_of(model), request, row).reply()

    async def _again(self, call: ModelCall, own: list[ModelCall]) -> Reply:
        """A reply from the ledger; one of another run is recorded as a hit of this one, at its original price."""
        if call.run != self.run:
            row = call.model_copy(
                update={
                    "id": row_id("call", self.run, call.key, len(own)),
                    "run": self.run,
                    "attempt": len(own),
                    "hit": True,
                    "started": _now(),
                }
            )
            await self._writer.write(row)
            call = row
        assert call.reply is not None
        counts = call.prompt_tokens or 0, call.cached_tokens or 0, call.completion_tokens or 0
        return _reply(received_from(call.reply, *counts), call.cost, call.latency or 0.0, True, call.id)

    async def _servers_of(self, model: Model) -> Replicas:
        """The connections to a model's servers, made and checked at its first call."""
        found = self._replicas.get(id(model))
        if found is None:
            async with self._checking:
                found = self._replicas.get(id(model))
                if found is None:
                    if self.budget.dollars is not None and model.price is None:
                        raise UserError(
                            f"The price of {model.spec} is not known, so a budget in dollars cannot be kept: say it with --price "
                            "PROMPT,CACHED,REPLY (dollars for a million tokens), or set a budget in tokens."
                        )
                    if id(model) in self._unusable:
                        raise UserError(self._unusable[id(model)])
                    self._models.append(model)  # so that its id stays its own
                    try:
                        await model.check()
                    except UserError as error:
                        self._unusable[id(model)] = str(error)
                        raise
                    found = Replicas(model, self._most, self._start, self._patience, self._backoff, self._say)
                    self._replicas[id(model)] = found
        return found


class _Asking:
    """One call on its way: reserved, sent, tried again, settled."""

    def __init__(self, gateway: Gateway, model: Model, replicas: Replicas, request: Request, row: ModelCall) -> None:
        self.gateway, self.model, self.replicas, self.request = gateway, model, replicas, request
        self.row = row
        self.reserved = False
        """Whether a reservation is in the ledger for the next try."""
        prompt, completion = model.worst(request)
        self.worst_prompt, self.worst_completion = prompt, completion
        self.worst_cost = model.cost(prompt, 0, completion)
        self.random = random.Random(seed_of(gateway.seed, row.key))
        self.begun = time.monotonic()

    async def reply(self) -> Reply:
        """Try until there is a reply or a reason to stop."""
        try:
            return await self._try()
        except (Unanswered, UserError) as error:
            if self.reserved:
                await self._settle(None, 0.0, reason=str(error))
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
                received = await replica.server.send(self.model.served, self.request)
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
                self.gateway._failed_in_a_row = 0
                return await self._settle(received, latency)
            finally:
                self.replicas.release(replica)
            if isinstance(trouble, Busy):
                await self._wait_for_room(trouble, replica, refused)
                continue
            if trouble.spent:
                await self._settle(None, 0.0, reason=str(trouble), lost=True)
            if not await self.replicas.alive(replica, str(trouble)):
                continue  # everybody waits for it; this call is not to blame
            failed += 1
            if failed >= (TRIES if self.replicas.answered > answered else TRIES_ALONE):
                self._give_up(replica, failed, str(trouble))
            await asyncio.sleep(self._backoff(failed))

    async def _reserve(self) -> None:
        """Set the worst case aside, and commit it before anything leaves."""
        gateway = self.gateway
        await gateway._account.reserve(self.worst_prompt + self.worst_completion, self.worst_cost or 0.0)
        id = row_id("call", self.row.run, self.row.key, self.row.attempt)
        worst = {"tokens": self.worst_prompt + self.worst_completion, "cost": self.worst_cost}
        self.row = self.row.model_copy(update={"id": id, "started": _now(), **worst})
        await gateway._writer.write(self.row)
        self.reserved = True

    async def _settle(self, received: Received | None, latency: float, reason: str | None = None, lost: bool = False) -> Reply:
        """Book what the call did cost, and commit it; without a reply that is nothing, or the worst where it was `lost`.

        The reply is handed out only after that, so that no answer is ever used that a kill could take away.
        """
        prompt, cached, completion, cost = 0, 0, 0, None if self.worst_cost is None else 0.0
        if received is not None:
            prompt = self.worst_prompt if received.prompt_tokens is None else received.prompt_tokens
            completion = self.worst_completion if received.completion_tokens is None else received.completion_tokens
            cached = min(received.cached_tokens, prompt)
            cost = self.model.cost(prompt, cached, completion)
        tokens = prompt + completion
        if lost:
            tokens, cost = self.row.tokens, self.row.cost
        reply = None
        if received is not None:
            reply = scrub(said := reply_json(received), self.model.secrets)
            received = received if reply == said else received_from(reply, prompt, cached, completion)
        row = Settled(
            id=self.row.id,
            status="failed" if received is None else "settled",
            reason=None if reason is None else scrub(reason, self.model.secrets),
            reply=reply,
            tokens=tokens,
            cost=cost,
            prompt_tokens=None if received is None else prompt,
            cached_tokens=None if received is None else cached,
            completion_tokens=None if received is None else completion,
            latency=None if received is None else latency,
        )
        await self.gateway._writer.write(row)
        self.reserved = False
        self.gateway._account.settle(self.row.tokens, self.row.cost or 0.0, tokens, cost or 0.0)
        settled, self.row = self.row, self.row.model_copy(update={"attempt": self.row.attempt + 1})
        if received is None:
            return Reply((), (), None, None, 0, 0, 0, cost, latency, False, settled.id)
        counted = replace(received, prompt_tokens=prompt, cached_tokens=cached, completion_tokens=completion)
        return _reply(counted, cost, latency, False, settled.id)

    async def _wait_for_room(self, busy: Busy, replica: Replica, refused: int) -> None:
        """After a refusal: as long as the server asks, or longer and longer."""
        url, patience = replica.server.url, self.gateway._patience
        if busy.retry_after is not None and busy.retry_after > patience:
            raise UserError(f"{url} asks to wait {busy.retry_after:,.0f} s before the next call ({busy}): run this again then.")
        if time.monotonic() - max(self.replicas.last_good, self.begun) > patience:
            raise UserError(f"{url} has refused every call for {patience:,.0f} s ({busy}): run the same command again later.")
        if busy.retry_after:
            self.replicas.pause(replica, busy.retry_after)
        await asyncio.sleep(max(busy.retry_after or 0.0, self._backoff(refused)))

    def _give_up(self, replica: Replica, tries: int, reason: str) -> None:
        """Raise, for this call or for all."""
        gateway = self.gateway
        gateway._failed_in_a_row += 1
        if gateway._failed_in_a_row >= IN_A_ROW:
            raise UserError(
                f"{replica.server.url} fails on everything ({reason}), though it is there: look at its own log, mend it and run "
                "the same command again."
            )
        raise Unanswered(f"the server failed on it {tries} times ({reason})")

    def _backoff(self, tries: int) -> float:
        """Seconds before the next try: doubled each time, between half and all of it."""
        return float(min(LONGEST, self.gateway._backoff * 2 ** (tries - 1)) * self.random.uniform(0.5, 1.0))


def _reply(received: Received, cost: float | None, latency: float, hit: bool, call: str) -> Reply:
    """What the caller gets. Raises Unanswered where the model refused to say anything."""
    if all(finish in REFUSALS for finish in received.finish):
        raise Unanswered("the model refused to answer")
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
    )


def _possible(model: Model, request: Request) -> None:
    """Raise ValueError for what the model's servers cannot do."""
    can = model.capabilities
    if request.prompt is not None and (request.messages or not can.completions):
        raise ValueError("a raw prompt needs a server with completions, and no messages beside it")
    if request.prompt is None and not request.messages:
        raise ValueError("a request needs messages or a prompt")
    if request.n > 1 and not can.n:
        raise ValueError("this server gives one reply a call")
    if request.prompt_logprobs > can.prompt_logprobs:
        raise ValueError(f"this server gives {can.prompt_logprobs} log-probabilities at a token of the prompt")
    if request.max_tokens < 1 and not request.prompt_logprobs:
        raise ValueError("max_tokens must be at least 1")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
