"""A planted program over the synthetic stores of `synthetic.py`: it has their tokens and their first features, and no model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.manifest import FEATURES
from dragoman.tools.query import train_query
from dragoman.tools.source import SparseActivations
from dragoman.tools.speaking import Tokens
from dragoman.tools.toolbox import Desk
from dragoman.tools.toolkit.desk import bare
from tests.support.synthetic import WORDS


class WordSpeaker:
    """A token is a word with the space before it. Text with other words cannot be read."""

    def __init__(self) -> None:
        self.vocabulary = [(" " if word != "\n" else "") + word for word in WORDS]

    def special_ids(self, include_special: bool = False) -> frozenset[int]:
        """There are none."""
        return frozenset()

    def tokenize(self, text: str) -> Tokens:
        """The words of a text."""
        spans = [match.span() for match in re.finditer(r" ?\S+| ?\n", text)]
        words = [text[a:b].removeprefix(" ") for a, b in spans]
        unknown = next((word for word in words if word not in WORDS), None)
        if unknown is not None:
            raise UserError(f"{unknown!r} is no word here: write words of the store.")
        ends = np.array([b for _, b in spans], np.int32)
        starts = np.array([a for a, _ in spans], np.int32)
        return Tokens(np.array([WORDS.index(word) for word in words], np.int32), starts, ends)

    def tokenize_many(self, texts: Sequence[str]) -> Iterator[Tokens]:
        """The words of each."""
        return map(self.tokenize, texts)

    def tokenize_inside(self, text: str) -> list[int]:
        """The same."""
        ids: list[int] = self.tokenize(text).ids.tolist()
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Words, each with its space."""
        return "".join(self.vocabulary[i] for i in ids)


class WordSource:
    """Feature k below half of the width fires on word k, more the later it stands in its window; the others never."""

    def __init__(self, width: int = 24) -> None:
        self.width = width
        self.tokens = 0

    def activations(self, windows: Sequence[Sequence[int]]) -> SparseActivations:
        """The rule of `synthetic.make_rows`."""
        self.tokens += sum(map(len, windows))
        found = [
            (row, position, word, np.float32(1.0 + 0.1 * position))
            for row, window in enumerate(windows)
            for position, word in enumerate(window)
            if word < min(self.width // 2, len(WORDS))
        ]
        row, position, feature, value = zip(*found, strict=True) if found else ((), (), (), ())
        return SparseActivations(
            np.array(row, np.int32), np.array(position, np.int32), np.array(feature, np.int32), np.array(value, np.float32)
        )


def planted_desk(store: Store, window: int = 16) -> Desk:
    """The desk of a synthetic store with the program that made its first features."""
    source = WordSource(store.width)
    return Desk(
        store.train_view(),
        store.dictionaries,
        name="synthetic",
        window=window,
        speaker=WordSpeaker(),
        sources={info.name: source for info in store.dictionaries},
        labels=lambda: [bare(label) for label in store.ledger.labels()],
        query=lambda sql, labels: train_query(store.path / FEATURES, sql, labels),
    )
