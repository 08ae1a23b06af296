"""The thread that writes calls into the ledger: what was handed in together is committed together."""

from __future__ import annotations

import asyncio
import queue
import threading

from dragoman.store.calls import Calls, Row

MOST = 1000
"""Calls that are handed in one by one and committed together, at most."""

_Item = tuple[tuple[Row, ...], "asyncio.Future[None]"]


class Writer:
    """Writes rows in the order they are handed in; each is durable against a kill when its future is done."""

    def __init__(self, calls: Calls) -> None:
        """Start the thread; made inside the event loop that hands rows in."""
        self._calls = calls
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="ledger of model calls", daemon=True)
        self._thread.start()

    async def write(self, *rows: Row) -> None:
        """Return once the rows are committed, all in one transaction. Raises UserError when the disk is full."""
        done: asyncio.Future[None] = self._loop.create_future()
        self._queue.put((rows, done))
        await asyncio.shield(done)

    async def close(self) -> None:
        """Write what is left and end the thread."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while True:
            batch: list[_Item] = []
            item = self._queue.get()
            while item is not None:
                batch.append(item)
                if len(batch) == MOST:
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            if batch:
                error: BaseException | None = None
                try:
                    self._calls.write(row for rows, _ in batch for row in rows)
                except BaseException as raised:
                    error = raised
                self._loop.call_soon_threadsafe(_finish, [done for _, done in batch], error)
            if item is None:
                return


def _finish(futures: list[asyncio.Future[None]], error: BaseException | None) -> None:
    for future in futures:
        if not future.done():
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
