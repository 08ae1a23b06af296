"""Training's progress on stderr: tokens, loss, variance explained, features active and dead, time left."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from .log import Logged
from .settings import Settings


class TrainingBar:
    """A bar that fills with tokens; give its `show` to `train`. With several dictionaries the figures are their means."""

    def __init__(self, settings: Settings, show: bool) -> None:
        console = Console(file=sys.stderr, quiet=not show)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), TextColumn("{task.fields[figures]}"))
        self._bar = Progress(*columns, TimeRemainingColumn(), console=console, disable=not show)
        self._task = self._bar.add_task("reading activations", total=settings.steps * settings.batch, figures="")

    def __enter__(self) -> TrainingBar:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def show(self, lines: Sequence[Logged]) -> None:
        """The newest line of each dictionary's log."""
        loss, unexplained, active, dead = (
            sum(getattr(line, name) for line in lines) / len(lines) for name in ("loss", "unexplained", "active", "dead")
        )
        figures = f"loss {loss:.4f}  explained {1 - unexplained:.2%}  L0 {active:.1f}  dead {dead:.1%}"
        self._bar.update(self._task, description="training", completed=lines[0].tokens, figures=figures)
