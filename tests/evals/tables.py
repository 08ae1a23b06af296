"""Small token tables for tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from dragoman.store.records import Split
from dragoman.store.tokens import TokenTable


def table(
    windows: Sequence[Sequence[int]], document: Sequence[int], vocabulary: Sequence[str], split: Split = "test"
) -> TokenTable:
    """A split whose contexts are the given windows of token ids; `document` numbers each window's document, ascending."""
    lengths = np.array([len(window) for window in windows])
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.concatenate([np.asarray(window, np.int32) for window in windows])
    position = (np.arange(len(ids)) - np.repeat(starts[:-1], lengths)).astype(np.int32)
    documents, place = np.unique(np.asarray(document, np.int64), return_inverse=True)
    texts = ["" for _ in documents]
    begin, end = np.zeros(len(ids), np.int32), np.zeros(len(ids), np.int32)
    for row, window in enumerate(windows):
        for at, token in enumerate(window, starts[row]):
            begin[at] = len(texts[place[row]])
            texts[place[row]] += vocabulary[token]
            end[at] = len(texts[place[row]])
    return TokenTable(
        split=split,
        ids=ids,
        row=np.repeat(np.arange(len(windows)), lengths).astype(np.int32),
        position=position,
        starts=starts,
        context_ids=np.arange(len(windows), dtype=np.int64) * 3 + 1,
        document=np.asarray(document, np.int64),
        char_start=begin,
        char_end=end,
        vocabulary=list(vocabulary),
        documents=documents,
        texts=pa.array(texts, pa.large_string()),
    )
