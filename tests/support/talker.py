"""Somebody to talk to whose words are written beforehand, and who waits where a test wants it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from dragoman.agents.investigation.events import Answer, Called, Citation, Event, Question, Returned, Said, Statement, Stopped
from dragoman.agents.investigation.protocol import Converser, ThreadInfo, Turn
from dragoman.store.errors import UserError

Script = Callable[[str], Sequence[Event | float]]
"""What is said to a text; numbers are seconds to wait."""


class Talker:
    """A `Converser` without a model or a store."""

    def __init__(self, script: Script) -> None:
        """script: says what is answered."""
        self._script = script
        self._turns: dict[str, list[Turn]] = {}
        self.stopped: list[str] = []
        """Threads whose work was cancelled."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Converser]:
        """As applications open it."""
        yield self

    async def ask(self, thread: str, text: str) -> AsyncIterator[Event]:
        """See `Converser`."""
        async for event in self._said(thread, text, text):
            yield event

    async def resume(self, thread: str, reply: str | None = None) -> AsyncIterator[Event]:
        """See `Converser`."""
        async for event in self._said(thread, reply, reply or "(goes on)"):
            yield event

    def history(self, thread: str) -> Sequence[Turn]:
        """See `Converser`."""
        return tuple(self._turns.get(thread, ()))

    def threads(self) -> Sequence[ThreadInfo]:
        """See `Converser`."""
        return [
            ThreadInfo(name, turns[0].text[:60], sum(turn.role == "user" for turn in turns), "2026-01-31T12:00:00+00:00")
            for name, turns in reversed(self._turns.items())
            if turns
        ]

    def delete(self, thread: str) -> None:
        """See `Converser`."""
        if self._turns.pop(thread, None) is None:
            raise UserError(f"There is no thread {thread}.")

    async def _said(self, thread: str, text: str | None, key: str) -> AsyncIterator[Event]:
        turns = self._turns.setdefault(thread, [])
        if text is not None:
            turns.append(Turn("user", text))
        events: list[Event] = []
        try:
            for one in self._script(key):
                if isinstance(one, int | float):
                    await asyncio.sleep(one)
                else:
                    events.append(one)
                    yield one
        except asyncio.CancelledError:
            self.stopped.append(thread)
            events.append(Stopped("It was stopped."))
            raise
        finally:
            turns.append(Turn("assistant", "", tuple(events)))


def script(words: str = "birds", pause: float = 0.0) -> Script:
    """Answers with a step, a claim that cites it and one that cites nothing; asks before what is `expensive`; never ends what is
    `endless`. words stand wherever a model could put them."""

    def said(text: str) -> Sequence[Event | float]:
        if "endless" in text:
            return [Said("I begin"), 600.0]
        if "expensive" in text:
            return [Said("Let me see. "), Question(f"Shall I run the {words}?", "about 40,000 tokens")]
        if "refused" in text:
            return [Stopped(f"The model would not: {words}")]
        if "broken" in text:
            raise KeyError(words)
        return [
            Said("I look at "),
            pause,
            Said(f"{words}. "),
            Called("E1", "run_texts", {"texts": [words]}),
            pause,
            Returned("E1", "run_texts", f"It fires on {words}.", False, "row1"),
            Said("It fires "),
            pause,
            Said("on it."),
            Answer(
                (
                    Statement(f"It fires on {words}.", (Citation("step", "row1", "E1"),), conjecture=False),
                    Statement(f"Perhaps it likes {words}.", because="it cites nothing"),
                    Statement("An old label agrees.", (Citation("label", "l/1", "label"),), conjecture=False),
                )
            ),
        ]

    return said
