"""Activations in the store's order, in blocks of whole features, and the corpus as flat arrays beside them.

The runs of a range of features are put together and each feature and split is sorted by itself, so memory holds one block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int32, Int64, UInt8, UInt16, UInt32

from .records import SPLITS
from .runs import Runs, unpacked
from .slices import sort_slices

BLOCK_ROWS = 1_000_000
_S = len(SPLITS)


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
    owner: UInt32[np.ndarray, " tokens"]
    """Context of each token (may be a memory map)."""

    def tokens(self) -> list[int]:
        """Tokens in train, validation and test."""
        lengths = np.diff(self.starts)
        return [int(lengths[self.split == code].sum()) for code in range(_S)]


@dataclass(frozen=True)
class Block:
    """All activations of some consecutive features, in the store's order: by feature, split, value descending, token."""

    first: int
    """Global id of the first feature."""
    counts: Int64[np.ndarray, "features 3"]
    """Rows of each feature in each split."""
    token: Int64[np.ndarray, " rows"]
    """Number of the token in the corpus."""
    context: UInt32[np.ndarray, " rows"]
    """Context number."""
    value: Float32[np.ndarray, " rows"]
    """Activation, descending within feature and split."""

    def __len__(self) -> int:
        return len(self.token)

    @property
    def here(self) -> slice:
        """The features of the block among all."""
        return slice(self.first, self.first + len(self.counts))

    @cached_property
    def feature(self) -> UInt32[np.ndarray, " rows"]:
        """Global feature id, ascending."""
        ids = np.arange(self.first, self.first + len(self.counts), dtype=np.uint32)
        return np.repeat(ids, self.counts.sum(axis=1))

    @cached_property
    def split(self) -> UInt8[np.ndarray, " rows"]:
        """Place of the split in SPLITS, ascending within a feature."""
        return np.repeat(np.tile(np.arange(_S, dtype=np.uint8), len(self.counts)), self.counts.ravel())

    def position(self, corpus: Corpus) -> UInt16[np.ndarray, " rows"]:
        """Place in the context."""
        place: np.ndarray = self.token - corpus.starts[self.context]
        return place.astype(np.uint16)


def sorted_blocks(keys: list[Path], counts: list[Path], width: int, corpus: Corpus, rows: int | None = None) -> Iterator[Block]:
    """The activations of all runs in the store's order, about `rows` at a time, cut only between features.

    Raises `ValueError` for a token that is not there or not in the split that its row says.
    """
    runs = Runs(keys, counts, width)
    ends = np.cumsum(runs.rows)
    first = 0
    while first < width:
        before = int(ends[first - 1]) if first else 0
        last = max(int(np.searchsorted(ends, before + (rows or BLOCK_ROWS), "right")), first + 1)
        packed, found = runs.take(last - first)
        if len(packed):
            sort_slices(packed, found.ravel())
            token, value = unpacked(packed)
            if int(token.max()) >= len(corpus.owner):
                raise ValueError("a shard holds an activation on a token that is not there")
            block = Block(first, found, token, corpus.owner[token], value)
            if not np.array_equal(corpus.split[block.context], block.split):
                raise ValueError("a shard holds an activation in another split than its document's")
            yield block
        first = last
