"""Workers that raise, die, or cannot start, with real processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from dragoman.evals.workforce import Done, Failed, work
from dragoman.store.errors import UserError


def squares() -> Callable[[int], int]:
    return square


def square(n: int) -> int:
    if n == 3:
        raise ValueError("three is\nrefused")
    if n == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return n * n


def once(marker: str) -> Callable[[int], int]:
    """Dies on the first call of all, and never again."""

    def function(n: int) -> int:
        if not Path(marker).exists():
            Path(marker).touch()
            os._exit(7)
        return n

    return function


def refuse() -> Callable[[int], int]:
    raise UserError("No store there. Harvest one first.")


def broken() -> Callable[[int], int]:
    raise ZeroDivisionError("setup")


def test_every_item_comes_back_once_and_failures_say_why() -> None:
    outcomes = dict(work(range(8), squares, workers=2))
    assert sorted(outcomes) == list(range(8))
    assert {n: o.value for n, o in outcomes.items() if isinstance(o, Done)} == {n: n * n for n in range(8) if n not in (3, 5)}
    assert isinstance(outcomes[3], Failed) and outcomes[3].reason == "ValueError: three is" and "square" in outcomes[3].trace
    assert isinstance(outcomes[5], Failed) and outcomes[5].reason == "its process was killed by signal 9"


def test_in_this_process_exceptions_fail_alike() -> None:
    outcomes = dict(work([2, 3], squares, workers=0))
    assert outcomes[2] == Done(4) and isinstance(outcomes[3], Failed)


def test_an_item_whose_worker_died_is_tried_once_more(tmp_path: Path) -> None:
    outcomes = dict(work(range(4), partial(once, str(tmp_path / "died")), workers=1))
    assert outcomes == {n: Done(n) for n in range(4)}


def test_a_setup_that_fails_stops_the_run() -> None:
    with pytest.raises(UserError, match="Harvest one first"):
        list(work([1, 2], refuse, workers=2))
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        list(work([1, 2], broken, workers=2))


def test_the_caller_may_leave_early() -> None:
    others = set(multiprocessing.active_children())
    stream = work(range(100), squares, workers=2)
    next(stream)
    workers = set(multiprocessing.active_children()) - others
    assert workers
    stream.close()  # type: ignore[attr-defined]
    until(lambda: not any(worker.is_alive() for worker in workers))


def test_workers_leave_when_the_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, sys, time\n"
        "from dragoman.evals.workforce import work\n"
        "def function(n):\n"
        "    open(sys.argv[1] + '/' + str(os.getpid()), 'w').close(); time.sleep(0.2); return n\n"
        "def setup(): return function\n"
        "if __name__ == '__main__': list(work(range(10000), setup, 2))\n"
    )
    pids = tmp_path / "pids"
    pids.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen([sys.executable, str(script), str(pids)], env=environment)
    until(lambda: len(list(pids.iterdir())) >= 2)
    parent.kill()
    parent.wait()
    workers = [int(path.name) for path in pids.iterdir()]
    until(lambda: not any(_alive(pid) for pid in workers))


def until(true: Callable[[], bool]) -> None:
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < 300, "it never came"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
