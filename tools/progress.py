"""The harvest's progress on stderr: projected size, then tokens a second and time left."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from .projection import Projection


class _Rate(ProgressColumn):
    """Tokens a second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f} tokens/s")


class Progress:
    """A bar that fills with tokens; silent when `show` is false."""

    def __init__(self, show: bool, projection: Projection, done: int) -> None:
        console = Console(file=sys.stderr, quiet=not show)
        console.print(str(projection), highlight=False)
        if done:
            console.print(f"Going on after {done:,} tokens.", highlight=False)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
        )
        self._bar = Bar(*columns, console=console, disable=not show)
        self._task = self._bar.add_task("harvest", total=projection.tokens, completed=done)

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def advance(self, tokens: int) -> None:
        """So many more tokens are done."""
        self._bar.advance(self._task, tokens)

    def say(self, what: str) -> None:
        """Name the step that runs now."""
        self._bar.update(self._task, description=what)
