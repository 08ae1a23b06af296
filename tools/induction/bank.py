"""What induction needs to know about the train tokens whatever the feature: computed once per process."""

from __future__ import annotations

from collections import Counter
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

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

POSITIONS = (1, 2, 4, 8, 16, 32, 64)
"""Lengths tried for "among the first … tokens"."""
MAX_AFFIXES = 240
"""How many of the commonest beginnings and endings of tokens are tried."""


@dataclass(frozen=True, slots=True)
class Family:
    """Sets of tokens that can be named by one factor, with their membership."""

    factors: tuple[Factor, ...]
    """One per set."""
    members: Floats
    """1 where the token id belongs to the set; a last column of 0 stands for "outside the window". Shape: (sets,
    vocabulary + 1)."""


class Bank:
    """Shared tables over one split's tokens."""

    def __init__(self, text: PatternText) -> None:
        self.text = text
        self.size = len(text.vocabulary)
        of, self.symbol_texts = symbols(text.vocabulary)
        self.symbol_of = np.append(of, len(self.symbol_texts)).astype(np.int64)
        self._counts: dict[int, NDArray[np.float64]] = {}

    def counts(self, offset: int) -> NDArray[np.float64]:
        """How often each token id stands `offset` places from a token. Shape: (vocabulary + 1,)."""
        if offset not in self._counts:
            self._counts[offset] = np.bincount(self.text.shifted(offset), minlength=self.size + 1).astype(np.float64)
        return self._counts[offset]

    @cached_property
    def nameable(self) -> Mask:
        """Symbols that can stand in a label: seen on train and made of whole, printable characters. Shape: (symbols + 1,)."""
        seen = np.bincount(self.symbol_of[:-1], self.text.usage.counts, len(self.symbol_texts)) > 0
        fine = [bool(text) and "\ufffd" not in text and (text.isprintable() or text.isspace()) for text in self.symbol_texts]
        return np.append(seen & np.array(fine, bool), False)

    @cached_property
    def comparable(self) -> Mask:
        """Token ids that "used like" can name. Shape: (vocabulary,)."""
        return self.nameable[self.symbol_of[:-1]] & self.text.usage.vectors.any(1)

    @cached_property
    def flags(self) -> tuple[list[Condition], NDArray[np.uint8]]:
        """Conditions that need no token set, and where they hold. Shape: (tokens, conditions)."""
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
        table = np.stack(columns, axis=1).astype(np.uint8) if columns else np.zeros((len(self.text), 0), np.uint8)
        return kept, np.ascontiguousarray(table)

    @cached_property
    def flag_counts(self) -> NDArray[np.float64]:
        """How often each of the flags holds. Shape: (conditions,)."""
        return np.asarray(self.flags[1].sum(0, dtype=np.float64))

    @cached_property
    def forms(self) -> Family:
        """Forms and affixes that some but not all of the seen tokens have."""
        usage = self.text.usage
        factors: list[Factor] = [Form(name) for name in FORMS if name != "any"]
        factors += _affixes(usage.bare, usage.counts)
        masks = [usage.form(f.name) if isinstance(f, Form) else usage.affix(f) for f in factors if isinstance(f, Form | Affix)]
        seen = usage.counts > 0
        kept = [i for i, mask in enumerate(masks) if 3 <= (mask & seen).sum() < seen.sum()]
        members = np.zeros((len(kept), self.size + 1), np.float32)
        for place, i in enumerate(kept):
            members[place, :-1] = masks[i]
        return Family(tuple(factors[i] for i in kept), members)

    @cached_property
    def rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Distinct symbols of each window and where they stand first: starts (rows + 1,), symbols and flat indices (entries,)."""
        text = self.text
        symbol = self.symbol_of[text.ids]
        order = np.lexsort((text.index, symbol, text.row))
        first = np.ones(len(order), bool)
        first[1:] = (text.row[order[1:]] != text.row[order[:-1]]) | (symbol[order[1:]] != symbol[order[:-1]])
        kept = order[first]
        starts = np.searchsorted(text.row[kept], np.arange(len(text.starts)))
        return starts, symbol[kept], kept


def _affixes(texts: Sequence[str], counts: NDArray[np.int64]) -> list[Factor]:
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
    return [Affix("starting" if kind == "starting" else "ending", (part,)) for kind, part in common[:MAX_AFFIXES]]
