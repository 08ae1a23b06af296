"""What the user types: a prompt with history and completion on a terminal, plain lines from anything else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from prompt_toolkit.completion import Completer
    from prompt_toolkit.history import History

HISTORY = "chat.history"
"""File in the store's folder that keeps what was typed."""


class Typed(Protocol):
    """Where lines come from."""

    @property
    def interactive(self) -> bool:
        """Whether somebody sits there, who can be asked and can stop an answer."""
        ...

    async def line(self, prompt: str) -> str | None:
        """The next line; empty where the user thought better of it, None at the end."""
        ...


class Prompted:
    """A terminal: history from earlier sessions, completion, several lines when pasted."""

    interactive = True

    def __init__(self, store: Path, completer: Completer) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.auto_suggest import AutoSuggestFromHistory

        self._session: PromptSession[str] = PromptSession(
            history=_history(store / HISTORY),
            completer=completer,
            auto_suggest=AutoSuggestFromHistory(),
            complete_while_typing=True,
        )

    async def line(self, prompt: str) -> str | None:
        """The next line; Ctrl-C empties it, Ctrl-D ends."""
        try:
            return await self._session.prompt_async(prompt)
        except KeyboardInterrupt:
            return ""
        except EOFError:
            return None


class Piped:
    """Anything but a terminal: a line at a time, no prompt."""

    interactive = False

    def __init__(self, source: Callable[[], Iterator[str]] = lambda: iter(sys.stdin)) -> None:
        self._lines = source()

    async def line(self, prompt: str) -> str | None:
        """The next line that holds anything."""
        return next((line.rstrip("\r\n") for line in self._lines if line.strip()), None)


def _history(file: Path) -> History:
    """What was typed before, in a file that only its owner reads; in memory where the store cannot be written to."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    try:
        file.touch(mode=0o600, exist_ok=True)
    except OSError:
        return InMemoryHistory()
    return FileHistory(file)
