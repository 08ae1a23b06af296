"""One writer a store: a lock of the operating system, so that it vanishes with the process that held it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

LOCK_FILE = ".lock"


@contextmanager
def write_lock(folder: Path | str, name: str = LOCK_FILE, doing: str | None = None) -> Iterator[None]:
    """Hold the store's write lock while the block runs; the folder is made when missing.

    doing: what whoever holds it does, for the message.
    Raises `UserError` when another process holds it. Not re-entrant.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("a+") as file:
        if not _try_lock(file):
            raise UserError(
                f"Another process{_holder(file)} {doing or f'is writing the store {folder}'}: "
                "wait until it has ended, or stop it, then run this again."
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)
            _unlock(file)


def is_locked(folder: Path | str, name: str = LOCK_FILE) -> bool:
    """Whether some process is writing the store now."""
    path = Path(folder) / name
    try:
        file = path.open("r+")
    except OSError:
        return False
    with file:
        if not _try_lock(file):
            return True
        _unlock(file)
        return False


def _holder(file: IO[str]) -> str:
    """` (process 123)`, as far as the lock file tells."""
    file.seek(0)
    pid = file.read(20).strip()
    return f" (process {pid})" if pid.isdigit() else ""


def _try_lock(file: IO[str]) -> bool:
    try:
        if fcntl is not None:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            file.seek(0x7FFFFFFF)  # Windows locks bytes and forbids reading them: lock one that nobody reads
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError:
        return False
    return True


def _unlock(file: IO[str]) -> None:
    if fcntl is not None:
        fcntl.flock(file.fileno(), fcntl.LOCK_UN)
    else:
        file.seek(0x7FFFFFFF)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined]
