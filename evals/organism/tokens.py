"""Documents as tokens, tokens as windows, windows as packed rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from dragoman.evals.organism.document import Document

CONTEXT = 128
"""Tokens in a window, BOS included."""


@dataclass(frozen=True, slots=True)
class TokenizedDocument:
    """A document and its tokens, without BOS."""

    document: Document
    """What was tokenized."""
    ids: NDArray[np.uint16]
    """Token ids [n]."""
    starts: NDArray[np.int32]
    """First character of each token [n]."""
    ends: NDArray[np.int32]
    """One past the last character of each token [n]."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Windows packed side by side into rows, each window blind to the others."""

    ids: NDArray[np.uint16]
    """Input tokens [rows, length]; padding where a row is not full."""
    targets: NDArray[np.int64]
    """The token that follows each input [rows, length]; -100 on padding."""
    segments: NDArray[np.int16]
    """Which window of its row a token belongs to [rows, length]; -1 on padding."""
    positions: NDArray[np.int16]
    """Position inside the window [rows, length]; BOS is 0."""


def tokenize(tokenizer: PreTrainedTokenizerFast, documents: Iterable[Document]) -> Iterator[TokenizedDocument]:
    """Tokenize documents in order, without special tokens."""
    for chunk in _chunks(documents, 512):
        encoded = tokenizer([d.text for d in chunk], add_special_tokens=False, return_offsets_mapping=True)
        for document, ids, offsets in zip(chunk, encoded["input_ids"], encoded["offset_mapping"], strict=True):
            bounds = np.asarray(offsets, dtype=np.int32).reshape(-1, 2)
            yield TokenizedDocument(document, np.asarray(ids, dtype=np.uint16), bounds[:, 0], bounds[:, 1])


def token_ids(tokenizer: PreTrainedTokenizerFast, documents: Iterable[Document]) -> Iterator[NDArray[np.uint16]]:
    """Tokenize documents in order and keep the ids [n] only."""
    for chunk in _chunks(documents, 512):
        for ids in tokenizer([d.text for d in chunk], add_special_tokens=False)["input_ids"]:
            yield np.asarray(ids, dtype=np.uint16)


def windows(length: int, context: int = CONTEXT) -> list[tuple[int, int]]:
    """Cut `length` tokens into consecutive stretches that leave room for BOS in a window of `context`."""
    step = context - 1
    return [(start, min(start + step, length)) for start in range(0, length, step)]


def pack(
    documents: Sequence[NDArray[np.uint16]],
    *,
    bos: int,
    eos: int,
    length: int,
    rng: np.random.Generator,
    context: int = CONTEXT,
    open_rows: int = 64,
) -> Rows:
    """Shuffle documents and pack their windows into rows of `length` tokens.

    Every window starts with BOS at position 0; EOS is only ever a target, after the last token of a document. A window goes
    into the fullest of the `open_rows` open rows that still has room; the fullest row is closed when there are too many.
    """
    if length < context:
        raise ValueError(f"a row of {length} tokens cannot hold a window of {context}")
    order = rng.permutation(len(documents))
    closed: list[list[tuple[int, int, int]]] = []
    rows: list[tuple[int, list[tuple[int, int, int]]]] = []
    for index in order:
        for start, end in windows(len(documents[index]), context):
            size = end - start + 1
            fits = [i for i, (used, _) in enumerate(rows) if used + size <= length]
            if fits:
                best = max(fits, key=lambda i: rows[i][0])
                used, pieces = rows.pop(best)
            else:
                used, pieces = 0, []
            pieces.append((int(index), start, end))
            rows.append((used + size, pieces))
            if len(rows) > open_rows:
                fullest = max(range(len(rows)), key=lambda i: rows[i][0])
                closed.append(rows.pop(fullest)[1])
    closed.extend(pieces for _, pieces in rows)

    shape = (len(closed), length)
    ids = np.full(shape, eos, dtype=np.uint16)
    targets = np.full(shape, -100, dtype=np.int64)
    segments = np.full(shape, -1, dtype=np.int16)
    positions = np.zeros(shape, dtype=np.int16)
    for row, pieces in enumerate(closed):
        at = 0
        for segment, (index, start, end) in enumerate(pieces):
            document = documents[index]
            stop = at + end - start + 1
            ids[row, at] = bos
            ids[row, at + 1 : stop] = document[start:end]
            targets[row, at : stop - 1] = document[start:end]
            targets[row, stop - 1] = document[end] if end < len(document) else eos
            segments[row, at:stop] = segment
            positions[row, at:stop] = np.arange(stop - at)
            at = stop
    return Rows(ids, targets, segments, positions)


def _chunks(documents: Iterable[Document], size: int) -> Iterator[list[Document]]:
    iterator = iter(documents)
    while chunk := list(islice(iterator, size)):
        yield chunk
