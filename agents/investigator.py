"""The investigator: a chat agent that answers questions about a model with experiments that were run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from dragoman.evals.gateway.budget import Budget
from dragoman.evals.gateway.calls import Message, Unanswered
from dragoman.evals.gateway.gateway import Gateway
from dragoman.evals.gateway.prices import price_from
from dragoman.store.errors import UserError
from dragoman.tools.workbench import Workbench

from .investigation.events import Answer, Event, Said, Statement, Stopped
from .investigation.protocol import Converser, ThreadInfo, Turn
from .models import chat_named

WORDS = 2000
"""Tokens of a reply at most."""


class Investigator:
    """A language model with the tools, for one store; see `Converser`. Use `opened`."""

    def __init__(self, bench: Workbench, model: str, budget: Budget, price: str | None, seed: int) -> None:
        """See `opened`."""
        self._bench, self._model, self._budget, self._price, self._seed = bench, model, budget, price, seed
        self._said: dict[str, list[Turn]] = {}

    async def ask(self, thread: str, text: str) -> AsyncIterator[Event]:
        """See `Converser`."""
        turns = self._said.setdefault(thread, [])
        turns.append(Turn("user", text))
        price = price_from(self._price) if self._price else None
        try:
            async with Gateway(self._bench.store.ledger, f"chat {thread}", self._seed, self._budget) as gateway:
                chat = chat_named(self._model, gateway, max_tokens=WORDS, price=price).at(-1, f"chat/{len(turns)}")
                reply = await chat.ask([Message(turn.role, turn.text) for turn in turns])
        except (Unanswered, UserError) as error:
            yield Stopped(str(error))
            return
        answer = Answer((Statement(reply.texts[0]),))
        turns.append(Turn("assistant", reply.texts[0], (answer,)))
        yield Said(reply.texts[0])
        yield answer

    async def resume(self, thread: str, reply: str | None = None) -> AsyncIterator[Event]:
        """See `Converser`."""
        yield Stopped("There is nothing to go on with in this thread: ask something.")

    def history(self, thread: str) -> Sequence[Turn]:
        """See `Converser`."""
        return tuple(self._said.get(thread, ()))

    def threads(self) -> Sequence[ThreadInfo]:
        """See `Converser`."""
        return [ThreadInfo(name, turns[0].text[:80], len(turns[::2]), "") for name, turns in self._said.items()]

    def delete(self, thread: str) -> None:
        """See `Converser`."""
        if self._said.pop(thread, None) is None:
            raise UserError(f"There is no thread {thread[:80]!r}.")


@asynccontextmanager
async def opened(
    store: Path,
    model: str,
    *,
    budget: Budget | None = None,
    price: str | None = None,
    seed: int = 0,
    subject: str | None = None,
    dictionaries: Sequence[str] = (),
    device: str | None = None,
    bench: Workbench | None = None,
) -> AsyncIterator[Converser]:
    """Somebody to talk to about a store, in this event loop.

    Args:
        store: its folder.
        model: the language model by name, as for other commands.
        budget: of each thread, over all processes; by default none.
        price: US dollars a million tokens (PROMPT,CACHED,REPLY), where the list of prices does not know the model.
        seed: of everything that tools draw at random.
        subject, dictionaries, device: where the store's own model and dictionaries are now, as `Workbench.open` takes them.
        bench: the store, open already; it stays the caller's to close, and what runs its model holds its lock.

    Raises:
        UserError: there is no such store or model.
    """
    if bench is not None:
        yield Investigator(bench, model, budget or Budget(), price, seed)
        return
    with Workbench.open(store, subject, dictionaries, device) as own:
        yield Investigator(own, model, budget or Budget(), price, seed)
