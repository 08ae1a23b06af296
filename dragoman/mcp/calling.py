"""Calls of tools, in threads, so that the server answers while one runs: with progress, and an end when nobody waits any more.

Tools that run the model go one after the other, because the model's lock lets no more; those that read the store go side by side.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from dragoman.store.errors import ToolError
from dragoman.tools.toolbox import Toolbox, ToolResult, registry

READERS = 3
"""Calls that read the store side by side."""
MOST_LOGGED = 2_000
"""Characters of a call's arguments in the log."""
Progress = tuple[int, int, str]
"""How much is done, of how much, and a few words."""
Result = TypeVar("Result")
log = logging.getLogger(__name__)


class Abandoned(Exception):
    """Nobody waits for the result any more."""


class Caller:
    """Runs tools and other reads of the store for one event loop."""

    def __init__(self, toolbox: Toolbox) -> None:
        """toolbox: the tools."""
        self.toolbox = toolbox
        self._model = ThreadPoolExecutor(1, "mcp-model")
        self._store = ThreadPoolExecutor(READERS, "mcp-store")
        self._ended = threading.Event()

    async def call(self, name: str, arguments: Mapping[str, Any], tell: Callable[[Progress], Awaitable[None]]) -> ToolResult:
        """Call a tool; `tell` is told how far it has got. Where the waiting task is cancelled, a search ends at its next round,
        and a call that waits for its turn is never made.

        Raises ToolError as the toolbox does, also where something went wrong that should not have.
        """
        tool = registry().get(name)
        pool = self._store if tool is None or tool.needs == "store" else self._model
        loop, over = asyncio.get_running_loop(), threading.Event()
        steps: asyncio.Queue[Progress | None] = asyncio.Queue()

        def step(done: int, total: int, words: str) -> None:
            if over.is_set() or self._ended.is_set():
                raise Abandoned
            loop.call_soon_threadsafe(steps.put_nowait, (done, total, words))

        future = loop.run_in_executor(pool, lambda: self._logged(name, arguments, step))
        future.add_done_callback(lambda _: steps.put_nowait(None))
        try:
            while (now := await steps.get()) is not None:
                await tell(now)
            return await future
        finally:
            over.set()
            future.cancel()

    async def read(self, work: Callable[[], Result]) -> Result:
        """Run a read of the store in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._store, work)

    def close(self) -> None:
        """Take no more calls, end those that can be ended, and wait for the others: they read the store."""
        self._ended.set()
        for pool in (self._model, self._store):
            pool.shutdown(wait=True, cancel_futures=True)

    def _logged(self, name: str, arguments: Mapping[str, Any], step: Callable[[int, int, str], None]) -> ToolResult:
        began, said = time.monotonic(), json.dumps(arguments, default=str)[:MOST_LOGGED]
        outcome = "failed"
        try:
            result = self.toolbox.call(name, arguments, step)
            outcome = f"{len(result.text):,} characters, {result.forwarded:,} tokens forwarded, {result.read} examples read"
            return result
        except ToolError as error:
            outcome = f"refused: {error}"
            raise
        except Abandoned:
            outcome = "abandoned"
            raise
        except Exception as error:
            log.exception("%s failed", name[:200])
            raise ToolError(
                f"{name} failed for a reason that should not have been ({type(error).__name__}); the server's log says more."
            ) from error
        finally:
            log.info("%s %s: %s, %.3f s", name[:200], said, outcome, time.monotonic() - began)
