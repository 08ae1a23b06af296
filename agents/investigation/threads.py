"""Threads of a store, whoever talks in them: words and tool calls are in the ledger, and one process at a time works on one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Literal

from dragoman.agents.threads import Checkpoints
from dragoman.store.chats import Chats
from dragoman.store.errors import UserError
from dragoman.store.hashing import row_id
from dragoman.store.locking import is_locked, write_lock

from .events import Event, Stopped
from .protocol import ThreadInfo, Turn
from .records import turns

LOCKS = "locks"
"""Folder inside the store; one lock for each thread that is at work."""
TITLE = 80
"""Characters of a thread's title."""
LONGEST_NAME = 200
"""Characters of a thread's name."""
AT_WORK = "Somebody else is talking in this thread, in another tab or process: wait until it has answered, then say it again."

FOREIGN = (
    "A thread is held either with a language model or as induction, and this one was begun in the other way: "
    "choose another thread, or the other model."
)


class Threads(ABC):
    """What all who can be talked to have in common; see `Converser`."""

    mode = ""
    """How its threads are held: with a language model, or otherwise. A thread is held in one way from beginning to end."""

    def __init__(self, store: Path, chats: Chats, saver: Checkpoints) -> None:
        """store: its folder."""
        self._chats, self._saver, self._locks = chats, saver, store / LOCKS

    @abstractmethod
    def _work(self, id: str, asked: str | None, reply: str | None) -> AsyncGenerator[Event]:
        """Go on with a thread, which nobody else works on meanwhile."""

    def ask(self, thread: str, text: str) -> AsyncIterator[Event]:
        """See `Converser`."""
        return self._alone(thread, text, None)

    def resume(self, thread: str, reply: str | None = None) -> AsyncIterator[Event]:
        """See `Converser`."""
        return self._alone(thread, None, reply)

    def history(self, thread: str) -> Sequence[Turn]:
        """See `Converser`."""
        id = self._chats.find(thread)
        if id is None:
            return ()
        return turns(self._chats.entries(id), {step.number: step for step in self._chats.steps(id)})

    def threads(self) -> Sequence[ThreadInfo]:
        """See `Converser`."""
        found = []
        for row in self._chats.threads():
            waiting: Literal["", "question", "stopped"] = "stopped"
            if row.last in ("answer", "") or is_locked(self._locks, _lock(row.name)):
                waiting = ""
            elif row.last == "question":
                waiting = "question"
            title = " ".join(row.first.split())
            title = title if len(title) <= TITLE else title[: TITLE - 1] + "…"
            found.append(ThreadInfo(row.name, title, row.turns, row.updated, waiting))
        return found

    def delete(self, thread: str) -> None:
        """See `Converser`."""
        id = self._chats.find(thread)
        if id is None:
            raise UserError(f"There is no thread {thread[:TITLE]!r}.")
        try:
            with self._at_work(thread):
                self._saver.delete_thread(checkpoint(id))
                self._chats.delete(id)
        except _Busy:
            busy = f"The thread {thread[:TITLE]!r} is at work in another tab or process: wait until it has ended."
            raise UserError(busy) from None
        (self._locks / _lock(thread)).unlink(missing_ok=True)

    async def _alone(self, thread: str, asked: str | None, reply: str | None) -> AsyncIterator[Event]:
        """Work on a thread, unless somebody else does."""
        refused = _unfit(thread, asked)
        if refused:
            yield Stopped(refused)
            return
        try:
            with self._at_work(thread):
                id = self._chats.find(thread) if asked is None else self._chats.begin(thread)
                if id is None:
                    yield Stopped(f"There is no thread {thread[:TITLE]!r}: ask something to begin it.")
                    return
                if self._foreign(id):
                    yield Stopped(FOREIGN)
                    return
                async with aclosing(self._work(id, asked, reply)) as events:
                    async for event in events:
                        yield event
        except _Busy:
            yield Stopped(AT_WORK)

    def _foreign(self, id: str) -> bool:
        """Whether a thread is held in another way."""
        entries = self._chats.entries(id)
        return bool(entries) and entries[0].content.get("mode", "") != self.mode

    @contextmanager
    def _at_work(self, thread: str) -> Iterator[None]:
        """Hold a thread. Raises _Busy where somebody else does."""
        lock = write_lock(self._locks, _lock(thread), "talks in this thread")
        try:
            lock.__enter__()
        except UserError:
            raise _Busy from None
        try:
            yield
        finally:
            lock.__exit__(None, None, None)


class _Busy(Exception):
    """Somebody else works on the thread."""


def checkpoint(id: str) -> str:
    """A thread's name among the checkpoints, where features under work have others."""
    return f"chat:{id}"


def _unfit(thread: str, asked: str | None) -> str:
    """What is wrong with what was said."""
    if not thread.strip() or len(thread) > LONGEST_NAME:
        return f"A thread's name has 1 to {LONGEST_NAME} characters: choose another one."
    return "Say something first." if asked is not None and not asked.strip() else ""


def _lock(thread: str) -> str:
    return f"chat-{row_id(thread)}.lock"
