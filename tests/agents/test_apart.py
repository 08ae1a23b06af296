"""Steps on an event loop apart: in their own context, opened at the first, closed with the block, cancelled with who waits."""

from __future__ import annotations

import asyncio
import contextvars
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from types import SimpleNamespace

import pytest
from blockbuster import BlockBuster, BlockingError

from dragoman.agents.apart import Apart, Refused
from dragoman.store.errors import UserError

WHO = contextvars.ContextVar("who", default="nobody")


class Worker:
    """Steps that say where they run."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.begun = threading.Event()

    async def where(self, who: str) -> tuple[int, str]:
        """The thread, and who asked."""
        assert WHO.get() == who
        await asyncio.sleep(0)
        return threading.get_ident(), who

    async def wait(self) -> None:
        """Never ends by itself."""
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            self.seen.append("cancelled")
            raise

    async def refuse(self) -> None:
        """Raises what users are told."""
        raise UserError("Say which.")

    @asynccontextmanager
    async def opened(self, wrong: str = "") -> AsyncIterator[Worker]:
        """Open and close, on the same thread and loop."""
        if wrong == "opening":
            raise UserError("There is no store.")
        loop = asyncio.get_running_loop()
        self.seen.append("opened")
        try:
            yield self
        except BaseException as error:
            self.seen.append(type(error).__name__)
            raise
        finally:
            assert asyncio.get_running_loop() is loop
            self.seen.append("closed")
        if wrong == "closing":
            raise UserError("It could not be closed.")


def test_steps_run_elsewhere_in_the_context_that_asks() -> None:
    worker = Worker()

    async def ask(apart: Apart[Worker], who: str) -> tuple[int, str]:
        WHO.set(who)
        found: tuple[int, str] = await apart.node(worker.where)(who)
        return found

    async def main() -> list[tuple[int, str]]:
        async with Apart(worker.opened()) as apart:
            assert worker.seen == [], "nothing is opened for a graph that is only looked at"
            return await asyncio.gather(*(ask(apart, who) for who in "abc"))

    found = asyncio.run(main())
    assert [who for _, who in found] == ["a", "b", "c"]
    assert len({thread for thread, _ in found}) == 1 and found[0][0] != threading.get_ident()
    assert worker.seen == ["opened", "closed"]


def test_who_stops_waiting_stops_the_step_and_it_ends_before_the_store_is_closed() -> None:
    worker = Worker()

    async def main() -> None:
        async with Apart(worker.opened()) as apart:
            task = asyncio.create_task(apart.node(worker.wait)())
            await asyncio.to_thread(worker.begun.wait)
            task.cancel()
            await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert worker.seen == ["opened", "cancelled", "CancelledError", "closed"]


def test_what_users_are_told_comes_out_as_an_error_whose_words_servers_show() -> None:
    async def main(worker: Worker, wrong: str = "") -> None:
        async with Apart(worker.opened(wrong)) as apart:
            if wrong == "closing":
                await apart.node(worker.where)("nobody")
            else:
                await apart.node(worker.refuse)()

    worker = Worker()
    with pytest.raises(Refused, match=r"^Say which\.$") as caught:
        asyncio.run(main(worker))
    assert isinstance(caught.value, ValueError) and worker.seen == ["opened", "Refused", "closed"]
    with pytest.raises(Refused, match="There is no store"):
        asyncio.run(main(Worker(), "opening"))
    with pytest.raises(UserError, match="could not be closed"):
        asyncio.run(main(Worker(), "closing"))


def test_the_check_for_blocking_calls_lets_that_thread_block_and_no_other() -> None:
    blockbuster = BlockBuster()
    check = blockbuster.functions["sqlite3.Connection.execute"]

    async def write() -> int:
        with closing(sqlite3.connect(":memory:")) as connection:
            (one,) = connection.execute("SELECT 1").fetchone()
            return int(one)

    @asynccontextmanager
    async def opened() -> AsyncIterator[SimpleNamespace]:
        await write()
        yield SimpleNamespace(write=write)

    async def main() -> None:
        async with Apart(opened()) as apart:
            assert await apart.node(write)() == 1
            with pytest.raises(BlockingError):
                await write()

    check.activate()
    try:
        asyncio.run(main())
    finally:
        check.deactivate()
