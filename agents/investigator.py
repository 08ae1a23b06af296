"""The investigator: a chat agent that answers questions about a model with experiments that were run.

A thread is a LangGraph thread (investigation/conversation.py): it is checkpointed after every step in `threads.sqlite`, its words
and tool calls are in the ledger, and it goes on where a killed process left it. One process at a time works on a thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command, Interrupt

from dragoman.evals.gateway.budget import Budget
from dragoman.evals.gateway.calls import Unanswered
from dragoman.evals.gateway.gateway import Gateway
from dragoman.evals.gateway.models import Model, model_named
from dragoman.evals.gateway.prices import price_from
from dragoman.store.chats import Chats
from dragoman.store.errors import UserError
from dragoman.tools.toolbox import Desk, Toolbox
from dragoman.tools.workbench import Workbench

from .chat import GatewayChat
from .investigation.conversation import MOST_ROUNDS, Conversation
from .investigation.costs import ASK_OVER
from .investigation.direct import Direct
from .investigation.events import Event, Stopped
from .investigation.prompting import instructions
from .investigation.protocol import Converser
from .investigation.records import question_from
from .investigation.threads import Threads, checkpoint
from .models import is_induction
from .threads import Checkpoints, threads

WORDS = 2000
"""Tokens of a reply at most."""
PATIENCE = 60.0
"""Seconds that a server may stay away before the user is told."""
DEEPEST = 40 * MOST_ROUNDS
"""Steps of the graph for one question."""
log = logging.getLogger(__name__)


class Investigator(Threads):
    """A language model with the tools, for one store; see `Converser`. Use `opened`."""

    def __init__(
        self,
        bench: Workbench,
        model: Model,
        chats: Chats,
        saver: Checkpoints,
        *,
        budget: Budget,
        seed: int,
        ask_over: int | None,
        patience: float,
    ) -> None:
        """See `opened`."""
        super().__init__(bench.store.path, chats, saver)
        self._bench, self._model = bench, model
        self._budget, self._seed, self._ask_over = budget, seed, ask_over
        self._patience = patience
        self._desk = Desk.of(bench)
        self._checked = False

    async def _work(self, id: str, asked: str | None, reply: str | None) -> AsyncGenerator[Event]:
        """Go on with a thread until it has answered, asks, or cannot go on; why it cannot is written down."""
        try:
            async with self._conversation(id) as conversation:
                graph = conversation.graph().compile(checkpointer=self._saver)
                config: RunnableConfig = {"configurable": {"thread_id": checkpoint(id)}, "recursion_limit": DEEPEST}
                known = await graph.aget_state(config)
                broken = [task.id for task in known.tasks if task.error or self._was_answered(id, task.interrupts)]
                if broken:
                    self._saver.undo(checkpoint(id), broken)
                    known = await graph.aget_state(config)
                waiting = [question_from(one.value) for task in known.tasks for one in task.interrupts]
                given: Any = None
                if waiting and (said := reply if asked is None else asked) is not None:
                    given = Command(resume=said)
                elif waiting:
                    yield waiting[0]
                    return
                elif asked is not None:
                    given = {"asked": asked}
                elif reply is not None or not known.tasks:
                    yield Stopped("This thread waits for nothing: ask something.")
                    return
                stream = graph.astream(given, config, stream_mode="custom", durability="sync")
                async with aclosing(cast(AsyncGenerator[Event], stream)) as events:
                    async for event in events:
                        yield event
                known = await graph.aget_state(config)
                for task in known.tasks:
                    for one in task.interrupts:
                        yield question_from(one.value)
            self._saver.forget(checkpoint(id))
        except (Unanswered, UserError) as error:
            yield self._stopped(id, _sentence(str(error)))
        except Exception as error:
            log.exception("a chat failed")
            yield self._stopped(id, f"Something went wrong that should not have ({type(error).__name__}); the log says more.")

    @asynccontextmanager
    async def _conversation(self, id: str) -> AsyncIterator[Conversation]:
        """A thread with its model and tools. Raises UserError where the model cannot be asked."""
        if not self._checked:
            await self._model.check()
            self._checked = True
        desk, ledger = self._desk, self._bench.store.ledger
        trails: list[Any] = []

        def note(content: dict[str, Any]) -> None:
            from dragoman.store.trails import Trails

            if not trails:
                trails.append(Trails(ledger.path))
            trails[0].add_note(id, -1, str(content["text"]))

        toolbox = Toolbox(desk, id, None, seed=self._seed, note=note, other_runs=True)
        subject = self._bench.store.subject
        names = [spec.name for spec in toolbox.specs]
        system = await asyncio.to_thread(instructions, desk, Path(subject.name).name, subject.layers, names)
        try:
            patience = self._patience
            async with Gateway(ledger, id, self._seed, self._budget, patience=patience, backoff=patience / 120) as gateway:
                chat = GatewayChat(gateway=gateway, model=self._model, max_tokens=WORDS)
                yield Conversation(id, self._chats, chat, toolbox, system, self._ask_over, desk.train.id)
        finally:
            for one in trails:
                one.close()

    def _was_answered(self, id: str, interrupts: Sequence[Interrupt]) -> bool:
        """Whether the user has replied already to what a task waits for: it was killed after that."""
        return any(self._chats.reply(id, one.value["number"]) is not None for one in interrupts)

    def _stopped(self, id: str, reason: str) -> Stopped:
        """Put on record why a thread went no further."""
        entries = self._chats.entries(id)
        if entries:
            self._chats.add(id, entries[-1].turn, "stopped", uuid4().hex, {"reason": reason})
        return Stopped(reason)


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
    ask_over: int | None = ASK_OVER,
    patience: float = PATIENCE,
) -> AsyncIterator[Converser]:
    """Somebody to talk to about a store, in this event loop.

    Args:
        store: its folder.
        model: the language model by name, as for other commands; induction takes direct commands without one.
        budget: of each thread, over all processes; by default none.
        price: US dollars a million tokens (PROMPT,CACHED,REPLY), where the list of prices does not know the model.
        seed: of everything that tools draw at random.
        subject, dictionaries, device: where the store's own model and dictionaries are now, as `Workbench.open` takes them.
        bench: the store, open already; it stays the caller's to close, and what runs its model holds its lock.
        ask_over: tokens through the store's model above which a tool call is asked about first; None never asks.
        patience: seconds that the model's server may stay away before the conversation stops.

    Raises:
        UserError: there is no such store or model. That its server is away is said in the conversation.
    """
    named = None if is_induction(model) else model_named(model, price=price_from(price) if price else None)
    own = None if bench is not None else Workbench.open(store, subject, dictionaries, device)
    used = bench or own
    assert used is not None
    try:
        chats = Chats(used.store.ledger.path)
        try:
            async with threads(used.store.path) as saver:
                if named is None:
                    yield Direct(used, chats, saver, seed)
                    return
                yield Investigator(
                    used, named, chats, saver, budget=budget or Budget(), seed=seed, ask_over=ask_over, patience=patience
                )
        finally:
            chats.close()
    finally:
        if own is not None:
            own.store.close()


def _sentence(reason: str) -> str:
    """A reason as a sentence."""
    said = reason[:1].upper() + reason[1:]
    return said if said.endswith((".", "!", "?")) else said + "."
