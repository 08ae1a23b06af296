"""Conversations that go on in the server: a browser that goes away loses nothing, and any number of tabs can follow."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress

from dragoman.agents.investigation.events import Event, Said, Stopped
from dragoman.agents.investigation.protocol import Converser
from dragoman.store.errors import UserError

SILENCE = 15.0
"""Seconds after which a follower is told that nothing has happened."""
LEAVE = 5.0
"""Seconds that work has to end when it is stopped."""
LONGEST = 200_000
"""Characters of streamed text that are kept for followers; the finished answer is in the thread all the same."""
Opening = Callable[[], AbstractAsyncContextManager[Converser]]
"""Opens somebody to talk to."""
log = logging.getLogger(__name__)


class Talk:
    """What is said in a thread since the user spoke last."""

    def __init__(self, thread: str, said: str | None, before: int) -> None:
        """
        Args:
            thread: its id.
            said: what the user said; None where the thread only goes on.
            before: turns that were there before.
        """
        self.thread, self.said, self.before = thread, said, before
        self.events: list[Event] = []
        """What has come so far."""
        self.over = False
        """Whether nothing more comes."""
        self.trouble = ""
        """What went wrong that the thread does not know of."""
        self.task: asyncio.Task[None] | None = None
        """Who works on it."""
        self._room = LONGEST
        self._changed = asyncio.Event()

    async def work(self, events: AsyncIterator[Event]) -> None:
        """Take in everything that comes."""
        try:
            async for event in events:
                if isinstance(event, Said):
                    self._room -= len(event.text)
                    if self._room < 0:
                        continue
                self.events.append(event)
                self._tell()
            if self.events and isinstance(self.events[-1], Stopped):
                self.trouble = self.events[-1].reason
        except asyncio.CancelledError:
            log.info("a conversation was stopped")
        except UserError as error:
            self.trouble = str(error)
        except Exception as error:
            log.exception("a conversation failed")
            self.trouble = f"Something went wrong that should not have ({type(error).__name__}): the log of this store says more."
        finally:
            close = getattr(events, "aclose", None)
            if close is not None:
                with suppress(Exception):
                    await close()
            self.over = True
            self._tell()

    async def follow(self, after: int = 0) -> AsyncIterator[tuple[int, Event] | None]:
        """Events from number `after` on as they come, with their numbers, until it is over; None where nothing has happened."""
        while True:
            while after < len(self.events):
                yield after, self.events[after]
                after += 1
            if self.over:
                return
            try:
                await asyncio.wait_for(self._changed.wait(), SILENCE)
            except TimeoutError:
                yield None

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Talks:
    """All conversations of a server. Opens whom it talks to when the first one begins."""

    def __init__(self, opening: Opening) -> None:
        """opening: opens somebody to talk to; what it raises is told to whoever asked, and tried again by the next."""
        self._opening = opening
        self._talks: dict[str, Talk] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._converser: asyncio.Future[Converser] | None = None
        self._leave = asyncio.Event()

    async def converser(self) -> Converser:
        """Whom one talks to. Raises UserError where that cannot be opened."""
        if self._converser is None:
            self._converser = asyncio.get_running_loop().create_future()
            self._keeper = asyncio.create_task(self._keep(self._converser))
        return await asyncio.shield(self._converser)

    def talk(self, thread: str) -> Talk | None:
        """The latest of a thread; None where nothing was said since the server began."""
        return self._talks.get(thread)

    def busy(self, thread: str) -> bool:
        """Whether a thread is at work here."""
        talk = self._talks.get(thread)
        return talk is not None and not talk.over

    async def say(self, thread: str, text: str) -> Talk:
        """Say something in a thread. Raises UserError where it is at work."""
        converser = await self.converser()
        return self._begin(converser, thread, text, lambda: converser.ask(thread, text))

    async def resume(self, thread: str, reply: str | None) -> Talk:
        """Answer a question, or let a thread go on. Raises UserError where it is at work."""
        converser = await self.converser()
        return self._begin(converser, thread, reply, lambda: converser.resume(thread, reply))

    async def stop(self, thread: str) -> None:
        """End the work on a thread; it can be resumed."""
        talk = self._talks.get(thread)
        if talk is not None and talk.task is not None and not talk.over:
            talk.task.cancel()
            await asyncio.wait([talk.task], timeout=LEAVE)

    async def delete(self, thread: str) -> None:
        """Remove a thread. Raises UserError where it is at work, or not there."""
        if self.busy(thread):
            raise UserError("This thread is at work: stop it first, then delete it.")
        (await self.converser()).delete(thread)
        self._talks.pop(thread, None)

    async def close(self) -> None:
        """End all work, and close whom one talks to."""
        await asyncio.gather(*(self.stop(thread) for thread in list(self._talks)))
        self._leave.set()
        if self._keeper is not None:
            await asyncio.wait([self._keeper], timeout=LEAVE)

    def _begin(self, converser: Converser, thread: str, said: str | None, work: Callable[[], AsyncIterator[Event]]) -> Talk:
        if self.busy(thread):
            raise UserError("This thread is at work, perhaps in another tab: wait until it has answered, or stop it.")
        talk = Talk(thread, said, len(converser.history(thread)))
        self._talks[thread] = talk
        talk.task = asyncio.create_task(talk.work(work()))
        return talk

    async def _keep(self, opened: asyncio.Future[Converser]) -> None:
        """Hold it open: a task of its own, because what is opened in a task has to be closed in it."""
        try:
            async with self._opening() as converser:
                opened.set_result(converser)
                await self._leave.wait()
        except Exception as error:
            if opened.done():
                log.exception("closing a conversation failed")
                return
            self._converser = None
            if not isinstance(error, UserError):
                log.exception("nobody could be opened to talk to")
            opened.set_exception(error)
