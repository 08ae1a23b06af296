"""How many calls a server is given: a simulated server that slows down, and one that refuses."""

from __future__ import annotations

import heapq

from dragoman.evals.gateway.pace import START, Pace


def simulate(batch: int, room: int, calls: int, longer: float = 1.0) -> list[int]:
    """Limits over time against a server that works on `batch` calls at once, 1 s each, and refuses when `room` are there.

    longer: what a call takes in the second half.
    """
    now = 0.0
    pace = Pace(1024, clock=lambda: now)
    flying: list[tuple[float, float, bool]] = []
    finish = [0.0] * batch
    limits = []
    for call in range(calls):
        while len(flying) < pace.limit:
            refused = len(flying) >= room
            if not refused:
                heapq.heappush(finish, max(heapq.heappop(finish), now) + (longer if call > calls // 2 else 1.0))
            heapq.heappush(flying, (now + 0.01 if refused else max(finish), now, refused))
            pace.sent(len(flying))
        now, sent, refused = heapq.heappop(flying)
        if refused:
            pace.refused(now - sent)
        else:
            pace.answered(now - sent, 100)
        limits.append(pace.limit)
    return limits


def test_a_large_server_is_filled() -> None:
    limits = simulate(batch=512, room=10_000, calls=20_000)
    assert limits[0] == START and max(limits) > 512
    assert min(limits[10_000:]) > 256


def test_a_small_server_is_not_swamped() -> None:
    limits = simulate(batch=8, room=10_000, calls=5_000)
    assert max(limits) <= 128 and sum(limits[2000:]) / len(limits[2000:]) < 64


def test_longer_calls_do_not_starve_a_server() -> None:
    limits = simulate(batch=256, room=10_000, calls=30_000, longer=10.0)
    assert min(limits[20_000:]) > 128


def test_refusals_halve_once_a_burst() -> None:
    limits = simulate(batch=1000, room=100, calls=20_000)
    later = limits[10_000:]
    assert min(later) >= 40 and max(later) <= 120, (min(later), max(later))
    now = 10.0
    pace = Pace(1024, start=64, clock=lambda: now)
    for _ in range(30):
        pace.refused(0.5)
    assert pace.limit == 32, "thirty refusals of calls that were sent together"
    now = 20.0
    pace.refused(0.5)
    assert pace.limit == 16
    for _ in range(20):
        now += 10
        pace.refused(0.5)
    assert pace.limit == 1
