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
    """The limit of one server. At first the limit doubles a window, while that gets more done; afterwards it grows by a constant.

    A window is as many replies as the limit, throughput is tokens a second. Refusals and timeouts halve the limit, and so
    does latency that has blown up while throughput stood still; where that does not shorten it, the calls themselves have become
    longer, and their latency is the new measure.
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
        self._latency_before_cut: float | None = None
        self._begin()

    def sent(self, in_flight: int) -> None:
        """A call has left; `in_flight` counts it."""
        self._full = self._full or in_flight >= self.limit

    def answered(self, latency: float, tokens: int) -> None:
        """A reply has come after `latency` seconds; `tokens` of prompt and reply. Calls sent before the last cut tell nothing."""
        if self._clock() - latency < self._cut_at:
            return
        self._replies += 1
        self._latency += latency
        self._tokens += tokens
        if self._replies >= max(8, self.limit):
            self._judge()

    def refused(self, latency: float) -> None:
        """Too many requests, or a timeout, `latency` seconds after sending: halve, once for all calls sent before a cut."""
        now = self._clock()
        if now - latency >= self._cut_at:
            self._cut()
            self._begin()

    def _judge(self) -> None:
        """The end of a window."""
        elapsed = max(self._clock() - self._begun, 1e-9)
        latency, throughput = self._latency / self._replies, self._tokens / elapsed
        more = throughput > FASTER * self._throughput
        self._best_latency = min(latency, self._best_latency)
        if self._latency_before_cut is not None and latency > 0.8 * self._latency_before_cut:
            self._best_latency = latency
        self._latency_before_cut = None
        if latency > SLOWER * self._best_latency and not more:
            self._latency_before_cut = latency
            self._cut()
        elif self._full:
            self._doubling = self._doubling and more
            self.limit = min(self._most, self.limit * 2 if self._doubling else self.limit + 8)
        self._throughput = throughput
        self._begin()

    def _cut(self) -> None:
        self.limit = max(1, self.limit // 2)
        self._cut_at = self._clock()
        self._doubling = False

    def _begin(self) -> None:
        self._begun = self._clock()
        self._replies, self._tokens, self._latency = 0, 0, 0.0
        self._full = False
