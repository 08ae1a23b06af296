"""One answer under way without a language model: tools are called, each call is a stored step, statements cite them.

The work runs beside whoever reads its events and waits for them: no tool runs before the event ahead of it was taken.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any

from dragoman.store.chats import Chats, ChatStep, step_id
from dragoman.store.errors import ToolError, UserError
from dragoman.tools.toolbox import Tell, Toolbox, ToolResult

from .events import Answer, Called, Citation, Event, Returned, Statement, Stopped

log = logging.getLogger(__name__)
Run = Callable[[Tell], ToolResult]
"""Does something; is given what to tell how far it has got."""


class Abandoned(Exception):
    """Nobody waits for a step any more."""


class Found(dict[str, Any]):
    """What a step found, with the citation of the step."""

    def __init__(self, data: Mapping[str, Any], text: str, citation: Citation) -> None:
        super().__init__(data)
        self.text, self.citation = text, citation


class Work:
    """One answer to one line of a thread."""

    def __init__(self, thread: str, turn: int, toolbox: Toolbox, chats: Chats) -> None:
        """thread: its id; turn: which question of the user this answers."""
        self.thread, self.turn, self.toolbox, self._chats = thread, turn, toolbox, chats
        self._steps = max((step.number for step in chats.steps(thread)), default=0)
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._taken = asyncio.Semaphore(0)
        self._statements: list[Statement] = []

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Found:
        """Call a tool. Raises ToolError where it cannot be called so; the step is kept all the same."""
        return await self.step(tool, arguments, lambda tell: self.toolbox.call(tool, arguments, tell))

    async def step(self, tool: str, arguments: Mapping[str, Any], run: Run) -> Found:
        """The same for something that is no tool of the toolbox, under a name of its own."""
        self._steps += 1
        name = f"E{self._steps}"
        await self._tell(Called(name, tool, arguments))
        try:
            result = await self._ran(tool, run)
        except (ToolError, UserError) as error:
            row = self._keep(tool, arguments, ToolResult(str(error), {}), failed=True)
            await self._tell(Returned(name, tool, str(error), True, row))
            raise ToolError(str(error)) from error
        row = self._keep(tool, arguments, result)
        await self._tell(Returned(name, tool, result.text, False, row))
        return Found(result.data, result.text, Citation("step", row, name))

    async def _ran(self, tool: str, run: Run) -> ToolResult:
        """Run it in a thread; it ends where it can be ended once nobody waits for it."""
        over = threading.Event()

        def tell(done: int, total: int, words: str) -> None:
            if over.is_set():
                raise Abandoned

        try:
            return await asyncio.to_thread(run, tell)
        except (ToolError, UserError):
            raise
        except Exception as error:
            log.exception("%s failed", tool)
            raise ToolError(f"{tool} failed for a reason that should not have been ({type(error).__name__}).") from error
        finally:
            over.set()

    def _keep(self, tool: str, arguments: Mapping[str, Any], result: ToolResult, failed: bool = False) -> str:
        """Write the step into the ledger; returns the id of its row."""
        id = step_id(self.thread, self._steps)
        data = None if failed else result.data
        row = ChatStep(
            id, self.thread, self._steps, tool, dict(arguments), result.text, data, failed, result.forwarded, result.read
        )
        self._chats.add_step(row, self.turn)
        return id

    def say(self, text: str, *on: Found | Citation, conjecture: str | None = None, heading: bool = False) -> None:
        """Add a statement that rests on these steps. Where it goes beyond them, `conjecture` says why; with neither it is marked.

        heading: it says nothing about the model.
        """
        citations = tuple(dict.fromkeys(one.citation if isinstance(one, Found) else one for one in on))
        guessed = not heading and (conjecture is not None or not citations)
        self._statements.append(Statement(text, citations, guessed, conjecture or ""))

    async def events(self, work: Callable[[Work], Awaitable[None]]) -> AsyncGenerator[Event]:
        """Do some work and give its events; the last is the answer, or why there is none. Closing it ends the work."""
        task = asyncio.create_task(self._done(work))
        try:
            while (event := await self._events.get()) is not None:
                yield event
                self._taken.release()
            await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _done(self, work: Callable[[Work], Awaitable[None]]) -> None:
        try:
            await work(self)
            self._events.put_nowait(Answer(tuple(self._statements)))
        except (ToolError, UserError) as error:
            self._events.put_nowait(Stopped(str(error)))
        finally:
            self._events.put_nowait(None)

    async def _tell(self, event: Event) -> None:
        self._events.put_nowait(event)
        await self._taken.acquire()
