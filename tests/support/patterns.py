"""Small token tables from plain texts, and random patterns, for the tests of the pattern language and of induction."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from dragoman.tools.patterns import PatternText, learn_usage
from dragoman.tools.patterns.evaluate import FLAGS
from dragoman.tools.patterns.forms import FORMS
from dragoman.tools.patterns.language import (
    LEVELS,
    Affix,
    Begins,
    But,
    Clause,
    Earlier,
    Flag,
    Form,
    Inside,
    Like,
    Match,
    Near,
    OneOf,
    Pattern,
    Position,
    Tokens,
    Unless,
    Word,
)
from dragoman.tools.patterns.spans import SPANS


@dataclass(frozen=True)
class Table:
    """A token table as the store makes them, with one window per text."""

    ids: NDArray[np.int32]
    row: NDArray[np.int32]
    starts: NDArray[np.int64]
    vocabulary: list[str]
    char_start: NDArray[np.int32]
    char_end: NDArray[np.int32]
    texts: tuple[str, ...]

    @property
    def context_ids(self) -> NDArray[np.int64]:
        """The rows themselves."""
        return np.arange(len(self.texts))

    def text(self, row: int) -> str:
        """The window."""
        return self.texts[row]


def table_of(
    texts: list[str], pieces: str = r" ?[A-Za-z]{1,4}| ?\d|\s| ?[^A-Za-z\d\s]", vocabulary: list[str] | None = None
) -> Table:
    """Cut texts into the tokens that a regular expression finds; the vocabulary is in order of first use unless given."""
    index = {text: token for token, text in enumerate(vocabulary or [])}
    ids, rows, spans = [], [], []
    for row, text in enumerate(texts):
        for match in re.finditer(pieces, text):
            ids.append(index.setdefault(match[0], len(index)))
            rows.append(row)
            spans.append(match.span())
    where = np.array(spans, np.int32).reshape(-1, 2)
    starts = np.searchsorted(np.array(rows), np.arange(len(texts) + 1))
    return Table(
        np.array(ids, np.int32),
        np.array(rows, np.int32),
        starts,
        list(index),
        where[:, 0].copy(),
        where[:, 1].copy(),
        tuple(texts),
    )


def text_of(texts: list[str]) -> PatternText:
    """The texts ready for patterns, usage learned from themselves."""
    table = table_of(texts)
    return PatternText(table, learn_usage(table.ids, table.row, table.vocabulary))


_texts = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")) | st.sampled_from('"\\\n\t /'), min_size=1, max_size=6
)
_names = st.lists(_texts, min_size=1, max_size=3, unique=True).map(tuple)
_factors = st.one_of(
    st.builds(OneOf, _names),
    st.builds(Form, st.sampled_from(sorted(set(FORMS) - {"any"}))),
    st.builds(Affix, st.sampled_from(["starting", "ending", "containing"]), _names),
    st.builds(Like, st.sampled_from(["loosely-like", "like", "much-like"]), _names),
)
_terms = st.lists(st.one_of(_factors, st.builds(But, _factors)), min_size=1, max_size=2, unique=True).map(tuple)
sets = st.one_of(
    st.lists(_terms, min_size=1, max_size=2, unique=True).map(lambda terms: Tokens(tuple(terms))),
    st.just(Tokens(((Form("any"),),))),
)
_plain = st.one_of(
    st.builds(Near, st.sampled_from([-3, -2, -1, 1, 2]), sets),
    st.builds(Earlier, st.sampled_from(["text", "line", "sentence", "word", 1, 4, 16]), sets),
    st.builds(Begins, st.sampled_from(["word", "line", "sentence", "text"]), sets),
    st.builds(Word, st.sampled_from([-1, 0, 1]), sets),
    st.builds(Inside, st.sampled_from(sorted(SPANS))),
    st.builds(Flag, st.sampled_from(sorted(FLAGS))),
    st.builds(Position, st.sampled_from(["first", "beyond"]), st.integers(1, 99)),
    st.sampled_from(["a+", r"x(\d)y", r"(?i)q"]).map(Match),
)
conditions = st.one_of(_plain, st.builds(Unless, _plain))
clauses = st.builds(Clause, st.sampled_from(sorted(LEVELS)), sets, st.lists(conditions, max_size=3, unique=True).map(tuple))
patterns = st.lists(clauses, min_size=1, max_size=3, unique_by=lambda clause: (clause.tokens, clause.conditions)).map(
    lambda found: Pattern(tuple(found))
)
