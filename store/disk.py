"""Turn a full disk into one clear sentence, whichever layer met it first."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from .errors import UserError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_WORDS = ("no space left", "disk is full", "disk full", "disk quota", "file too large", "disk i/o error", "could not write")


@contextmanager
def disk_errors(doing: str, folder: Path | str) -> Iterator[None]:
    """Run a block that writes; raise `UserError` when the disk is full, let every other error through.

    doing: what is being written, for the message, for example `sealing the store`.
    """
    try:
        yield
    except (OSError, sqlite3.OperationalError, duckdb.Error) as error:
        if not is_full_disk(error):
            raise
        raise UserError(
            f"The disk is full (or a size limit is reached) while {doing} in {folder}: make room and run the same command again, "
            "what was finished is kept."
        ) from error


def is_full_disk(error: BaseException) -> bool:
    """Whether this error means that nothing more could be written."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return any(word in str(error).lower() for word in _WORDS)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a small file so that it is there whole or not at all, also after a power cut."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable; a no-op where folders cannot be opened."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
