"""Rows that Python makes while DuckDB reads them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa


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
