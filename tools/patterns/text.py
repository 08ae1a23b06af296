"""PatternText: one split's tokens with what patterns need to know about them, computed when first asked for."""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from .forms import bare
from .language import Condition, Tokens
from .spans import SEPARATOR
from .usage import Usage

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Mask = NDArray[np.bool_]

CACHE_BYTES = 256 * 2**20
"""Room for the masks of conditions that were evaluated before."""

PLACES_BYTES = 64 * 2**20
"""Room for where the tokens of sets stand."""


class TokenTable(Protocol):
    """What a PatternText reads of the store's token table."""

    @property
    def ids(self) -> Ints:
        """Token ids. Shape: (tokens,)."""

    @property
    def row(self) -> Ints:
        """Context row of each token. Shape: (tokens,)."""

    @property
    def starts(self) -> Longs:
        """First token of each context row, then the number of tokens. Shape: (contexts + 1,)."""

    @property
    def vocabulary(self) -> list[str]:
        """Text of each token id as it stands alone."""

    @property
    def char_start(self) -> Ints:
        """First character of each token in its document. Shape: (tokens,)."""

    @property
    def char_end(self) -> Ints:
        """One past its last character. Shape: (tokens,)."""

    def text(self, row: int) -> str:
        """The exact text of a context."""


class PatternText:
    """The tokens of one split, ready for patterns. "Text" means a context window throughout: nothing reaches across windows."""

    def __init__(self, table: TokenTable, usage: Usage) -> None:
        """`usage` is made from train tokens, whatever the split of `table`."""
        if len(usage.vocabulary) != len(table.vocabulary):
            raise ValueError(f"usage was learned on {len(usage.vocabulary)} token ids, the text has {len(table.vocabulary)}")
        self.usage = usage
        self.vocabulary = table.vocabulary
        self.ids = np.ascontiguousarray(table.ids, np.int32)
        self.row = np.ascontiguousarray(table.row, np.int64)
        self.starts = np.ascontiguousarray(table.starts, np.int64)
        self._table = table
        self._shifted: dict[int, Ints] = {}
        self._cache: OrderedDict[Condition, Mask] = OrderedDict()
        self._words_at: dict[int, Longs] = {}
        self._word_sets: OrderedDict[Tokens, Mask] = OrderedDict()
        self._sets: OrderedDict[Tokens, Mask] = OrderedDict()
        self._places_of: OrderedDict[Tokens, Longs] = OrderedDict()
        self._room = PLACES_BYTES

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def symbol_of(self) -> Longs:
        """A number for each token id that twins with and without a space before them share. Shape: (vocabulary,)."""
        return symbols(self.vocabulary)[0]

    # --- places -------------------------------------------------------------------------------------------------

    @cached_property
    def index(self) -> Longs:
        """0, 1, 2, … Shape: (tokens,)."""
        return np.arange(len(self.ids))

    @cached_property
    def row_start(self) -> Longs:
        """First token of each token's window. Shape: (tokens,)."""
        return self.starts[self.row]

    @cached_property
    def position(self) -> Longs:
        """Place in the window, from 0. Shape: (tokens,)."""
        return self.index - self.row_start

    def outside(self, rows: Longs) -> Mask:
        """Which tokens lie in none of these windows. Shape: (tokens,)."""
        if len(rows) == 0:
            return np.ones(len(self.ids), bool)
        left = np.ones(len(self.starts) - 1, bool)
        left[rows] = False
        return left[self.row]

    def windows(self, at: Longs) -> Longs:
        """The windows in which these tokens, given in ascending order, lie. Shape: (windows,)."""
        row = self.row.take(at)
        first = np.ones(len(row), bool)
        np.not_equal(row[1:], row[:-1], out=first[1:])
        return row[first]

    def shifted(self, offset: int) -> Ints:
        """Token id so many places away in the same window, or the number of token ids where the window has ended.
        Shape: (tokens,)."""
        if offset not in self._shifted:
            self._shifted[offset] = shift(self.ids, self.row, offset, len(self.vocabulary))
        return self._shifted[offset]

    @cached_property
    def previous_same(self) -> Longs:
        """Where the same token, spaces before it aside, stood last in the same window, or -1. Shape: (tokens,)."""
        ids = self.symbol_of[self.ids]
        order = np.argsort(self.row * len(self.vocabulary) + ids, kind="stable")
        same = (self.row[order[1:]] == self.row[order[:-1]]) & (ids[order[1:]] == ids[order[:-1]])
        found = np.full(len(self.ids), -1)
        found[order[1:][same]] = order[:-1][same]
        return found

    @cached_property
    def _places(self) -> Longs:
        """Token ids as numpy wants indices, so that it need not convert them each time. Shape: (tokens,)."""
        return self.ids.astype(np.int64)

    @cached_property
    def _occurrences(self) -> tuple[Longs, Longs]:
        """Where each token id occurs: starts (vocabulary + 1,) into flat indices (tokens,), ascending within an id."""
        order = np.argsort(self.ids, kind="stable")
        return np.searchsorted(self.ids[order], np.arange(len(self.vocabulary) + 1)), order

    def places_of(self, tokens: Tokens) -> Longs:
        """Where tokens of the set stand, ascending; remembered, and not to be written to. Shape: (found,)."""
        places = self._places_of.get(tokens)
        if places is not None:
            self._places_of.move_to_end(tokens)
            return places
        places = self._find(tokens)
        self._places_of[tokens] = places
        self._room -= places.nbytes
        while self._room < 0:
            self._room += self._places_of.popitem(last=False)[1].nbytes
        return places

    def _find(self, tokens: Tokens) -> Longs:
        mask = self.vocabulary_mask(tokens)
        chosen = np.flatnonzero(mask)
        starts, order = self._occurrences
        if len(chosen) == 1:
            return order[starts[chosen[0]] : starts[chosen[0] + 1]]
        if len(chosen) > 64:
            return np.flatnonzero(mask.take(self._places))
        here = np.zeros(len(self.ids), bool)
        for token in chosen:
            here[order[starts[token] : starts[token + 1]]] = True
        return np.flatnonzero(here)

    def places_of_id(self, token: int) -> Longs:
        """Where one token id stands, ascending. Shape: (found,)."""
        starts, order = self._occurrences
        return order[starts[token] : starts[token + 1]]

    def last_before(self, tokens: Tokens, at: Longs) -> Longs:
        """The last place before each of the given tokens where one of the set stands, whatever the window, or -1.
        Shape: (at,)."""
        places = self.places_of(tokens)
        before = np.searchsorted(places, at) - 1
        return np.where(before >= 0, places[before], -1) if len(places) else np.full(len(at), -1)

    # --- characters ---------------------------------------------------------------------------------------------

    @cached_property
    def _joined(self) -> tuple[str, Longs, Longs]:
        """All windows as one string, and where each token begins and ends in it."""
        rows = len(self.starts) - 1
        texts = [self._table.text(row).replace(SEPARATOR, " ") for row in range(rows)]
        lengths = np.array([len(text) + 1 for text in texts], np.int64)
        base = np.concatenate(([0], np.cumsum(lengths)[:-1])) if rows else np.zeros(0, np.int64)
        first = np.asarray(self._table.char_start)[self.starts[:-1]] if rows else np.zeros(0, np.int64)
        offset = (base - first)[self.row]
        limit = (base + lengths - 1)[self.row]
        end = np.minimum(np.asarray(self._table.char_end) + offset, limit)
        start = np.minimum(np.asarray(self._table.char_start) + offset, limit)
        return SEPARATOR.join(texts) + SEPARATOR if rows else "", start, end

    @property
    def joined(self) -> str:
        """All windows as one string, a form feed after each."""
        return self._joined[0]

    @cached_property
    def codes(self) -> NDArray[np.uint32]:
        """Code points of the joined text. Shape: (characters,)."""
        return np.frombuffer(self.joined.encode("utf-32-le", "surrogatepass"), np.uint32)

    @cached_property
    def begin(self) -> Longs:
        """First character of each token's own text in the joined text, leading spaces skipped where more follows.
        Shape: (tokens,)."""
        _, start, end = self._joined
        spaces = np.concatenate((self.codes == 32, [False]))
        begin = start.copy()
        for _ in range(4):
            begin += spaces[begin] & (begin + 1 < end)
        return begin

    @property
    def end(self) -> Longs:
        """One past the last character of each token in the joined text. Shape: (tokens,)."""
        return self._joined[2]

    @cached_property
    def letters(self) -> Mask:
        """Which characters of the joined text are letters, digits or underscores. Shape: (characters,)."""
        values, inverse = np.unique(self.codes, return_inverse=True)
        return np.array([chr(value).isalnum() or value == ord("_") for value in values], bool)[inverse]

    @cached_property
    def continues(self) -> Mask:
        """Tokens that go on with a word begun by the token before: a letter or digit stands directly on both sides.
        Shape: (tokens,)."""
        letters = np.concatenate((self.letters, [False]))
        begin, (_, start, _) = self.begin, self._joined
        before = np.concatenate(([False], self.letters))[begin]
        return cast(Mask, letters[begin] & before & (start == begin) & (self.position > 0))

    @cached_property
    def _words(self) -> tuple[dict[str, int], Longs, Longs, Longs]:
        """A number for each distinct word, and for each run of word characters: its word, its window, its first character."""
        edges = np.diff(np.concatenate(([False], self.letters, [False])).astype(np.int8))
        first, last = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
        index: dict[str, int] = {}
        joined = self.joined
        of = np.array(
            [index.setdefault(joined[i:j], len(index)) for i, j in zip(first.tolist(), last.tolist(), strict=True)], np.int64
        )
        window = np.cumsum(self.codes == ord(SEPARATOR))[first] if len(first) else np.zeros(0, np.int64)
        return index, of, window, first

    @cached_property
    def words(self) -> list[str]:
        """Every distinct word of the text, in order of first use."""
        return list(self._words[0])

    @property
    def word_runs(self) -> tuple[Longs, Longs]:
        """All words as they follow one another, by number, and the window of each. Shapes: (runs,)."""
        return self._words[1], self._words[2]

    def words_at(self, place: int) -> Longs:
        """Number of the word that each token lies in (0), or of the word before (-1) or after (1) it; where there is none,
        the number of words. Shape: (tokens,)."""
        if place not in self._words_at:
            index, of, window, first = self._words
            begin, end = self.begin, np.maximum(self.end - 1, self.begin)
            own = np.searchsorted(first, begin, "right") - 1
            inside = np.concatenate((self.letters, [False]))[begin]
            if place == 0:
                run = np.where(inside, own, -1)
            elif place < 0:
                run = np.where(inside, own - 1, own)
            else:
                run = np.where(inside, own + 1, np.searchsorted(first, end, "right"))
            known = (run >= 0) & (run < len(of))
            run = np.where(known, run, 0)
            known &= (window[run] == self.row) if len(of) else False
            self._words_at[place] = np.where(known, of[run] if len(of) else 0, len(index))
        return self._words_at[place]

    def word_mask(self, words: Tokens) -> Mask:
        """Which word numbers are in the set; one more entry, False, stands for "no word". Shape: (words + 1,)."""
        mask = self._word_sets.get(words)
        if mask is None:
            mask = np.append(self.usage.words.classify(self.words, words), False)
            self._word_sets[words] = mask
            while len(self._word_sets) > 1024:
                self._word_sets.popitem(last=False)
        return mask

    def starts_of(self, unit: str) -> Longs:
        """First token of the word, line, sentence or text that each token belongs to. Shape: (tokens,)."""
        return {"word": self._word_start, "line": self._line_start, "sentence": self._sentence_start, "text": self.row_start}[
            unit
        ]

    @cached_property
    def _word_start(self) -> Longs:
        return self._last(~self.continues)

    @cached_property
    def _line_start(self) -> Longs:
        ends_line = self._holds("\n")
        after = np.concatenate(([True], ends_line[:-1]))
        return self._last(after & ~ends_line | (self.position == 0))

    @cached_property
    def _sentence_start(self) -> Longs:
        ends = np.array([any(c in ".!?\n" for c in text) for text in self.vocabulary] or [False])[self.ids]
        after = np.concatenate(([True], ends[:-1]))
        return self._last(after & ~ends | (self.position == 0))

    def _holds(self, text: str) -> Mask:
        return np.array([text in token for token in self.vocabulary] or [False])[self.ids]

    def _last(self, marks: Mask) -> Longs:
        """The last marked token up to each token, or the first of its window."""
        return np.maximum(np.maximum.accumulate(np.where(marks, self.index, 0)), self.row_start)

    # --- caches -------------------------------------------------------------------------------------------------

    def cached(self, condition: Condition) -> Mask | None:
        """The mask of a condition evaluated before."""
        mask = self._cache.get(condition)
        if mask is not None:
            self._cache.move_to_end(condition)
        return mask

    def remember(self, condition: Condition, mask: Mask) -> Mask:
        """Keep the mask of a condition; the ones not used for longest are dropped."""
        self._cache[condition] = mask
        while len(self._cache) > max(8, CACHE_BYTES // max(1, len(self.ids))):
            self._cache.popitem(last=False)
        return mask

    def vocabulary_mask(self, tokens: Tokens) -> Mask:
        """Which token ids are in the set; one more entry, False, stands for "outside the window". Shape: (vocabulary + 1,)."""
        mask = self._sets.get(tokens)
        if mask is None:
            mask = np.append(self.usage.members(tokens), False)
            self._sets[tokens] = mask
            while len(self._sets) > 4096:
                self._sets.popitem(last=False)
        return mask


def shift(ids: Ints, row: Longs, offset: int, outside: int) -> Ints:
    """`ids` moved by `offset` places inside their rows. Shape: (tokens,)."""
    moved = np.full(len(ids), outside, np.int32)
    if abs(offset) >= len(ids):
        return moved
    if offset == 0:
        return ids.copy()
    here, there = (slice(-offset, None), slice(None, offset)) if offset < 0 else (slice(None, -offset), slice(offset, None))
    same = row[here] == row[there]
    moved[here] = np.where(same, ids[there], outside)
    return moved


def symbols(vocabulary: list[str]) -> tuple[Longs, list[str]]:
    """Token ids whose texts differ only by a leading space share a symbol. Returns the symbol of each id, and each
    symbol's text."""
    index: dict[str, int] = {}
    of = np.array([index.setdefault(bare(text), len(index)) for text in vocabulary], np.int64)
    return of, list(index)
