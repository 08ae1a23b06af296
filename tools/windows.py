"""Documents cut into windows of tokens. Windows never cross documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dragoman.store.records import Split
from dragoman.store.splits import document_hash, split_of

from .documents import Corpus
from .speaking import TokenizerSpeaker, Tokens


@dataclass(frozen=True)
class TokenizedDocument:
    """A document with its tokens, special ones taken out."""

    number: int
    """Its number in the store."""
    text: str
    """Its text."""
    source: str
    """Where it is from."""
    digest: str
    """Hash of its text."""
    split: Split
    """The split that follows from the hash."""
    tokens: Tokens
    """Its tokens."""


@dataclass(frozen=True)
class Windows:
    """The windows of some documents."""

    ids: np.ndarray
    """int32 (tokens,): all tokens, window after window."""
    starts: np.ndarray
    """int32 (tokens,): first character of each in its document."""
    ends: np.ndarray
    """int32 (tokens,): character after the last."""
    bounds: np.ndarray
    """int64 (windows + 1,): where each window begins in these arrays, and at the end the number of tokens."""
    owner: np.ndarray
    """int64 (windows,): which of the documents each was cut from."""

    @property
    def lengths(self) -> np.ndarray:
        """int64 (windows,): tokens of each."""
        return np.diff(self.bounds)

    def rows(self, which: np.ndarray) -> list[np.ndarray]:
        """Token ids of some windows."""
        return [self.ids[self.bounds[i] : self.bounds[i + 1]] for i in which]


def tokenized(
    subject: TokenizerSpeaker, corpus: Corpus, special: np.ndarray, skip: int = 0, at_a_time: int = 1 << 18
) -> Iterator[TokenizedDocument]:
    """Documents with their tokens; the first `skip` are only counted. Tokenized are so many characters at a time."""
    waiting: list[tuple[int, str, str]] = []
    size = 0

    def convert() -> Iterator[TokenizedDocument]:
        for (number, text, source), tokens in zip(waiting, subject.tokenize_many([text for _, text, _ in waiting]), strict=True):
            digest = document_hash(text)
            yield TokenizedDocument(number, text, source, digest, split_of(digest), without(tokens, special))

    for number, document in enumerate(corpus):
        if number < skip:
            continue
        waiting.append((number, document.text, document.source))
        size += len(document.text)
        if size > at_a_time:
            yield from convert()
            waiting, size = [], 0
    yield from convert()


def without(tokens: Tokens, special: np.ndarray) -> Tokens:
    """The tokens that are not among the special ids; what special ones contributed to the text is left out with them."""
    keep = ~np.isin(tokens.ids, special)
    return tokens if bool(keep.all()) else Tokens(tokens.ids[keep], tokens.starts[keep], tokens.ends[keep])


def cut(documents: Sequence[TokenizedDocument], length: int) -> Windows:
    """Cut each document into windows of `length` tokens; the last one of a document may be shorter."""
    counts = np.array([len(d.tokens.ids) for d in documents], np.int64)
    windows = -(-counts // length)
    owner = np.repeat(np.arange(len(documents)), windows)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(windows) - windows, windows)
    first = np.repeat(np.cumsum(counts) - counts, windows) + within * length
    bounds = np.append(first, counts.sum())

    def joined(arrays: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(arrays) if arrays else np.zeros(0, np.int32)

    return Windows(
        ids=joined([d.tokens.ids for d in documents]),
        starts=joined([d.tokens.starts for d in documents]),
        ends=joined([d.tokens.ends for d in documents]),
        bounds=bounds.astype(np.int64),
        owner=owner.astype(np.int64),
    )


def batches(windows: Windows, size: int) -> list[np.ndarray]:
    """Window numbers in batches of `size`, longest first, so that little is padded; equal lengths stay in order."""
    order = np.argsort(-windows.lengths, kind="stable")
    return [order[i : i + size] for i in range(0, len(order), size)]
