"""The gateway: every call of a run to a language model goes through it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Self

from dragoman.store.calls import Calls
from dragoman.store.errors import UserError
from dragoman.store.hashing import row_id
from dragoman.store.ledger import Ledger
from dragoman.store.traffic import ModelCall

from .budget import Account, Accounts, Budget
from .calls import Place, Reply, Request
from .forms import key_of, request_json
from .models import Model
from .pace import START
from .recorded import Recorded
from .replicas import Replicas
from .sending import IN_A_ROW, TRIES, TRIES_ALONE, Books, Sending, again, blank, now
from .streaming import Tell
from .writer import Writer

__all__ = ["IN_A_ROW", "TRIES", "TRIES_ALONE", "Gateway"]


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
        feature_budget: Budget | None = None,
        recorded: str | None = None,
        patience: float = 600.0,
        most: int = 1024,
        start: int = START,
        backoff: float = 0.5,
        say: Callable[[str], None] | None = None,
    ) -> None:
        """Nothing is sent yet.

        reuse: also take replies to the same questions from other runs of the ledger.
        feature_budget: what may be spent on each feature, beside the run's budget.
        recorded: id of a run in the ledger that this one replays: its replies, its failed calls and the places where its budgets
            stopped it are followed, and nothing is sent.
        patience: seconds that a server may stay away. most: calls in flight to one server at most; start: at first.
        backoff: seconds before a call is tried again, doubled each time and shortened by a share drawn from the seed.
        say: told, in a sentence, when a server goes away and comes back; without it the log warns of that.
        """
        self.run, self.seed, self.budget, self.reuse = run, seed, budget, reuse
        self.feature_budget, self.recorded = feature_budget, recorded
        self._path = ledger.path
        self._patience, self._most, self._start = patience, most, start
        self._backoff, self._say = backoff, say
        self._replicas: dict[int, Replicas] = {}
        self._models: list[Model] = []
        self._unusable: dict[int, str] = {}
        self._checking = asyncio.Lock()
        self.batching = asyncio.Lock()
        """Held while calls are asked in batches."""
        self._asking: dict[str, asyncio.Task[Reply]] = {}

    async def __aenter__(self) -> Self:
        self._calls = Calls(self._path)
        self._writer = Writer(self._calls)
        replays = self.recorded is not None  # a replay pays nothing, but counts what was paid
        run = Account(self.budget, *self._calls.spent(self.run, replays))
        accounts = Accounts(run, self.feature_budget, lambda feature: self._calls.spent_on(self.run, feature, replays))
        self._books = Books(self.run, self.seed, self._calls, self._writer, accounts, self._patience, self._backoff)
        self._recorded = None if self.recorded is None else Recorded(self._books, self.recorded)
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
        account = self._books.accounts.run
        return account.tokens, account.dollars

    def spent_on(self, feature: int) -> tuple[int, float]:
        """Tokens and dollars spent on one feature, over all processes of the run; calls under way count at their worst."""
        return self._calls.spent_on(self.run, feature, self.recorded is not None)

    async def ask(self, model: Model, request: Request, place: Place, tell: Tell | None = None) -> Reply:
        """The reply to one request; taken from the ledger when the same was asked at the same place before.

        tell: is told of the reply in pieces as they come from a server that can stream; of one that comes whole, or from the
        ledger, nothing.

        Raises Unanswered when this one call has no answer, and UserError when no further call makes sense: the key is wrong,
        the server does not have the model, the budget is reached, the server stayed away longer than the patience. FeatureSpent
        when the budget of the call's feature is reached, NotRecorded when a replay asks what was never asked before. A request
        that the model's servers cannot take (see its capabilities) raises ValueError.
        """
        _possible(model, request)
        if not model.named:
            if self._recorded is None:
                await self._servers_of(model)
            else:
                self._recorded.name(model)
        text = request_json(request)
        key = key_of(self.seed, place, model.name, text)
        asking = self._asking.get(key)
        if asking is not None:  # the same question at the same place, under way already
            return replace(await asyncio.shield(asking), hit=True)
        task = asyncio.create_task(self._answer(model, request, text, key, place, tell))
        self._asking[key] = task
        try:
            return await task
        finally:
            if self._asking.get(key) is task:
                del self._asking[key]

    async def _answer(self, model: Model, request: Request, text: str, key: str, place: Place, tell: Tell | None) -> Reply:
        """From the ledger, or from a server."""
        if self._recorded is not None:
            return await self._recorded.reply(model, request, key, place)
        known = self._calls.find(key)
        own = [call for call in known if call.run == self.run]
        for call in (*own, *(known if self.reuse else ())):
            if call.status == "settled":
                return await self._again(call, own)
        if own and own[-1].status == "reserved" and self._calls.is_batched(own[-1].id):
            raise UserError(
                f"Run {self.run} has calls in a batch at {model.urls[0]} that has not been read: run the same command "
                "with --batch."
            )
        row = blank(self.run, place, key, model.name, text).model_copy(update={"attempt": len(own)})
        return await Sending(self._books, model, await self._servers_of(model), request, row, tell).reply()

    async def books(self, model: Model) -> Books:
        """The ledger and the accounts of this run, for whoever sends calls to this model in another way. Raises as `ask`."""
        await self._servers_of(model)
        return self._books

    async def _again(self, call: ModelCall, own: list[ModelCall]) -> Reply:
        """A reply from the ledger; one of another run is recorded as a hit of this one, at its original price."""
        if call.run != self.run:
            row = call.model_copy(
                update={
                    "id": row_id("call", self.run, call.key, len(own)),
                    "run": self.run,
                    "attempt": len(own),
                    "hit": True,
                    "started": now(),
                }
            )
            await self._writer.write(row)
            call = row
        return again(call)

    async def _servers_of(self, model: Model) -> Replicas:
        """The connections to a model's servers, made and checked at its first call."""
        found = self._replicas.get(id(model))
        if found is None:
            async with self._checking:
                found = self._replicas.get(id(model))
                if found is None:
                    dollars = self.budget.dollars, self.feature_budget and self.feature_budget.dollars
                    if dollars != (None, None) and model.price is None:
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
    if request.tools and request.prompt is not None:
        raise ValueError("tools need messages, not a raw prompt")
    if request.tool_choice not in ("auto", "required", "none", *(tool.name for tool in request.tools)):
        raise ValueError(f"there is no tool {request.tool_choice!r} to choose")
    if request.max_tokens < 1 and not request.prompt_logprobs:
        raise ValueError("max_tokens must be at least 1")
