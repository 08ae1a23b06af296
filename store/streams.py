"""Rows that Python makes while DuckDB reads them, and things made ahead of their use."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import duckdb
import pyarrow as pa

T = TypeVar("T")


@contextmanager
def streamed(
    connection: duckdb.DuckDBPyConnection, name: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]
) -> Iterator[None]:
    """Make batches readable as the table `name`, once, while the block runs.

    An error in the generator comes out of the block as itself, not as DuckDB's report of it.
    """
    errors: list[BaseException] = []
    connection.register(name, pa.RecordBatchReader.from_batches(schema, _watched(batches, errors)))
    try:
        yield
    except duckdb.Error:
        if errors:
            raise errors[0] from None
        raise
    connection.unregister(name)  # not after an error: an open result forbids it, and the connection is closed then anyway


def _watched(batches: Iterator[pa.RecordBatch], errors: list[BaseException]) -> Iterator[pa.RecordBatch]:
    try:
        yield from batches
    except (Exception, KeyboardInterrupt) as error:
        errors.append(error)
        raise


@contextmanager
def ahead(items: Iterable[T], depth: int) -> Iterator[Iterator[T]]:
    """Iterate over items that another thread makes, at most `depth` ahead of their use; what it raises is raised here.

    Leaving the block early stops the thread after the item that it is making.
    """
    made: queue.Queue[tuple[str, T | BaseException | None]] = queue.Queue(depth)
    left = threading.Event()

    def put(kind: str, what: T | BaseException | None) -> None:
        while not left.is_set():
            with suppress(queue.Full):
                made.put((kind, what), timeout=0.1)
                return

    def make() -> None:
        try:
            for item in items:
                put("item", item)
                if left.is_set():
                    return
            put("end", None)
        except BaseException as error:  # raised again in the thread that reads
            put("error", error)

    def read() -> Iterator[T]:
        while True:
            kind, what = made.get()
            if kind == "end":
                return
            if kind == "error":
                assert isinstance(what, BaseException)
                raise what
            yield what  # type: ignore[misc]

    thread = threading.Thread(target=make, name="ahead", daemon=True)
    thread.start()
    try:
        yield read()
    finally:
        left.set()
        thread.join()
