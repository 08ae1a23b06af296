"""How many calls one server is given at a time: more while it copes, half when it does not (AIMD)."""

from __future__ import annotations

import time
from collections.abc import Callable

START = 16
"""Calls in flight at first."""
SLOWER = 3.0
"""A server is overloaded when calls take this many times longer than at its best and no more of them get done."""
FASTER = 1.1
"""Getting this many times more done counts as more."""


class Pace:
    """The limit of one server. While nothing speaks against it the limit doubles a window, afterwards it grows by a constant.

    A window is as many replies as the limit. Refusals and timeouts halve the limit; so does nothing else but latency that has
    blown up while throughput (tokens a second) stood still, which takes off a fifth.
    """

    def __init__(self, most: int, start: int = START, clock: Callable[[], float] = time.monotonic) -> None:
        """most: never more in flight than this."""
        self._most = most
        self._clock = clock
        self.limit = min(start, most)
        """Calls allowed at the same time."""
        self._doubling = True
        self._full = False
        self._cut_at = float("-inf")
        self._best_latency = float("inf")
        self._throughput = 0.0
        self._begin()

    def sent(self, in_flight: int) -> None:
        """A call has left; `in_flight` counts it."""
        self._full = self._full or in_flight >= self.limit

    def answered(self, latency: float, tokens: int) -> None:
        """A reply has come after `latency` seconds; `tokens` of prompt and reply."""
        self._replies += 1
        self._latency += latency
        self._tokens += tokens
        if self._replies >= max(8, self.limit):
            self._judge()

    def refused(self, latency: float) -> None:
        """Too many requests, or a timeout, `latency` seconds after sending: halve, once for all calls sent before a cut."""
        now = self._clock()
        if now - latency >= self._cut_at:
            self.limit = max(1, self.limit // 2)
            self._cut_at = now
            self._doubling = False
            self._begin()

    def _judge(self) -> None:
        """The end of a window."""
        elapsed = max(self._clock() - self._begun, 1e-9)
        latency, throughput = self._latency / self._replies, self._tokens / elapsed
        more = throughput > FASTER * self._throughput
        self._best_latency = min(latency, 1.02 * self._best_latency)  # it forgets slowly: later steps may have longer replies
        if latency > SLOWER * self._best_latency and not more:
            self.limit = max(1, self.limit * 4 // 5)
            self._doubling = False
        elif self._full:
            self.limit = min(self._most, self.limit * 2 if self._doubling else self.limit + 8)
        self._throughput = throughput
        self._begin()

    def _begin(self) -> None:
        self._begun = self._clock()
        self._replies, self._tokens, self._latency = 0, 0, 0.0
        self._full = False
