"""A session: lines are read, asked, shown; Ctrl-C stops an answer and nothing else."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import cast

from dragoman.agents.investigation.events import Event, Stopped
from dragoman.agents.investigation.protocol import Converser
from dragoman.store.chats import Chats, ChatStep
from dragoman.store.display import visible

from .reading import Typed
from .screen import Screen

OWN: Sequence[tuple[str, str]] = (
    ("open", "open E3: all of a stored step"),
    ("threads", "the threads of this store"),
    ("thread", "thread NAME: go on in another one"),
    ("resume", "go on with an answer that was stopped"),
    ("exit", "end; so does Ctrl-D"),
)
"""Words of the session itself, and what they do."""
RECALLED = 4
"""Turns shown again when a thread is taken up."""


class Session:
    """One thread at a time, with one store."""

    def __init__(self, converser: Converser, chats: Chats, thread: str, screen: Screen) -> None:
        self._converser, self._chats, self._screen = converser, chats, screen
        self._interactive = False
        self.thread = thread
        self.refused = False
        """Whether anything that was asked got no answer."""

    def steps(self) -> Sequence[ChatStep]:
        """The stored steps of the thread."""
        id = self._chats.find(self.thread)
        return [] if id is None else self._chats.steps(id)

    def greet(self, said: str, direct: bool) -> None:
        """What stands above the first prompt."""
        how = "Type a command (help lists them)" if direct else "Ask a question"
        self._screen.say(f"{said} {how}; open E3 shows a step, exit ends.")

    def list(self) -> None:
        """Show all threads."""
        self._screen.threads(self._converser.threads())

    def delete(self, thread: str) -> None:
        """Delete a thread. Raises UserError where there is none."""
        self._converser.delete(thread)
        self._screen.say(f"The thread {visible(thread)!r} is deleted.")

    async def run(self, typed: Typed) -> None:
        """Until the user ends it."""
        self._interactive = typed.interactive
        self._recall()
        while (line := await typed.line(f"{visible(self.thread[:30])}> ")) is not None:
            if line.strip() and not await self.heard(line.strip()):
                return

    async def heard(self, line: str) -> bool:
        """Do what a line says; whether to go on."""
        word, _, rest = line.partition(" ")
        if line in ("exit", "quit"):
            return False
        if line == "threads":
            self.list()
        elif line == "resume":
            await self._shown(self._converser.resume(self.thread))
        elif word == "thread" and rest and " " not in rest.strip():
            self.thread = rest.strip()
            self._recall()
        elif word == "open" and re.fullmatch(r"[Ee]?\d{1,9}", rest):
            self._open(int(rest.lstrip("Ee")))
        else:
            await self._shown(self._converser.ask(self.thread, line))
        return True

    def _open(self, number: int) -> None:
        step = next((one for one in self.steps() if one.number == number), None)
        if step is None:
            self._screen.show(Stopped(f"There is no E{number} in this thread: it has {len(self.steps())} steps."))
            self.refused = True
        else:
            self._screen.step(step)

    def _recall(self) -> None:
        if self._interactive:
            self._screen.history(self._converser.history(self.thread)[-RECALLED:])

    async def _shown(self, events: AsyncIterator[Event]) -> None:
        """Show events as they come, until the last one or Ctrl-C."""
        task = asyncio.ensure_future(self._show(events))
        loop = asyncio.get_running_loop()
        if self._interactive:
            with suppress(NotImplementedError):  # Windows: there Ctrl-C ends the session
                loop.add_signal_handler(signal.SIGINT, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            if not task.cancelled() or not self._interactive:
                raise
            self.refused = True
            self._screen.interrupted()
        finally:
            if self._interactive:
                with suppress(NotImplementedError):
                    loop.remove_signal_handler(signal.SIGINT)

    async def _show(self, events: AsyncIterator[Event]) -> None:
        try:
            async for event in events:
                self._screen.show(event)
                if isinstance(event, Stopped):
                    self.refused = True
        finally:
            close = getattr(cast(object, events), "aclose", None)
            if close is not None:
                await close()
