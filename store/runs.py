"""Activations on their way into a store: runs of a million rows or so, each grouped by feature and split, raw on disk.

A row is one 64-bit number that sorts as the store's order asks within a feature and split: the value's bits, inverted so that
large ones come first, above the number of its token in the corpus. A shard has two files: `activations-N.keys` with the rows
of its runs, and `activations-N.counts` with 3 * width numbers for every run, how many rows each feature has in each split.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse
from jaxtyping import Float32, Int64, Integer, UInt8, UInt64

from .errors import UserError
from .records import SPLITS

RUN_ROWS = 1 << 20
"""Rows in memory before they are grouped and written."""
TOKEN_BITS = 33
_S = len(SPLITS)
_VALUE = np.uint32(0x7FFFFFFF)
_TOKEN = np.uint64((1 << TOKEN_BITS) - 1)


class RunWriter:
    """Writes the activations of one shard."""

    def __init__(self, keys: Path, counts: Path, width: int) -> None:
        """keys, counts: the two files. width: features of all dictionaries together."""
        self._keys, self._counts, self._groups = keys.open("wb"), counts.open("wb"), width * _S
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self._rows = 0
        self.rows = 0
        """Rows so far."""

    def add(
        self,
        feature: Integer[np.ndarray, " rows"],
        split: UInt8[np.ndarray, " rows"],
        token: Int64[np.ndarray, " rows"],
        value: Float32[np.ndarray, " rows"],
    ) -> None:
        """Add activations in any order: global feature ids, splits as their place in SPLITS, tokens counted over the corpus.

        Raises:
            ValueError: a value that is not finite and above 0, or a feature that no dictionary has.
            UserError: more tokens than a store can hold.
        """
        if not len(feature):
            return
        if not (value > 0).all() or not np.isfinite(value).all():
            raise ValueError("an activation is not a finite number above 0")
        if int(feature.max()) * _S >= self._groups:
            raise ValueError(f"an activation names feature {feature.max()}, and the dictionaries have {self._groups // _S}")
        if int(token.max()) >> TOKEN_BITS:
            raise UserError(f"A store holds at most {1 << TOKEN_BITS:,} tokens: use --limit-tokens.")
        self._waiting.append((feature.astype(np.int32) * _S + split, packed(token, value)))
        self._rows += len(feature)
        self.rows += len(feature)
        if self._rows >= RUN_ROWS:
            self._flush()

    def close(self) -> None:
        """Write what waits and close the files; nothing happens the second time."""
        self._flush()
        self._keys.close()
        self._counts.close()

    def _flush(self) -> None:
        if self._waiting:
            groups, keys = (np.concatenate(column) for column in zip(*self._waiting, strict=True))
            keys, counts = grouped(keys, groups, self._groups)
            self._keys.write(keys.data)
            self._counts.write(counts.astype(np.uint32).data)
            self._waiting, self._rows = [], 0


class Runs:
    """The runs of all shards, read a range of features at a time."""

    def __init__(self, keys: Sequence[Path], counts: Sequence[Path], width: int) -> None:
        """Raises `ValueError` when the files do not belong together or to so many features."""
        self._keys: list[np.ndarray] = []
        self._counts: list[np.ndarray] = []
        self.rows = np.zeros(width, np.int64)
        """Rows of each feature."""
        for key_file, count_file in zip(keys, counts, strict=True):
            if count_file.stat().st_size % (4 * width * _S):
                raise ValueError(f"{count_file} is not of {width} features")
            table = _mapped(count_file, np.uint32).reshape(-1, width * _S)
            rows = [int(run.sum(dtype=np.int64)) for run in table]
            if sum(rows) * 8 != key_file.stat().st_size:
                raise ValueError(f"{key_file} and {count_file} do not belong together")
            ends = np.cumsum(rows).tolist()
            flat = _mapped(key_file, np.uint64)
            for run, end, length in zip(table, ends, rows, strict=True):
                self._counts.append(run)
                self._keys.append(flat[end - length : end])
                self.rows += run.reshape(-1, _S).sum(axis=1, dtype=np.int64)
        self._read = [0] * len(self._keys)
        self._next = 0

    def take(self, features: int) -> tuple[UInt64[np.ndarray, " rows"], Int64[np.ndarray, "features 3"]]:
        """The rows of the next so many features, grouped by feature and split, and how many there are of each."""
        here = slice(self._next * _S, (self._next + features) * _S)
        self._next += features
        parts, groups = [], []
        for number, (keys, counts) in enumerate(zip(self._keys, self._counts, strict=True)):
            own = np.asarray(counts[here])
            begin = self._read[number]
            end = self._read[number] = begin + int(own.sum(dtype=np.int64))
            if end > begin:
                parts.append(np.asarray(keys[begin:end]))
                groups.append(np.repeat(np.arange(len(own), dtype=np.int32), own))
        if not parts:
            return np.empty(0, np.uint64), np.zeros((features, _S), np.int64)
        keys, found = grouped(np.concatenate(parts), np.concatenate(groups), features * _S)
        return keys, found.reshape(-1, _S)


def packed(token: Int64[np.ndarray, " rows"], value: Float32[np.ndarray, " rows"]) -> UInt64[np.ndarray, " rows"]:
    """The rows as numbers; the bits of positive floats sort like the floats."""
    falling = _VALUE - np.ascontiguousarray(value, np.float32).view(np.uint32)
    return (falling.astype(np.uint64) << np.uint64(TOKEN_BITS)) | token.astype(np.uint64)


def unpacked(keys: UInt64[np.ndarray, " rows"]) -> tuple[Int64[np.ndarray, " rows"], Float32[np.ndarray, " rows"]]:
    """Tokens and values."""
    falling = (keys >> np.uint64(TOKEN_BITS)).astype(np.uint32)
    return (keys & _TOKEN).view(np.int64), (_VALUE - falling).view(np.float32)


def grouped(
    keys: UInt64[np.ndarray, " rows"], groups: Integer[np.ndarray, " rows"], count: int
) -> tuple[UInt64[np.ndarray, " rows"], Int64[np.ndarray, " groups"]]:
    """The keys in the order of their groups, and how many each group has. A sparse matrix does this in one pass."""
    place = np.arange(len(keys), dtype=np.int32 if len(keys) < 2**31 else np.int64)
    table = scipy.sparse.coo_matrix((keys, (groups, place)), shape=(count, len(keys)), copy=False).tocsr()
    return table.data, np.diff(table.indptr).astype(np.int64)


def _mapped(path: Path, kind: type[np.generic]) -> np.ndarray:
    return np.memmap(path, kind, "r") if path.stat().st_size else np.empty(0, kind)
