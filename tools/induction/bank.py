"""What induction needs to know about the train tokens whatever the feature: computed once per process."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dragoman.tools.patterns.evaluate import FLAGS, everywhere
from dragoman.tools.patterns.forms import FORMS
from dragoman.tools.patterns.language import Affix, Condition, Factor, Flag, Form, Inside, Position
from dragoman.tools.patterns.spans import SPANS
from dragoman.tools.patterns.text import PatternText, symbols
from dragoman.tools.patterns.usage import Usage

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

POSITIONS = (1, 2, 4, 8, 16, 32, 64)
"""Lengths tried for "among the first … tokens"."""
SCRAP_WORDS = 1.5
"""What a token costs in a label, in words, that is mostly a piece of a longer word."""
MAX_AFFIXES = 240
"""How many of the commonest beginnings and endings of tokens are tried."""
MAX_WORD_AFFIXES = 120
"""The same of whole words."""
MAX_COSINES = 2000
"""Names of which it is remembered which units are used alike."""


@dataclass(frozen=True, slots=True)
class Family:
    """Sets of tokens that can be named by one factor, with their membership."""

    factors: tuple[Factor, ...]
    """One per set."""
    members: Floats
    """1 where the token id belongs to the set; a last column of 0 stands for "outside the window". Shape: (sets,
    vocabulary + 1)."""


@dataclass(frozen=True)
class Lexicon:
    """Units that patterns can name, tokens or whole words, numbered as in the text; one more stands for "none"."""

    size: int
    symbol_of: NDArray[np.int64]
    """Units that one literal names share a symbol. Shape: (size + 1,)."""
    texts: list[str]
    """Text of each symbol."""
    nameable: Mask
    """Symbols that can stand in a label. Shape: (symbols + 1,)."""
    price: NDArray[np.float64]
    """What each symbol costs in a label, in words. Shape: (symbols + 1,)."""
    usage: Usage
    """How the units are used."""
    most_affixes: int

    @cached_property
    def comparable(self) -> Mask:
        """Units that "used like" can name. Shape: (size,)."""
        return self.nameable[self.symbol_of[:-1]] & self.usage.vectors.any(1)

    @cached_property
    def places(self) -> dict[str, int]:
        """Symbol of each text."""
        return {text: place for place, text in enumerate(self.texts)}

    @cached_property
    def _cosines(self) -> OrderedDict[str, Floats]:
        return OrderedDict()

    def cosines(self, name: str) -> Floats:
        """How alike each unit is used to one that is named; of the names asked for last it is remembered. Shape: (size,)."""
        known = self._cosines.get(name)
        if known is None:
            known = self._cosines[name] = self.usage.vectors @ self.usage.direction(name)
            if len(self._cosines) > MAX_COSINES:
                self._cosines.popitem(last=False)
        return known

    @cached_property
    def forms(self) -> Family:
        """Forms and affixes that some but not all of the seen units have."""
        usage = self.usage
        factors: list[Factor] = [Form(name) for name in FORMS if name != "any"]
        factors += _affixes(usage.bare, usage.counts, self.most_affixes)
        masks = [usage.form(f.name) if isinstance(f, Form) else usage.affix(f) for f in factors if isinstance(f, Form | Affix)]
        seen = usage.counts > 0
        kept = [i for i, mask in enumerate(masks) if 3 <= (mask & seen).sum() < seen.sum()]
        members = np.zeros((len(kept), self.size + 1), np.float32)
        for place, i in enumerate(kept):
            members[place, :-1] = masks[i]
        return Family(tuple(factors[i] for i in kept), members)


class Bank:
    """Shared tables over one split's tokens."""

    def __init__(self, text: PatternText) -> None:
        self.text = text
        self._counts: dict[int, NDArray[np.float64]] = {}
        self._word_counts: dict[int, NDArray[np.float64]] = {}

    def counts(self, offset: int) -> NDArray[np.float64]:
        """How often each token id stands `offset` places from a token. Shape: (vocabulary + 1,)."""
        if offset not in self._counts:
            self._counts[offset] = np.bincount(self.text.shifted(offset), minlength=self.tokens.size + 1).astype(np.float64)
        return self._counts[offset]

    def word_counts(self, place: int) -> NDArray[np.float64]:
        """How often each word stands at the place. Shape: (words + 1,)."""
        if place not in self._word_counts:
            many = len(self.text.words) + 1
            self._word_counts[place] = np.bincount(self.text.words_at(place), minlength=many).astype(np.float64)
        return self._word_counts[place]

    @cached_property
    def tokens(self) -> Lexicon:
        """The vocabulary. Pieces of words cost more than tokens that are words."""
        text = self.text
        size = len(text.vocabulary)
        of, texts = symbols(text.vocabulary)
        symbol_of = np.append(of, len(texts)).astype(np.int64)
        many = len(texts) + 1
        seen = np.bincount(of, text.usage.counts, len(texts)) > 0
        fine = [bool(one) and "\ufffd" not in one and (one.isprintable() or one.isspace()) for one in texts]
        part = text.continues.copy()
        part[:-1] |= text.continues[1:]
        at = symbol_of[text.ids]
        share = np.bincount(at, part, many) / np.maximum(1, np.bincount(at, minlength=many))
        price = np.where(share > 0.5, SCRAP_WORDS, 1.0)
        return Lexicon(size, symbol_of, texts, np.append(seen & np.array(fine, bool), False), price, text.usage, MAX_AFFIXES)

    @cached_property
    def words(self) -> Lexicon:
        """The whole words of the text; those seen fewer than three times are not named."""
        texts, known = self.text.words, self.text.usage.words
        size = len(texts)
        counts = np.bincount(self.text.word_runs[0], minlength=size)
        fine = [one.isprintable() and "\ufffd" not in one for one in texts]
        vectors = np.zeros((size, known.vectors.shape[1]), np.float32)
        for place, one in enumerate(texts):
            ids = known.ids_of.get(one)
            if ids:
                vectors[place] = known.vectors[ids[0]]
        usage = Usage(texts, vectors, counts)
        nameable = np.append((counts >= 3) & np.array(fine, bool), False)
        return Lexicon(size, np.arange(size + 1), texts, nameable, np.ones(size + 1), usage, MAX_WORD_AFFIXES)

    @property
    def flags(self) -> list[Condition]:
        """Conditions that need no token set."""
        return self._flags[0]

    def flag_sums(self, at: NDArray[np.int64], weight: NDArray[np.floating] | None = None) -> NDArray[np.float64]:
        """Sum of the weights of those of the tokens for which each of the flags holds; their number without weights.
        Shapes: (at,), (conditions,)."""
        _, kind, flags = self._flags
        return np.asarray(np.bincount(kind.take(at), weight, len(flags)) @ flags)

    def flags_of(self, at: NDArray[np.int64]) -> Floats:
        """1 where a flag holds for a token. Shapes: (at,), (at, conditions)."""
        _, kind, flags = self._flags
        return flags.take(kind.take(at), 0)

    @cached_property
    def flag_counts(self) -> NDArray[np.float64]:
        """How often each of the flags holds. Shape: (conditions,)."""
        return self.flag_sums(self.text.index)

    @cached_property
    def _flags(self) -> tuple[list[Condition], NDArray[np.int64], Floats]:
        """The flags. Tokens for which the same ones hold are of one kind: the kind of each (tokens,), and where a flag holds
        for a kind (kinds, conditions)."""
        tried: list[Condition] = [Flag(name) for name in FLAGS]
        tried += [Inside(name) for name in SPANS]
        tried += [Position("first", count) for count in POSITIONS]
        kept: list[Condition] = []
        columns: list[Mask] = []
        for condition in tried:
            mask = everywhere(condition, self.text)
            if 20 <= mask.sum() <= 0.995 * len(mask):
                kept.append(condition)
                columns.append(mask)
        table = np.stack(columns, axis=1) if columns else np.zeros((len(self.text), 0), bool)
        kind = np.zeros(len(table), np.int64)
        for column in np.packbits(table, axis=1).T:
            kind = np.unique(kind * 256 + column, return_inverse=True)[1]
        flags = np.zeros((int(kind.max(initial=0)) + 1, len(kept)), np.float32)
        flags[kind] = table
        return kept, kind, flags

    @cached_property
    def rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Distinct symbols of each window, in the order in which they come: starts (rows + 1,), symbols and flat indices of their
        first places, ascending (entries,)."""
        text = self.text
        symbol = self.tokens.symbol_of[text.ids]
        order = np.lexsort((text.index, symbol, text.row))
        first = np.ones(len(order), bool)
        first[1:] = (text.row[order[1:]] != text.row[order[:-1]]) | (symbol[order[1:]] != symbol[order[:-1]])
        kept = np.sort(order[first])
        starts = np.searchsorted(text.row[kept], np.arange(len(text.starts)))
        return starts, symbol[kept], kept


def _affixes(texts: Sequence[str], counts: NDArray[np.int64], most: int) -> list[Factor]:
    """Beginnings and endings of one to three letters shared by at least four seen tokens, the commonest first."""
    found: Counter[tuple[str, str]] = Counter()
    types: Counter[tuple[str, str]] = Counter()
    for text, count in zip(texts, counts, strict=True):
        if count == 0 or not text.isalpha():
            continue
        for length in (1, 2, 3):
            if len(text) > length:
                for key in (("starting", text[:length]), ("ending", text[-length:])):
                    found[key] += int(count)
                    types[key] += 1
    common = sorted((key for key in found if types[key] >= 4), key=lambda key: (-found[key], key))
    return [Affix("starting" if kind == "starting" else "ending", (part,)) for kind, part in common[:most]]
