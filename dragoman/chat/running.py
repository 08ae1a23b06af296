"""A session put together: the store, who is talked to, where lines come from, where they go."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

from dragoman.agents.investigation.protocol import Converser
from dragoman.agents.investigator import opened
from dragoman.agents.models import is_induction
from dragoman.evals.gateway.budget import Budget
from dragoman.store.chats import Chats
from dragoman.tools.workbench import Workbench

from .completing import Words
from .reading import Piped, Prompted
from .screen import Lines, People, Screen
from .session import OWN, Session

LIBRARIES = ("httpx2", "openai", "anthropic")
"""Loggers of the libraries that ask models."""


@dataclass(frozen=True)
class Wish:
    """What was asked for on the command line."""

    store: Path
    """Folder of the store."""
    model: str
    """Who to talk to."""
    thread: str | None = None
    """The thread; None: a new one."""
    json: bool = False
    """Whether a script reads."""
    budget: Budget = field(default_factory=Budget)
    """Of each thread."""
    price: str | None = None
    """Of the model, where it is not known."""
    seed: int = 0
    """Of everything drawn at random."""
    subject: str | None = None
    """Where the store's model is now."""
    dictionaries: Sequence[str] = ()
    """Where its dictionaries are now."""
    device: str | None = None
    """Where it runs."""


def talk(wish: Wish) -> bool:
    """Hold a session; whether everything that was asked got an answer."""
    return asyncio.run(_talk(wish))


def listed(wish: Wish) -> None:
    """Show the threads of the store."""
    asyncio.run(_listed(wish))


def deleted(wish: Wish, thread: str) -> None:
    """Delete a thread. Raises UserError where there is none."""
    asyncio.run(_deleted(wish, thread))


async def _talk(wish: Wish) -> bool:
    async with _session(wish) as (session, bench):
        if sys.stdin.isatty() and sys.stdout.isatty() and not wish.json:
            direct = is_induction(wish.model)
            session.greet(f"{bench.store.path.name}: {bench.store.width:,} features, talking to {wish.model}.", direct)
            await session.run(Prompted(bench.store.path, Words(bench.store, OWN, session.steps, direct)))
        else:
            await session.run(Piped())
        return not session.refused


async def _listed(wish: Wish) -> None:
    async with _session(wish) as (session, _):
        session.list()


async def _deleted(wish: Wish, thread: str) -> None:
    async with _session(wish) as (session, _):
        session.delete(thread)


@asynccontextmanager
async def _session(wish: Wish) -> AsyncIterator[tuple[Session, Workbench]]:
    """The store, somebody to talk to, and a screen."""
    from dragoman.cli.output import console

    opening = Workbench.open(wish.store, wish.subject, wish.dictionaries, wish.device)
    with opening as bench, closing(Chats(bench.store.ledger.path)) as chats:
        talking = opened(wish.store, wish.model, budget=wish.budget, price=wish.price, seed=wish.seed, bench=bench)
        async with talking as converser:
            screen: Screen = Lines() if wish.json else People(console(), chats.step)
            yield Session(converser, chats, wish.thread or _free(converser), screen), bench


def _free(converser: Converser) -> str:
    """A name that no thread has: chat-1, chat-2 and so on."""
    taken = {one.thread for one in converser.threads()}
    return next(name for number in range(1, len(taken) + 2) if (name := f"chat-{number}") not in taken)
