"""The text that programs are drawn from, tokenized and cut as the store's, and what is common in it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from dragoman.store.records import SPLITS
from dragoman.store.splits import document_hash, split_of
from dragoman.tools.programs import Lexicon, Reading, Term
from dragoman.tools.programs.reading import Mask
from dragoman.tools.speaking import Voice
from dragoman.tools.windows import without

LEAST = (12, 6, 12)
"""Documents of train, validation and test in which a feature must fire: a little more than makes it live."""
DENSEST = 0.42
"""Largest share of windows in which one may fire, less than makes it dense."""


class Material:
    """Some documents as windows of tokens."""

    def __init__(self, voice: Voice, texts: Sequence[str], window: int) -> None:
        self.lexicon = Lexicon(voice.vocabulary)
        special = np.array(sorted(voice.special_ids()), np.int32)
        rows: list[NDArray[np.int32]] = []
        owner: list[int] = []
        for number, tokens in enumerate(voice.tokenize_many(texts)):
            ids = without(tokens, special).ids
            cut = [ids[first : first + window] for first in range(0, len(ids), window)]
            rows += cut
            owner += [number] * len(cut)
        self.window = window
        self.reading = Reading(self.lexicon, rows)
        self.documents = np.array(owner, np.int64)
        """Document of each window."""
        self.splits = np.array([SPLITS.index(split_of(document_hash(text))) for text in texts], np.int64)
        """Split of each document."""
        self.windows = len(rows)

    def usable(self, term: Term) -> bool:
        """Whether a feature that fires so would be live and not dense."""
        rows = np.unique(self.reading.row[term.on(self.reading)])
        fired = np.bincount(self.splits[np.unique(self.documents[rows])], minlength=3)
        return bool((fired >= LEAST).all()) and len(rows) <= DENSEST * self.windows

    def share(self, term: Term, of: Term) -> float:
        """The share of the tokens on which one term holds that another holds on too."""
        those = of.on(self.reading)
        return float(term.on(self.reading)[those].mean()) if those.any() else 0.0

    def rate(self, term: Term) -> float:
        """The share of all tokens on which a term holds."""
        return float(term.on(self.reading).mean())

    def words(self, rare: float, common: float) -> list[str]:
        """Tokens that are whole words and stand in such a share of the windows, in alphabetical order."""
        low, high = rare * self.windows, common * self.windows
        return [word for word, count in self._words.items() if low <= count <= high]

    def companions(self, words: Sequence[str], other: str, most: int = 4) -> list[str]:
        """Words that stand in much the same windows as another one, among the windows that hold one of some words."""
        numbers, present = self.lexicon.numbers, self._present
        rows = np.flatnonzero(np.asarray(present[:, [numbers[word] for word in words]].sum(1)).ravel())
        here = present[rows]
        mine = here[:, [numbers[other]]]
        both = np.asarray((here.T @ mine).todense()).ravel()
        either = np.asarray(here.sum(0)).ravel() + mine.sum() - both
        known = [w for w in self._words if w != other and w not in words and not ({w, other} & {w[:-1], other[:-1]})]
        return sorted(known, key=lambda w: -both[numbers[w]] / max(either[numbers[w]], 1))[:most]

    @cached_property
    def _present(self) -> sparse.csr_matrix:
        """Which windows hold which symbol, as ones (windows, symbols)."""
        shape = (self.windows, len(self.lexicon))
        found = sparse.coo_matrix((np.ones(len(self.reading), np.int32), (self.reading.row, self.reading.symbol)), shape).tocsr()
        found.data[:] = 1
        return found

    @cached_property
    def _words(self) -> dict[str, int]:
        """Windows of every lower-case word of three letters or more that is nearly always a token of its own.

        Where a tokenizer has few such tokens, all that are letters or digits.
        """
        reading = self.reading
        letters = np.append(reading.letters, False)
        whole: Mask = ~letters[reading.end] & ~np.concatenate([[False], letters])[reading.begin]
        symbols = reading.symbol
        seen = np.bincount(symbols, minlength=len(self.lexicon))
        alone = np.bincount(symbols, weights=whole, minlength=len(self.lexicon)) >= 0.97 * np.maximum(seen, 1)
        pairs = np.unique(symbols * np.int64(self.windows) + reading.row) // max(self.windows, 1)
        windows = np.bincount(pairs, minlength=len(self.lexicon))
        text = {int(symbol): bare for symbol, bare in zip(self.lexicon.symbol, self.lexicon.bare, strict=True)}
        present = np.flatnonzero(seen).tolist()
        kept = {text[s]: int(windows[s]) for s in present if text[s].isalnum() and text[s].islower()}
        good = {text[s] for s in present if alone[s] and len(text[s]) >= 3 and text[s].isalpha()}
        chosen = {word: count for word, count in kept.items() if word in good}
        return dict(sorted((chosen if len(chosen) >= 40 else kept).items()))
