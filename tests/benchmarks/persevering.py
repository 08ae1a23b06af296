"""One-shot features one after the other, in a process of its own that is set up as every command's; it tells what it keeps.

    found = persevering(store, server.url, 10_000)

In a process of its own, because what a harvest or a test left in memory would be counted with it.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Found(NamedTuple):
    """What was left after each feature."""

    memory: list[int]
    """Bytes of the process in memory, pages of files left out."""
    used: list[int]
    """Bytes of it that the C library's allocator has handed out; zeros where it is not glibc."""
    kept: float
    """Python objects left of a feature, on average."""


def persevering(store: Path, url: str, features: int) -> Found:
    """Label so many features with the model at an address; the live ones of the store again and again, under new seeds."""
    command = [sys.executable, "-m", "tests.benchmarks.persevering", str(store), url, str(features)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return Found(**json.loads(ended.stdout.splitlines()[-1]))


def main() -> None:
    """In the process of its own: STORE URL FEATURES; prints what `persevering` returns."""
    from dragoman.arenas import one_arena

    one_arena()
    from dragoman.agents.campaign import Means, Wish, campaign
    from dragoman.agents.crew import Crew
    from dragoman.agents.settings import Settings
    from dragoman.store.features import Store

    path, url, features = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    with Store.open(path) as store:
        live = store.features("live")
    found = Found([], [], 0.0)
    finished = Crew._finished

    async def watched(self: Crew, feature: int, label: str | None) -> None:
        await finished(self, feature, label)
        found.memory.append(memory())
        found.used.append(used())

    def labeled(count: int, seed: int) -> None:
        wish = Wish(f"vllm:{url}", features=tuple(live[:count]), settings=Settings(rung="one-shot"), seed=seed)
        outcome = campaign(path, wish, Means(), progress=False)
        assert outcome.labels + outcome.failures == min(count, len(live))

    labeled(2, seed=1)  # imports
    Crew._finished = watched  # type: ignore[method-assign]
    seed, alive = 1, objects()
    while len(found.memory) < features:
        seed += 1
        labeled(features - len(found.memory), seed)
    print(json.dumps(found._replace(kept=(objects() - alive) / features)._asdict()))


def memory() -> int:
    """Bytes of this process in memory, pages of files left out."""
    status = Path("/proc/self/status").read_text("utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in status if line.startswith("RssAnon:"))


def objects() -> int:
    """Objects that are alive in this process."""
    gc.collect()
    return len(gc.get_objects())


class _Mallinfo2(ctypes.Structure):
    """What glibc's `mallinfo2` tells, in its order."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    ]


def used() -> int:
    """Bytes that the C library's allocator has handed out, in arenas and in pages of their own."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):
        return 0
    library.mallinfo2.restype = _Mallinfo2
    told = library.mallinfo2()
    return int(told.uordblks + told.hblkhd)


if __name__ == "__main__":
    main()
