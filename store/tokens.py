"""All tokens of one split as flat arrays, with the exact text behind them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np
import pyarrow as pa
from jaxtyping import Int, Int32, Int64

from .records import Split


@dataclass(frozen=True)
class ContextIndex:
    """Where each context of a split begins in the split's flat token arrays."""

    split: Split
    """The split."""
    context_ids: Int64[np.ndarray, " contexts"]
    """Number of each context in the store, ascending."""
    document: Int64[np.ndarray, " contexts"]
    """Document of each context."""
    starts: Int64[np.ndarray, " contexts_plus_1"]
    """First flat token of each context, and at the end the number of tokens."""

    @property
    def n(self) -> int:
        """Number of contexts."""
        return len(self.context_ids)

    def rows_of(self, context_ids: Int[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """Row of each of these contexts. Raises `KeyError` for a context that is not in this split."""
        wanted = np.asarray(context_ids, dtype=np.int64)
        rows = np.searchsorted(self.context_ids, wanted)
        if (self.n == 0 and wanted.size) or bool(np.any(self.context_ids[np.minimum(rows, self.n - 1)] != wanted)):
            raise KeyError(f"not every context is in the {self.split} split")
        return rows.astype(np.int64)

    def row_of_token(self, flat: Int[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """Row of the context that each flat token is in."""
        return (np.searchsorted(self.starts, flat, side="right") - 1).astype(np.int64)


@dataclass(frozen=True)
class TokenTable:
    """All tokens of one split, context after context; contexts are rows, in the order of the corpus."""

    split: Split
    """The split."""
    ids: Int32[np.ndarray, " tokens"]
    """Token ids."""
    row: Int32[np.ndarray, " tokens"]
    """Row of the context each token is in."""
    position: Int32[np.ndarray, " tokens"]
    """Place of each token in its context, from 0."""
    starts: Int64[np.ndarray, " contexts_plus_1"]
    """First token of each context, and at the end the number of tokens."""
    context_ids: Int64[np.ndarray, " contexts"]
    """Number of each context in the store, ascending."""
    document: Int64[np.ndarray, " contexts"]
    """Document of each context."""
    char_start: Int32[np.ndarray, " tokens"]
    """First character of each token in its document."""
    char_end: Int32[np.ndarray, " tokens"]
    """Character after the last of each token in its document."""
    vocabulary: list[str]
    """Text of each token id as it stands alone."""
    documents: Int64[np.ndarray, " documents"]
    """Numbers of the documents of the split, ascending."""
    texts: pa.LargeStringArray
    """Their texts, in the same order."""

    def __repr__(self) -> str:
        return (
            f"TokenTable({self.split}: {len(self.ids):,} tokens, {self.n_contexts:,} contexts, {len(self.documents):,} documents)"
        )

    @property
    def n_contexts(self) -> int:
        """Number of contexts."""
        return len(self.context_ids)

    def text(self, row: int) -> str:
        """The exact text of a context: from its first token's first character to its last token's last."""
        first, end = int(self.starts[row]), int(self.starts[row + 1])
        return (
            self.document_text(row)[int(self.char_start[first]) : int(self.char_end[first:end].max(initial=0))]
            if end > first
            else ""
        )

    def strings(self, row: int) -> list[str]:
        """What each token of a context contributes to the text; they concatenate to `text(row)`."""
        first, end = int(self.starts[row]), int(self.starts[row + 1])
        return contributions(self.document_text(row), self.char_start[first:end].tolist(), self.char_end[first:end].tolist())

    def document_text(self, row: int) -> str:
        """Text of the whole document a context was cut from."""
        place = int(np.searchsorted(self.documents, self.document[row]))
        return str(self.texts[place].as_py())

    @cached_property
    def index(self) -> ContextIndex:
        """The same contexts as a `ContextIndex`."""
        return ContextIndex(self.split, self.context_ids, self.document, self.starts)


def contributions(text: str, starts: list[int], ends: list[int]) -> list[str]:
    """What each token adds to the text read so far.

    Token i adds everything from the furthest end before it to its own end, the first one from its own start. So the pieces always
    concatenate to the text of the window: a character that several tokens make up goes to the first of them, a space that the
    tokenizer left out between two tokens goes to the second.
    """
    reached = accumulate(ends, max, initial=starts[0] if starts else 0)
    return [text[begin:end] for begin, end in pairwise(reached)]
