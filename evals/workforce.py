"""Worker processes for one item at a time, of which none can take the run down with it.

1. Every worker is a fresh process (spawned: safe with DuckDB and torch) that calls `setup` once and then `function(item)`.
2. The parent gives each idle worker one item and yields (item, outcome) as they come back; the caller records it and comes back
   for the next, so that one process alone writes.
3. An exception becomes `Failed`. A worker that dies is replaced; its item is tried once more, then it is `Failed` too.
4. When the parent dies, however suddenly, the workers see their pipe closed and leave.

Not covered: an item that never ends. Give the function its own limit where that can happen.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from dragoman.store.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

TRIES = 2
"""How often an item is given to a worker before a dying worker is blamed on it."""


@dataclass(frozen=True)
class Done(Generic[Result]):
    """The function returned."""

    value: Result
    """What it returned."""


@dataclass(frozen=True)
class Failed:
    """The function raised, or its process died."""

    reason: str
    """One line for the ledger."""
    trace: str = ""
    """Traceback for the log."""


def work(
    items: Iterable[Item], setup: Callable[[], Callable[[Item], Result]], workers: int
) -> Iterator[tuple[Item, Done[Result] | Failed]]:
    """Apply the function that `setup` returns to every item, in `workers` processes (0: in this one), in order of completion.

    `setup` must be picklable. Raises UserError when `setup` does in a worker, and RuntimeError on any other failure of it.
    """
    if workers == 0:
        function = setup()
        for item in items:
            yield item, _attempt(function, item)
        return
    waiting = deque((item, 1) for item in items)
    crew: list[_Worker] = []
    try:
        while waiting or crew:
            while waiting and len(crew) < workers:
                crew.append(_Worker(setup, *waiting.popleft()))
            ready = wait([worker.connection for worker in crew])
            for worker in [worker for worker in crew if worker.connection in ready]:
                outcome = worker.receive()
                if outcome is None:
                    crew.remove(worker)
                    reason = worker.end()
                    if worker.tries < TRIES:
                        waiting.appendleft((worker.item, worker.tries + 1))
                    else:
                        yield worker.item, Failed(reason)
                    continue
                finished = worker.item
                if waiting:
                    worker.give(*waiting.popleft())
                else:
                    crew.remove(worker)
                    worker.end()
                yield finished, outcome
    finally:
        for worker in crew:
            worker.kill()


class _Worker:
    """A process, the parent's end of its pipe, and the item it has."""

    def __init__(self, setup: Callable[[], Callable[[Any], Any]], item: Any, tries: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs, setup), daemon=True)
        with _one_thread():
            self.process.start()
        theirs.close()
        self.give(item, tries)

    def give(self, item: Any, tries: int) -> None:
        self.item, self.tries = item, tries
        with suppress(BrokenPipeError):  # a worker that is dead already is noticed when its answer is awaited
            self.connection.send(item)

    def receive(self) -> Done[Any] | Failed | None:
        """The outcome of the item; None when the process is gone."""
        try:
            answer = self.connection.recv()
        except (EOFError, ConnectionResetError):
            return None
        if isinstance(answer, (Done, Failed)):
            return answer
        self.kill()
        raise answer

    def end(self) -> str:
        """Let the process go and say how it went."""
        self.connection.close()
        self.process.join()
        code = self.process.exitcode or 0
        return f"its process was killed by signal {-code}" if code < 0 else f"its process ended with code {code}"

    def kill(self) -> None:
        self.process.kill()
        self.end()


def _serve(connection: Connection, setup: Callable[[], Callable[[Any], Any]]) -> None:
    """A worker's life: Ctrl-C is the parent's business, and a closed pipe means that it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            function = setup()
        except Exception as error:
            connection.send(error if isinstance(error, UserError) else RuntimeError(traceback.format_exc()))
            return
        while True:
            connection.send(_attempt(function, connection.recv()))


def _attempt(function: Callable[[Item], Result], item: Item) -> Done[Result] | Failed:
    try:
        return Done(function(item))
    except Exception as error:
        return Failed(f"{type(error).__name__}: {error}".splitlines()[0][:300], traceback.format_exc())


@contextmanager
def _one_thread() -> Iterator[None]:
    """Processes started inside use one thread each: the numeric libraries read these variables when they are imported."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
