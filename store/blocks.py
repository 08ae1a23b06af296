"""Activations in the store's order, in blocks of whole features, and the corpus as flat arrays beside them.

A row is packed into two 64-bit numbers that sort as the store's order asks: feature, split, value descending; context,
position. DuckDB sorts pairs of plain integers several times faster than five columns, within a bound of memory, and what
comes out is unpacked again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32, Int32, Int64, UInt8, UInt16, UInt32

from .records import SPLITS
from .streams import streamed

BLOCK_ROWS = 1_000_000
_KEYS = pa.schema({"first": pa.uint64(), "second": pa.uint64()})
_BITS = np.uint64(0x7FFFFFFF)


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
    """All activations of some consecutive features, in the store's order."""

    feature: UInt32[np.ndarray, " rows"]
    """Global feature id, ascending."""
    split: UInt8[np.ndarray, " rows"]
    """Place of the split in SPLITS, ascending within a feature."""
    context: UInt32[np.ndarray, " rows"]
    """Context number."""
    position: UInt16[np.ndarray, " rows"]
    """Place in the context."""
    value: Float32[np.ndarray, " rows"]
    """Activation, descending within feature and split."""

    def __len__(self) -> int:
        return len(self.feature)


def sorted_blocks(
    shards: Sequence[Path], corpus: Corpus, *, memory_limit: str, threads: int | None, spill: Path, rows: int | None = None
) -> Iterator[Block]:
    """The activations of all shards in the store's order, about `rows` at a time, cut only between features.

    Raises `ValueError` for a value that is not finite and above 0, or a context or position that is not there.
    """
    with duckdb.connect(config={"memory_limit": memory_limit, "temp_directory": str(spill)}) as connection:
        if threads is not None:
            connection.execute(f"SET threads = {int(threads)}")
        with streamed(connection, "packed", _KEYS, _packed(shards, corpus)):
            batches = connection.sql("SELECT first, second FROM packed ORDER BY first, second").to_arrow_reader(
                rows or BLOCK_ROWS
            )
            yield from _whole_features(batches, rows or BLOCK_ROWS)


def _whole_features(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[Block]:
    """Sorted batches put together until they hold about `rows` rows of whole features."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        feature = batch.column(0).to_numpy() >> np.uint64(33)
        cut = int(np.searchsorted(feature, feature[-1]))  # where the last feature begins
        whole = bool(held) and int(held[-1].column(0)[-1].as_py()) >> 33 != int(feature[0])
        if sum(map(len, held)) + cut >= rows and (cut or whole):
            yield _unpacked([*held, batch.slice(0, cut)])
            held = [batch.slice(cut)]
        else:
            held.append(batch)
    if held:
        yield _unpacked(held)


def _packed(shards: Sequence[Path], corpus: Corpus) -> Iterator[pa.RecordBatch]:
    """The rows of all shards as pairs of integers, a shard at a time."""
    lengths = np.diff(corpus.starts)
    for path in shards:
        table = pq.read_table(path)
        if not table.num_rows:
            continue
        context, position = table["context"].to_numpy(), table["position"].to_numpy()
        value = np.ascontiguousarray(table["value"].to_numpy(), np.float32)
        if not (value > 0).all() or not np.isfinite(value).all():
            raise ValueError(f"{path} holds an activation that is not a finite number above 0")
        if int(context.max()) >= len(lengths) or (position >= lengths[context]).any():
            raise ValueError(f"{path} holds an activation on a token that is not there")
        first = table["feature"].to_numpy().astype(np.uint64) << np.uint64(33)
        first |= corpus.split[context].astype(np.uint64) << np.uint64(31)
        first |= _BITS - value.view(np.uint32)  # the bits of positive floats sort like the floats
        second = context.astype(np.uint64) << np.uint64(16)
        second |= position
        yield pa.record_batch([first, second], schema=_KEYS)


def _unpacked(parts: Sequence[pa.RecordBatch]) -> Block:
    first = np.concatenate([part.column(0).to_numpy() for part in parts])
    second = np.concatenate([part.column(1).to_numpy() for part in parts])
    return Block(
        feature=(first >> np.uint64(33)).astype(np.uint32),
        split=((first >> np.uint64(31)) & np.uint64(3)).astype(np.uint8),
        context=(second >> np.uint64(16)).astype(np.uint32),
        position=second.astype(np.uint16),
        value=(_BITS - (first & _BITS)).astype(np.uint32).view(np.float32),
    )
