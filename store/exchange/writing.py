"""Writing an export: everything goes into a folder beside the wanted one, which takes its name when all of it is there."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from dragoman.store.disk import disk_errors, sync_folder
from dragoman.store.errors import UserError
from dragoman.store.locking import is_locked, write_lock

T = TypeVar("T")
LOCK = ".lock"
COMPRESSION = 5
"""Of gzip: smaller than that costs more time than the JSON itself."""


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder to write into, `OUT.partial`; it becomes `out` when the block ends well, so that a killed export leaves no `out`.

    What an earlier export left unfinished is thrown away. Raises `UserError` when `out` is there already, and when another
    process is writing to it.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UserError(f"{out} is there already: choose another place, or move it away first.")
    partial = out.with_name(out.name + ".partial")
    if is_locked(partial, LOCK):
        raise UserError(f"Another process is exporting to {out}: wait until it has ended, or choose another place.")
    with disk_errors("exporting", out.parent), write_lock(partial, LOCK):
        for left in partial.iterdir():
            if left.is_dir():
                shutil.rmtree(left)
            elif left.name != LOCK:
                left.unlink()
        yield partial
        (partial / LOCK).unlink()
        if out.is_dir():
            out.rmdir()
        partial.rename(out)
        sync_folder(out.parent)


def line(value: Mapping[str, Any]) -> bytes:
    """One line of JSON in plain ASCII, which holds every text exactly, lone surrogates too."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode() + b"\n"


@contextmanager
def packed_lines(path: Path) -> Iterator[gzip.GzipFile]:
    """A gzip file for lines; the same lines give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as raw, gzip.GzipFile("", "wb", COMPRESSION, raw, mtime=0) as packed:
        yield packed


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Items in lists of so many, the last one of what is left."""
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch
