"""Windows of token ids as a program reads them: flat arrays over all tokens, and over all characters of their texts.

The text of a window is what its tokens are in the middle of a text, one after the other, so that it exists for any ids and what
stands at a token never depends on what follows it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int64, UInt32
from numpy.typing import NDArray

from dragoman.tools.patterns.forms import bare

SEPARATOR = "\f"
"""Stands after every window in the joined text; a form feed inside a token is read as a space."""
Mask = NDArray[np.bool_]
_KEPT = 256
"""Masks that a reading remembers."""


class Lexicon:
    """What is known of every token id by itself."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        """`vocabulary` is the text of every token id as it stands in the middle of a text."""
        self.texts = [text.replace(SEPARATOR, " ") for text in vocabulary]
        self.bare = [bare(text) for text in self.texts]
        self.numbers: dict[str, int] = {}
        """The symbol of each text."""
        self.symbol: Int64[np.ndarray, " vocabulary"] = np.array(
            [self.numbers.setdefault(text, len(self.numbers)) for text in self.bare], np.int64
        )
        """A number for each token that twins with and without a space before them share."""
        self.lengths: Int64[np.ndarray, " vocabulary"] = np.array([len(text) for text in self.texts], np.int64)
        self.lead: Int64[np.ndarray, " vocabulary"] = np.array([_lead(text) for text in self.texts], np.int64)
        """Spaces before the token's own text."""
        self.offsets = np.cumsum(self.lengths) - self.lengths
        self.codes: UInt32[np.ndarray, " characters"] = _codes("".join(self.texts))
        self._masks: dict[Hashable, Mask] = {}

    def __len__(self) -> int:
        return len(self.texts)

    def having(self, key: Hashable, test: Callable[[str], bool]) -> Bool[np.ndarray, " vocabulary"]:
        """Which tokens pass a test of their text without its leading space; remembered under `key`."""
        if key not in self._masks:
            self._masks[key] = np.array([test(text) for text in self.bare], bool)
        return self._masks[key]


class Reading:
    """Some windows, ready for programs."""

    def __init__(self, lexicon: Lexicon, windows: Sequence[Sequence[int] | NDArray[np.int32]]) -> None:
        self.lexicon = lexicon
        lengths = np.array([len(window) for window in windows], np.int64)
        self.ids: Int64[np.ndarray, " tokens"] = (
            np.concatenate([np.asarray(window, np.int64) for window in windows]) if len(windows) else np.zeros(0, np.int64)
        )
        self.row: Int64[np.ndarray, " tokens"] = np.repeat(np.arange(len(windows)), lengths)
        self.starts: Int64[np.ndarray, " windows_plus_1"] = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        self.index = np.arange(len(self.ids))
        self.row_start = self.starts[self.row]
        self.position = self.index - self.row_start
        self._kept: OrderedDict[Hashable, Mask] = OrderedDict()
        self._units: dict[str, NDArray[np.int64]] = {"text": self.row_start}

    def __len__(self) -> int:
        return len(self.ids)

    def keep(self, key: Hashable, make: Callable[[], Mask]) -> Mask:
        """What was made for this key; kept for a while."""
        if key not in self._kept:
            self._kept[key] = make()
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    # Tokens

    @cached_property
    def symbol(self) -> Int64[np.ndarray, " tokens"]:
        """A number for each token, the same for twins with and without a space before them."""
        return np.asarray(self.lexicon.symbol[self.ids])

    @cached_property
    def _alike(self) -> tuple[Int64[np.ndarray, " tokens"], Int64[np.ndarray, " tokens"]]:
        """Of each token, where the same one stood last in its window (or -1), and how often it stood there before."""
        order = np.lexsort((self.index, self.symbol, self.row))
        symbol, row = self.symbol[order], self.row[order]
        new = np.ones(len(order), bool)
        new[1:] = (symbol[1:] != symbol[:-1]) | (row[1:] != row[:-1])
        places = np.arange(len(order))
        first = np.maximum.accumulate(np.where(new, places, 0))
        before, count = np.full(len(order), -1), np.zeros(len(order), np.int64)
        count[order] = places - first
        before[order[1:]] = np.where(new[1:], -1, order[:-1])
        return before, count

    @property
    def same_before(self) -> Int64[np.ndarray, " tokens"]:
        """Where the same token stood last in the window, or -1."""
        return self._alike[0]

    @property
    def times_before(self) -> Int64[np.ndarray, " tokens"]:
        """How often the same token stood earlier in the window."""
        return self._alike[1]

    def start_of(self, unit: str) -> Int64[np.ndarray, " tokens"]:
        """First token of the text (the window), line or sentence of each token; what ends one still belongs to it."""
        if unit not in self._units:
            self._units[unit] = self._start_of(unit)
        return self._units[unit]

    def _start_of(self, unit: str) -> NDArray[np.int64]:
        marks = "\n" if unit == "line" else ".!?\n"
        ends = self.lexicon.having(("ends", unit), lambda text: any(mark in text for mark in marks))[self.ids]
        begins = ~ends & np.concatenate([[True], ends[:-1]]) if len(ends) else ends
        return np.asarray(np.maximum(np.maximum.accumulate(np.where(begins, self.index, 0)), self.row_start))

    def last_before(self, mask: Mask) -> Int64[np.ndarray, " tokens"]:
        """The last marked token before each token, whatever the window, or -1."""
        reached = np.maximum.accumulate(np.where(mask, self.index, -1)) if len(mask) else self.index
        return np.asarray(np.concatenate([[-1], reached[:-1]]) if len(mask) else reached)

    def count_before(self, mask: Mask) -> Int64[np.ndarray, " tokens"]:
        """Marked tokens before each token in its window."""
        total = np.concatenate([[0], np.cumsum(mask)])
        return np.asarray(total[self.index] - total[self.row_start])

    # Characters

    @cached_property
    def _spread(self) -> tuple[UInt32[np.ndarray, " characters"], NDArray[np.int64], NDArray[np.int64]]:
        """Code points of all windows, a separator after each, and where each token begins and ends in them."""
        lengths = self.lexicon.lengths[self.ids]
        closes = np.zeros(len(self.ids), np.int64)
        closes[self.starts[1:][np.diff(self.starts) > 0] - 1] = 1
        begin = np.cumsum(lengths + closes) - lengths - closes
        codes = np.full(int((lengths + closes).sum()), ord(SEPARATOR), np.uint32)
        within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        codes[np.repeat(begin, lengths) + within] = self.lexicon.codes[
            np.repeat(self.lexicon.offsets[self.ids], lengths) + within
        ]
        return codes, begin, begin + lengths

    @property
    def codes(self) -> UInt32[np.ndarray, " characters"]:
        """Code points of the joined text."""
        return self._spread[0]

    @cached_property
    def text(self) -> str:
        """All windows as one string, a form feed after each."""
        return self.codes.tobytes().decode("utf-32-le", "surrogatepass")

    @cached_property
    def begin(self) -> Int64[np.ndarray, " tokens"]:
        """First character of each token's own text, leading spaces skipped where more follows."""
        return np.asarray(self._spread[1] + self.lexicon.lead[self.ids])

    @property
    def end(self) -> Int64[np.ndarray, " tokens"]:
        """One past the last character of each token."""
        return self._spread[2]

    @cached_property
    def letters(self) -> Bool[np.ndarray, " characters"]:
        """Which characters are letters."""
        values, inverse = np.unique(self.codes, return_inverse=True)
        return np.array([chr(value).isalpha() for value in values] or [False], bool)[inverse]

    def overlapping(self, characters: Bool[np.ndarray, " characters"]) -> Bool[np.ndarray, " tokens"]:
        """Tokens of whose own text at least one character is marked."""
        total = np.concatenate([[0], np.cumsum(characters)])
        return np.asarray(total[self.end] > total[np.minimum(self.begin, self.end)])

    def covered(self, spans: Sequence[tuple[int, int]]) -> Bool[np.ndarray, " characters"]:
        """Which characters lie in one of the ranges."""
        edges = np.zeros(len(self.codes) + 1, np.int64)
        if spans:
            both = np.array(spans, np.int64)
            np.add.at(edges, both[:, 0], 1)
            np.add.at(edges, both[:, 1], -1)
        return np.asarray(np.cumsum(edges[:-1]) > 0)


def _lead(text: str) -> int:
    """Spaces before the rest of a text, at most four; the last character is never skipped."""
    return min(len(text) - len(text.lstrip(" ")), max(len(text) - 1, 0), 4)


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
