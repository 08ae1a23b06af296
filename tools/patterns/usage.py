"""How tokens are used: distributional vectors computed on train tokens only, and the sets of tokens that patterns name.

1. Count, for every token seen at least `MIN_COUNT` times, which tokens stand one and two places before and after it.
2. Turn the counts into positive pointwise mutual information (context counts raised to .75).
3. Reduce to `DIMENSIONS` by a randomised singular value decomposition with a fixed seed; scale rows to length 1.

Two tokens are used alike when the cosine of their vectors is high; "like A, B" are the tokens close to the mean of
A's and B's vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from .forms import FORMS, bare
from .language import Affix, But, Closeness, Factor, Form, Like, OneOf, Term, Tokens

if TYPE_CHECKING:
    from .text import TokenTable

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

MIN_COUNT = 5
"""A token rarer than this on train has no vector: it is used like nothing."""
DIMENSIONS = 50
COLUMNS = 2000
"""How many of the commonest tokens are counted as neighbours."""
COSINE: dict[Closeness, float] = {"loosely-like": 0.5, "like": 0.65, "much-like": 0.8}
"""Least cosine with the mean of the named tokens."""


class Usage:
    """Vectors of the vocabulary, and membership of token sets in it."""

    def __init__(
        self, vocabulary: Sequence[str], vectors: Floats, counts: NDArray[np.int64], train: TokenTable | None = None
    ) -> None:
        """`vectors`: rows of length 1, or 0 for tokens without one. Shape: (vocabulary, dimensions). `counts`: on
        train. Shape: (vocabulary,). `train`: its tokens, for the use of whole words."""
        self.vocabulary = list(vocabulary)
        self._train = train
        self.vectors = vectors
        self.counts = counts

    @cached_property
    def bare(self) -> list[str]:
        """Text of each token without its leading space."""
        return [bare(text) for text in self.vocabulary]

    @cached_property
    def words(self) -> Usage:
        """How whole words are used, learned from the same train tokens when first asked for."""
        from .text import PatternText

        if self._train is None:
            return Usage([], np.zeros((0, DIMENSIONS), np.float32), np.zeros(0, np.int64))
        text = PatternText(self._train, self)
        word, window = text.word_runs
        return learn_usage(word.astype(np.int32), window.astype(np.int32), text.words)

    def classify(self, texts: Sequence[str], tokens: Tokens) -> Mask:
        """Which of these texts are in the set; "used like" holds for those that train knows. Shape: (texts,)."""
        mask = np.zeros(len(texts), bool)
        for term in tokens.terms:
            both = np.ones(len(texts), bool)
            for factor in term:
                both &= self._fits(texts, factor)
            mask |= both
        return mask

    def _fits(self, texts: Sequence[str], factor: Factor) -> Mask:
        if isinstance(factor, But):
            return ~self._fits(texts, factor.inner)
        if isinstance(factor, Like):
            alike = {self.vocabulary[place] for place in np.flatnonzero(self.like(factor))} | set(factor.names)
            return np.fromiter(map(alike.__contains__, texts), bool, len(texts))
        if isinstance(factor, Form):
            return np.array([FORMS[factor.name].test(text) for text in texts], bool)
        if isinstance(factor, OneOf):
            return np.fromiter(map(set(factor.texts).__contains__, texts), bool, len(texts))
        return np.array([affixed(factor, text) for text in texts], bool)

    @cached_property
    def ids_of(self) -> dict[str, list[int]]:
        """Ids for each text that a literal can name: the exact text, or the one without its leading space."""
        found: dict[str, list[int]] = {}
        for token, (text, stem) in enumerate(zip(self.vocabulary, self.bare, strict=True)):
            for name in {text, stem}:
                found.setdefault(name, []).append(token)
        return found

    @cached_property
    def _forms(self) -> dict[str, Mask]:
        return {}

    def form(self, name: str) -> Mask:
        """Which token ids have the form. Shape: (vocabulary,)."""
        if name not in self._forms:
            test = FORMS[name].test
            self._forms[name] = np.array([test(text) for text in self.bare], bool)
        return self._forms[name]

    def members(self, tokens: Tokens) -> Mask:
        """Which token ids are in the set. Shape: (vocabulary,)."""
        mask = np.zeros(len(self.vocabulary), bool)
        for term in tokens.terms:
            mask |= self._term(term)
        return mask

    def _term(self, term: Term) -> Mask:
        mask = np.ones(len(self.vocabulary), bool)
        for factor in term:
            mask &= self._factor(factor)
        return mask

    def _factor(self, factor: Factor) -> Mask:
        if isinstance(factor, But):
            return ~self._factor(factor.inner)
        if isinstance(factor, OneOf):
            return self._named(factor.texts)
        if isinstance(factor, Form):
            return self.form(factor.name)
        if isinstance(factor, Affix):
            return self.affix(factor)
        return self.like(factor)

    def _named(self, texts: Sequence[str]) -> Mask:
        mask = np.zeros(len(self.vocabulary), bool)
        for text in texts:
            mask[self.ids_of.get(text, [])] = True
        return mask

    def affix(self, affix: Affix) -> Mask:
        """Tokens that are longer than the affix and have it. Shape: (vocabulary,)."""
        known = self._affixes.get(affix)
        if known is not None:
            return known
        mask = np.array([affixed(affix, text) for text in self.bare], bool)
        self._affixes[affix] = mask
        return mask

    @cached_property
    def _affixes(self) -> dict[Affix, Mask]:
        return {}

    def centre(self, names: Sequence[str]) -> Floats:
        """Mean direction of the named tokens, twins with and without a space weighted by how often they occur. Shape:
        (dimensions,)."""
        return unit(np.sum([self.direction(name) for name in names], axis=0, dtype=np.float32))

    def direction(self, name: str) -> Floats:
        """Vector of one named token, of length 1, or 0 where it has none. Shape: (dimensions,)."""
        known = self._directions.get(name)
        if known is None:
            ids = self.ids_of.get(name, [])
            known = unit(self.counts[ids].astype(np.float32) @ self.vectors[ids])
            self._directions[name] = known
        return known

    @cached_property
    def _directions(self) -> dict[str, Floats]:
        return {}

    def like(self, like: Like) -> Mask:
        """The named tokens and those whose vectors are close to their mean. Shape: (vocabulary,)."""
        return (self.vectors @ self.centre(like.names) >= COSINE[like.closeness]) | self._named(like.names)


def affixed(affix: Affix, text: str) -> bool:
    """Whether a text is longer than one of the parts and has it."""
    has = _HAS[affix.kind]
    return has(text, affix.texts) and any(len(text) > len(part) and has(text, (part,)) for part in affix.texts)


_HAS: dict[str, Callable[[str, tuple[str, ...]], bool]] = {
    "starting": str.startswith,
    "ending": str.endswith,
    "containing": lambda text, parts: any(part in text for part in parts),
}
"""Whether a text has one of several parts."""


def unit(vector: Floats) -> Floats:
    """The vector scaled to length 1; zero stays zero."""
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length > 0 else vector


def usage_of(train: TokenTable) -> Usage:
    """How tokens, and whole words, are used on train."""
    found = learn_usage(train.ids, train.row, train.vocabulary)
    return Usage(found.vocabulary, found.vectors, found.counts, train)


def learn_usage(ids: NDArray[np.int32], row: NDArray[np.int32], vocabulary: Sequence[str]) -> Usage:
    """Vectors from the train tokens `ids` (shape: (tokens,)) and the windows they lie in (`row`, same shape). Deterministic."""
    size = len(vocabulary)
    counts = np.bincount(ids, minlength=size).astype(np.int64)
    kept = np.flatnonzero(counts >= MIN_COUNT)
    vectors = np.zeros((size, DIMENSIONS), np.float32)
    if len(kept) > 2:
        columns = np.argsort(-counts, kind="stable")[: min(COLUMNS, size)]
        found = _reduce(_information(ids, row, size, kept, columns))
        vectors[kept, : found.shape[1]] = found
    return Usage(vocabulary, vectors, counts)


def _information(
    ids: NDArray[np.int32], row: NDArray[np.int32], size: int, kept: NDArray[np.int64], columns: NDArray[np.int64]
) -> sparse.csr_matrix:
    """Positive pointwise mutual information of tokens and neighbours. Shape: (kept, 4 × columns)."""
    place = np.full(size, -1)
    place[kept] = np.arange(len(kept))
    column = np.full(size, -1)
    column[columns] = np.arange(len(columns))
    blocks = []
    for offset, weight in ((1, 1.0), (2, 0.5)):
        same = row[offset:] == row[:-offset]
        left, right = ids[:-offset][same], ids[offset:][same]
        for here, there in ((right, left), (left, right)):
            use = (place[here] >= 0) & (column[there] >= 0)
            ones = np.ones(int(use.sum()), np.float32)
            block = sparse.coo_matrix((ones, (place[here][use], column[there][use])), shape=(len(kept), len(columns))).tocsr()
            blocks.append(_positive(block) * weight)
    return sparse.hstack(blocks).tocsr()


def _positive(block: sparse.csr_matrix) -> sparse.csr_matrix:
    total = max(1.0, float(block.sum()))
    rows = np.asarray(block.sum(1)).ravel()
    columns = np.asarray(block.sum(0)).ravel() ** 0.75
    share = columns / max(1e-9, columns.sum())
    pairs = block.tocoo()
    value = np.log(
        np.maximum(pairs.data / np.maximum(rows[pairs.row], 1) / np.maximum(share[pairs.col], 1.0 / total / 1e3), 1e-9)
    )
    return sparse.coo_matrix((np.maximum(value, 0).astype(np.float32), (pairs.row, pairs.col)), shape=block.shape).tocsr()


def _reduce(matrix: sparse.csr_matrix) -> Floats:
    rank = min(DIMENSIONS, min(matrix.shape) - 1)
    random = np.random.default_rng(0).standard_normal((matrix.shape[1], rank + 10)).astype(np.float32)
    basis = np.linalg.qr(matrix @ random)[0]
    for _ in range(3):
        basis = np.linalg.qr(matrix @ (matrix.T @ basis))[0]
    left, singular, _ = np.linalg.svd((matrix.T @ basis).T, full_matrices=False)
    scaled = (basis @ left[:, :rank]) * np.sqrt(singular[:rank])
    lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
    return cast(Floats, (scaled / np.maximum(lengths, 1e-9)).astype(np.float32))
