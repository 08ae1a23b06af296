"""Somebody one can talk to about a store: a language model with the tools, or direct commands without a model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from .events import Event


@dataclass(frozen=True)
class Turn:
    """Something said in a thread."""

    role: Literal["user", "assistant"]
    """Who said it."""
    text: str
    """The words; of an assistant, those of its answer, question or reason to stop."""
    events: tuple[Event, ...] = ()
    """Of an assistant: everything that `ask` or `resume` yielded, pieces of text put together."""


@dataclass(frozen=True)
class ThreadInfo:
    """A thread, for a list."""

    thread: str
    """Its id, as `ask` takes it."""
    title: str
    """The first thing that was asked, shortened."""
    turns: int
    """How often the user spoke."""
    updated: str
    """UTC time of the last change, as 2026-01-31T12:00:00+00:00; empty where it is not known."""
    waiting: Literal["", "question", "stopped"] = ""
    """Whether it waits for a reply to a question, or stopped before its answer was finished (`resume` goes on)."""


class Converser(Protocol):
    """Threads of questions and answers about one store.

    `ask` and `resume` are asynchronous generators: what they yield is shown as it comes, and the work goes on only while they are
    read. Closing one (`aclose`, or cancelling who reads it) stops the work; the thread stays as far as it came and can be
    resumed. They raise nothing that a user could cause: that comes as `Stopped`. All methods are called in one event loop.
    """

    def ask(self, thread: str, text: str) -> AsyncIterator[Event]:
        """Say something in a thread, which is made where there is none.

        Where the thread waits for a reply to a `Question`, this is the reply. Where another tab or process is at work on the
        same thread, `Stopped` says so and nothing is changed.
        """
        ...

    def resume(self, thread: str, reply: str | None = None) -> AsyncIterator[Event]:
        """Answer a `Question` (yes, no, or words), or without a reply go on where a thread was left or killed."""
        ...

    def history(self, thread: str) -> Sequence[Turn]:
        """What was said so far; empty where there is no such thread."""
        ...

    def threads(self) -> Sequence[ThreadInfo]:
        """All threads, the last changed first."""
        ...

    def delete(self, thread: str) -> None:
        """Remove a thread; nothing of it stays. Raises UserError where there is none, or where it is at work."""
        ...
