"""The organism's concepts on a store's tokens: which token carries which, and which live features are close to one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from dragoman.evals.organism.concepts import CONCEPTS
from dragoman.evals.organism.document import Document
from dragoman.store.features import Store
from dragoman.store.records import Split

NEXT = "next:"
NAMES = [*CONCEPTS, *(f"{NEXT}{concept}" for concept in CONCEPTS)]
"""`next:C` lies on the token before a span of C."""
_PLACES = {concept: place for place, concept in enumerate(NAMES)}
ALONE = 0.9
"""A concept that "the token is w" finds with this F1 for some w says no more than a word."""


class Named(NamedTuple):
    """A feature and the concept that fits it best on validation."""

    feature: int
    """Global id."""
    concept: int
    """Place in `NAMES`."""
    f1: float
    """Of firing against the concept, per token, on validation."""

    @property
    def name(self) -> str:
        """The concept."""
        return NAMES[self.concept]


def carried(store: Store, split: Split, documents: Mapping[str, Document]) -> csr_matrix:
    """Which tokens of a split carry which concept: (tokens, concepts)."""
    tokens = store.tokens(split)
    first = np.flatnonzero(np.diff(tokens.document[tokens.row], prepend=-1))
    ends = np.append(first[1:], len(tokens.ids))
    cells: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for begin, end in zip(first.tolist(), ends.tolist(), strict=True):
        document = documents[tokens.document_text(int(tokens.row[begin]))]
        at, column = marks(document, tokens.char_start[begin:end], tokens.char_end[begin:end], tokens.row[begin:end])
        cells.append((at + begin, column))
    return table_of(cells, len(tokens.ids))


def marks(
    document: Document, left: NDArray[np.int32], right: NDArray[np.int32], row: NDArray[np.int32] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tokens of a document and the concepts that they carry, in pairs: a character other than white space lies in a span.

    left, right: the characters of each token. row: windows of the tokens; nothing is announced across them.
    """
    solid = np.concatenate(([0], np.cumsum([not c.isspace() for c in document.text])))
    at: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    columns: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    for span in document.spans:
        if span.concept in _PLACES:
            low, high = np.maximum(left, span.start), np.minimum(right, span.end)
            on = np.flatnonzero((low < high) & (solid[np.maximum(high, low)] > solid[low]))
            at.append(on)
            columns.append(np.full(len(on), _PLACES[span.concept]))
            if len(on) and on[0] > 0 and (row is None or row[on[0] - 1] == row[on[0]]):
                at.append(on[:1] - 1)
                columns.append(np.array([_PLACES[f"{NEXT}{span.concept}"]]))
    return np.concatenate(at), np.concatenate(columns)


def table_of(cells: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]], tokens: int) -> csr_matrix:
    """Such pairs as a table of ones: (tokens, concepts)."""
    at, column = (np.concatenate([pair[side] for pair in cells]) for side in (0, 1))
    table = csr_matrix((np.ones(len(at), np.float32), (at, column)), shape=(tokens, len(NAMES)))
    table.sum_duplicates()
    table.data[:] = 1
    return table


def names_of(store: Store, documents: Mapping[str, Document]) -> list[Named]:
    """The concept of every live feature: the best F1 of its firing, on validation."""
    carries = carried(store, "validation", documents)
    sizes = np.asarray(carries.sum(0)).ravel()
    found = []
    threshold = {row["feature"]: row["threshold"] for row in store.stats_table().to_pylist()}
    for feature in store.features("live"):
        flat, value = store.activations(feature, "validation")
        fires = flat[value > threshold[feature]]
        caught = np.asarray(carries[fires].sum(0)).ravel()
        f1 = 2 * caught / (len(fires) + sizes)
        best = int(np.argmax(np.where(sizes >= 20, f1, -1)))
        found.append(Named(feature, best, float(f1[best])))
    return found


def family_of(name: str) -> str:
    """The part of the generator that a concept comes from."""
    return CONCEPTS[name.removeprefix(NEXT)].family


def spread(store: Store, documents: Mapping[str, Document], named: Sequence[Named], least: float, each: int) -> list[Named]:
    """Features whose concept fits with an F1 of at least so much, so many of a family at most, no concept twice.

    Within a family first come concepts that no single token names, then those that fit best.
    """
    carries = carried(store, "validation", documents).tocsc()
    ids = store.tokens("validation").ids
    often = np.bincount(ids)

    def alone(concept: int) -> bool:
        on = carries.indices[carries.indptr[concept] : carries.indptr[concept + 1]]
        f1 = 2 * np.bincount(ids[on], minlength=len(often)) / np.maximum(often + len(on), 1)
        return bool(f1.max() >= ALONE)

    chosen: list[Named] = []
    taken: Counter[str] = Counter()
    for one in sorted((one for one in named if one.f1 >= least), key=lambda one: (alone(one.concept), -one.f1, one.feature)):
        if taken[family_of(one.name)] < each and all(one.concept != other.concept for other in chosen):
            taken[family_of(one.name)] += 1
            chosen.append(one)
    return chosen
