"""The sorted activation table read in blocks of whole features, and the corpus as flat arrays beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb
import numpy as np
from jaxtyping import Float32, Int32, Int64, Integer, UInt8

from .records import SPLITS

BLOCK_ROWS = 2_000_000


@dataclass(frozen=True)
class Corpus:
    """The tokens of the whole store, context after context."""

    starts: Int64[np.ndarray, " contexts_plus_1"]
    """First flat token of each context, and at the end the number of tokens."""
    document: Int32[np.ndarray, " contexts"]
    """Document of each context."""
    split: UInt8[np.ndarray, " contexts"]
    """Split of each context, as its place in SPLITS."""
    ids: Int32[np.ndarray, " tokens"]
    """Token ids (may be a memory map)."""

    def tokens(self) -> list[int]:
        """Tokens in train, validation and test."""
        lengths = np.diff(self.starts)
        return [int(lengths[self.split == code].sum()) for code in range(len(SPLITS))]


@dataclass(frozen=True)
class Block:
    """Consecutive rows of the sorted activation table: all rows of the features in it."""

    feature: Integer[np.ndarray, " rows"]
    """Global feature id, ascending."""
    split: UInt8[np.ndarray, " rows"]
    """Place of the split in SPLITS, ascending within a feature."""
    context: Integer[np.ndarray, " rows"]
    """Context number."""
    position: Integer[np.ndarray, " rows"]
    """Place in the context."""
    value: Float32[np.ndarray, " rows"]
    """Activation, descending within feature and split."""


def blocks(connection: duckdb.DuckDBPyConnection, table: str, rows: int = BLOCK_ROWS) -> Iterator[Block]:
    """The rows of a sorted activation table in their order, about `rows` at a time, cut only between features."""
    ((total,),) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    held: list[list[np.ndarray]] = []
    for first in range(0, total, rows):
        # a range of row ids is read in the table's own order, and faster than any other slice
        read = connection.execute(
            f"SELECT feature, enum_code(split) AS split, context, position, value FROM {table} WHERE rowid BETWEEN {first} AND {first + rows - 1}"
        ).fetchnumpy()
        columns = [np.asarray(read[name]) for name in ("feature", "split", "context", "position", "value")]
        cut = len(columns[0]) if first + rows >= total else int(np.searchsorted(columns[0], columns[0][-1]))
        if cut:
            held.append([column[:cut] for column in columns])
            yield _joined(held)
            held = []
        if cut < len(columns[0]):
            held.append([column[cut:] for column in columns])


def _joined(parts: list[list[np.ndarray]]) -> Block:
    return Block(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
