"""The servers of one model: who gets the next call, who is away, and how long that is put up with."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

from dragoman.store.errors import UserError

from .models import Model
from .pace import Pace
from .servers import Server

log = logging.getLogger("dragoman.gateway")


class Replica:
    """One server."""

    def __init__(self, server: Server, pace: Pace) -> None:
        self.server = server
        self.pace = pace
        self.in_flight = 0
        self.up = True
        self.paused_until = 0.0
        self.probe: asyncio.Task[bool] | None = None
        """A question after its health that is under way."""


class Replicas:
    """All servers of a model. A call takes a place at the least loaded one, and waits in line where there is none.

    When no server is left, everybody waits until one answers again, or until the patience is at its end.
    """

    def __init__(
        self, model: Model, most: int, start: int, patience: float, backoff: float, say: Callable[[str], None] | None
    ) -> None:
        """most: calls in flight to one server; start: at first. patience: seconds.

        backoff: seconds before the first look whether one is back.
        """
        self.answered = 0
        """Replies so far."""
        self.last_good = time.monotonic()
        """When the last reply came."""
        self._replicas = [Replica(server, Pace(most, start)) for server in model.connect()]
        self._patience, self._backoff, self._say = patience, backoff, say
        self._waiting: deque[asyncio.Future[Replica]] = deque()
        self._watches: set[asyncio.Task[None]] = set()
        self._lost: str | None = None

    async def acquire(self) -> Replica:
        """A server that takes another call. Raises UserError when all stayed away too long."""
        if self._lost is not None:
            raise UserError(self._lost)
        if not self._waiting and (replica := self._free()) is not None:
            replica.in_flight += 1
            return replica
        turn: asyncio.Future[Replica] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.release(turn.result())
            raise

    def release(self, replica: Replica) -> None:
        """Give the place back."""
        replica.in_flight -= 1
        self._dispatch()

    def good(self, replica: Replica, latency: float, tokens: int) -> None:
        """A reply came."""
        self.answered += 1
        self.last_good = time.monotonic()
        replica.pace.answered(latency, tokens)

    def pause(self, replica: Replica, seconds: float) -> None:
        """The server asked for some time without new calls."""
        replica.paused_until = max(replica.paused_until, time.monotonic() + seconds)
        asyncio.get_running_loop().call_later(seconds + 0.001, self._dispatch)

    async def alive(self, replica: Replica, reason: str) -> bool:
        """Whether a server that just failed answers at all; where not, it gets no calls until it does."""
        if not replica.up:
            return False
        if replica.probe is None or replica.probe.done():
            replica.probe = asyncio.create_task(replica.server.healthy())
        if await asyncio.shield(replica.probe):
            return True
        if replica.up:
            replica.up = False
            watch = asyncio.create_task(self._watch(replica, reason))
            self._watches.add(watch)
            watch.add_done_callback(self._watches.discard)
        return False

    async def close(self) -> None:
        """Close all connections."""
        tasks = [*self._watches, *(replica.probe for replica in self._replicas if replica.probe is not None)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for replica in self._replicas:
            await replica.server.close()

    def _free(self) -> Replica | None:
        """The least loaded server that has room."""
        now = time.monotonic()
        free = [r for r in self._replicas if r.up and r.in_flight < r.pace.limit and now >= r.paused_until]
        return min(free, key=lambda replica: replica.in_flight / replica.pace.limit, default=None)

    def _dispatch(self) -> None:
        """Give free places to those who wait, the first first."""
        while self._waiting and (replica := self._free()) is not None:
            turn = self._waiting.popleft()
            if not turn.done():
                replica.in_flight += 1
                turn.set_result(replica)

    async def _watch(self, replica: Replica, reason: str) -> None:
        """Look again and again whether a server is back."""
        begun = time.monotonic()
        left = sum(other.up for other in self._replicas)
        url = replica.server.url
        if left:
            self._tell(f"{url} does not answer ({reason}): going on with the other {left}.")
        else:
            self._tell(f"{url} does not answer ({reason}): waiting for it, up to {_duration(self._patience)}.")
        wait = self._backoff
        while not await replica.server.healthy():
            now = time.monotonic()
            if now - begun > self._patience and not any(other.up for other in self._replicas):
                self._lose(f"{url} did not answer for {_duration(now - begun)}")
                return
            await asyncio.sleep(min(wait, max(0.01, begun + self._patience - now)))
            wait = min(2 * wait, 5.0)
        replica.up = True
        replica.paused_until = 0.0
        self.last_good = time.monotonic()
        self._tell(f"{url} is back after {_duration(time.monotonic() - begun)}.")
        self._dispatch()

    def _lose(self, what: str) -> None:
        """Nobody waits any longer."""
        self._lost = f"{what}: see to the server and run the same command again, what was answered is kept."
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(UserError(self._lost))

    def _tell(self, sentence: str) -> None:
        log.log(logging.WARNING if self._say is None else logging.INFO, sentence)
        if self._say is not None:
            self._say(sentence)


def _duration(seconds: float) -> str:
    """Seconds in words."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
