"""Spans that could stand where a span stands: of the same form, and used like it on train.

The form of a text keeps its layout and forgets its letters: ` Monday` and ` April` are both ` Aa`, `42` and `17` both `00`. How a
span is used is the mean of its tokens' distributional vectors (see patterns/usage.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise

import numpy as np

from dragoman.store.view import TrainView

from .patterns.usage import Usage, learn_usage

LONGEST = 6
"""Tokens of a span that can be replaced."""
_LOOKED_AT = 40_000
"""Places in the corpus that are looked at."""


def form(text: str) -> str:
    """The layout of a text: a word as A, Aa or a by its capitals, every digit as 0."""
    text = re.sub(r"\d", "0", text)
    text = re.sub(r"[^\W\d_]+", lambda run: _case(run[0]), text)
    return re.sub(r" +", " ", text)


class Kinds:
    """Finds spans of a kind in the train split."""

    def __init__(self, view: TrainView) -> None:
        self._view = view

    def like(self, span: Sequence[int], n: int = 5) -> list[tuple[int, ...]]:
        """Up to n other spans of the form of `span`, those used most like it first. They begin and end where words do."""
        own = tuple(int(i) for i in span)
        spans = [s for s in self._spans.get(form("".join(self._strings[i] for i in own)), []) if s != own]
        if not spans or n < 1:
            return []
        alike = np.array([self._vector(s) for s in spans]) @ self._vector(own)
        return [spans[i] for i in np.argsort(-alike, kind="stable")[:n]]

    def words(self, ids: Sequence[int]) -> list[tuple[int, int]]:
        """Start and stop of each word of a text: it begins where a token does not go on with a letter or digit."""
        starts = [at for at, token in enumerate(ids) if at == 0 or self._begins[token]]
        return list(pairwise([*starts, len(ids)]))

    @cached_property
    def _spans(self) -> dict[str, list[tuple[int, ...]]]:
        """Spans that are words or a few words, by form, in the order of their first occurrence."""
        tokens = self._view.tokens
        ids, rows = tokens.ids, tokens.row
        starts = np.flatnonzero(self._begins[ids])
        if len(starts) > _LOOKED_AT:
            starts = np.sort(np.random.default_rng(0).choice(starts, _LOOKED_AT, replace=False))
        spans: dict[tuple[int, ...], None] = {}
        for start in starts.tolist():
            near = ids[start : start + LONGEST + 1][rows[start : start + LONGEST + 1] == rows[start]]
            ends = np.flatnonzero(self._begins[near[1:]]) + 1
            spans.update((tuple(near[:end].tolist()), None) for end in ends.tolist())
        forms: dict[str, list[tuple[int, ...]]] = {}
        for span in spans:
            forms.setdefault(form("".join(self._strings[i] for i in span)), []).append(span)
        return forms

    def _vector(self, span: tuple[int, ...]) -> np.ndarray:
        """Mean of the tokens' vectors, of length 1, or 0 where they have none."""
        vector = self._usage.vectors[list(span)].mean(0)
        length = float(np.linalg.norm(vector))
        return np.asarray(vector / length if length else vector)

    @cached_property
    def _usage(self) -> Usage:
        tokens = self._view.tokens
        return learn_usage(tokens.ids, tokens.row, tokens.vocabulary)

    @property
    def _strings(self) -> list[str]:
        return self._view.tokens.vocabulary

    @cached_property
    def _begins(self) -> np.ndarray:
        """Which tokens begin a word: all but those that go on with a letter or digit. Shape: (vocabulary,)."""
        return np.array([not text[:1].isalnum() for text in self._strings], bool)


def _case(word: str) -> str:
    return "Aa" if word[:1].isupper() and word[1:] and not word[1:].isupper() else "A" if word[:1].isupper() else "a"
