"""Progress of a run on stderr: features done, rate, time left, and a short remark."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

EVERY = 10.0
"""Seconds between lines where stderr is not a terminal."""


class Progress:
    """A bar on a terminal, a line every ten seconds elsewhere, nothing when disabled. Use it as a context manager."""

    def __init__(self, what: str, total: int, done: int = 0, enabled: bool = True) -> None:
        self.what, self.total, self.done, self.enabled = what, total, done, enabled
        self.first, self.began, self.spoke = done, time.monotonic(), time.monotonic()
        self.bar: Bar | None = None

    def __enter__(self) -> Progress:
        console = Console(stderr=True)
        if self.enabled and console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TaskProgressColumn())
            self.bar = Bar(*columns, TextColumn("{task.fields[remark]}"), TimeRemainingColumn(), console=console)
            self.bar.start()
            self.task = self.bar.add_task(self.what, total=self.total, completed=self.done, remark="")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.bar:
            self.bar.stop()
        elif self.enabled and self.done > self.first:
            self._say()

    def advance(self, remark: str = "") -> None:
        """One more is done."""
        self.done += 1
        if self.bar:
            self.bar.update(self.task, completed=self.done, remark=f"{self._rate():.1f}/s {remark}")
        elif self.enabled and time.monotonic() - self.spoke > EVERY:
            self._say(remark)

    def _rate(self) -> float:
        return (self.done - self.first) / max(1e-9, time.monotonic() - self.began)

    def _say(self, remark: str = "") -> None:
        self.spoke = time.monotonic()
        left = (self.total - self.done) / max(1e-9, self._rate())
        text = f"{self.what}: {self.done} of {self.total}, {self._rate():.1f} a second, {left:.0f} s left"
        print(text + (f", {remark}" if remark else ""), file=sys.stderr)
