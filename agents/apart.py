"""Work on an event loop of its own, in a thread of its own, for servers whose event loop nothing may block.

A campaign owns its event loop, and writes the ledger from it: a row takes microseconds, handing it to a thread and back takes
longer. In somebody else's server the same steps run here instead, and the server's loop only waits for them.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from dragoman.store.errors import UserError

T = TypeVar("T")
ALLOWED = ("dragoman/agents/apart.py", ("_live",))
"""File and function in which, and in whatever they call, blocking is allowed."""


class Refused(UserError, ValueError):
    """A UserError, as LangGraph's server shows it: of exceptions that are not Python's own it hides the words."""


class Apart(Generic[T]):
    """Somebody whose methods are steps of a graph, who lives on an event loop apart from the one that runs the graph.

    The context manager that gives them is entered at the first step, and left with this one, on the loop apart; it is told how
    the block ended. A UserError comes out as `Refused`.
    """

    def __init__(self, manager: AbstractAsyncContextManager[T]) -> None:
        """Nothing is opened yet."""
        self._manager = manager
        self._begun = False
        self._opened: Future[T] = Future()
        self._stop: Future[None] = Future()
        self._over: Future[None] = Future()
        self._loop: asyncio.AbstractEventLoop
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self._begun:
            return
        if error is None:
            self._stop.set_result(None)
        else:
            self._stop.set_exception(error)
        over = asyncio.wrap_future(self._over)
        await asyncio.wait((over,))
        failed = over.exception()
        if failed is not None and error is None and self._opened.exception() is None:
            raise failed

    def node(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """The step of this name, done by whoever lives here, in the context in which it is asked for."""

        @functools.wraps(step)
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            try:
                opened = await self._open()
                work = self._tracked(getattr(opened, step.__name__), *args, **kwargs)
                return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))
            except Refused:
                raise
            except UserError as error:
                raise Refused(str(error)) from error

        return wrapped

    async def _open(self) -> T:
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._live, name="apart", daemon=True).start()
        return await asyncio.shield(asyncio.wrap_future(self._opened))

    def _live(self) -> None:
        try:
            _allow_blocking()
            asyncio.run(self._serve())
        except BaseException as error:
            if not self._opened.done():
                self._opened.set_exception(error)
            self._over.set_exception(error)
        else:
            self._over.set_result(None)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with self._manager as opened:
            self._opened.set_result(opened)
            try:
                await asyncio.wrap_future(self._stop)
            finally:
                await asyncio.gather(*self._tasks, return_exceptions=True)  # those that were cancelled

    async def _tracked(self, step: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            return await step(*args, **kwargs)
        finally:
            self._tasks.discard(task)


def _allow_blocking() -> None:
    """Tell LangGraph's check for blocking calls that `Apart._live` may block.

    The check (blockbuster, in `langgraph dev`) takes every thread with an event loop for the server's. This one is not: what
    blocks here keeps nobody waiting but the run whose loop it is. On the server's loop the check stays as it is.
    """
    blockbuster = sys.modules.get("blockbuster")
    if blockbuster is None:
        return
    for check in gc.get_objects():  # the server keeps it to itself
        if type(check) is blockbuster.BlockBuster:
            for function in check.functions.values():
                if ALLOWED not in function.can_block_functions:
                    function.can_block_in(*ALLOWED)
