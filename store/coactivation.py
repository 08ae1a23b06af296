"""Which features fire on the same train tokens, counted on a fixed sample of train tokens so that the work stays bounded.

The sample is drawn by a hash of the token's place in the corpus; its expected size is the largest that keeps the rows under
MAX_ROWS and the pairs under MAX_PAIRS, and it is recorded in the store. On small corpora it is all train tokens.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import scipy.sparse
from jaxtyping import Bool, Float64, Int64

from .blocks import Block, Corpus
from .hashing import mix
from .slices import sort_slices, starts

KEPT = 16
"""Features kept for each feature."""
MIN_BOTH = 2
"""Pairs that fire together on fewer sampled tokens are left out."""
MAX_TOKENS = 200_000
MAX_ROWS = 8_000_000
MAX_PAIRS = 64_000_000
_CHUNK = 1024


class Coactivation:
    """Collects the firing rows of the sampled tokens and counts pairs."""

    def __init__(self, width: int, corpus: Corpus, activations: int) -> None:
        """activations: number of rows of the whole store, an upper bound for the firing ones."""
        tokens = len(corpus.ids)
        a_token = max(activations / max(tokens, 1), 1.0)
        rate = min(MAX_TOKENS, MAX_ROWS / a_token, MAX_PAIRS / a_token**2) / max(corpus.tokens()[0], 1)
        self.width, self.corpus = width, corpus
        in_train = np.repeat(corpus.split == 0, np.diff(corpus.starts))
        self._sampled = in_train if rate >= 1 else in_train & (mix(np.arange(tokens)) < np.uint64(rate * 2.0**64))
        self.tokens = int(self._sampled.sum())
        """Size of the sample."""
        self._rows: list[np.ndarray] = []
        self._features: list[np.ndarray] = []

    def add(self, block: Block, fires: Bool[np.ndarray, " rows"]) -> None:
        """Take in the firing rows of a block."""
        kept = np.flatnonzero(fires)
        kept = kept[self._sampled[block.token[kept]]]
        self._rows.append(block.token[kept])
        self._features.append(block.feature[kept])

    def table(self) -> pa.Table:
        """The rows of table `coactivation`."""
        rows = np.concatenate([*self._rows, np.empty(0, np.int64)])
        counts = np.bincount(np.concatenate([*self._features, np.empty(0, np.uint32)]), minlength=self.width)
        rows = np.cumsum(self._sampled, dtype=np.int32)[rows] - 1  # numbered within the sample
        ends = np.concatenate([[0], np.cumsum(counts)])
        by_feature = scipy.sparse.csr_matrix((np.ones(len(rows), np.int32), rows, ends), shape=(self.width, self.tokens))
        by_token = by_feature.T.tocsr()
        parts = [_best(by_feature[at : at + _CHUNK] @ by_token, at, counts) for at in range(0, self.width, _CHUNK)]
        names = ("feature", "rank", "other", "jaccard", "shared")
        return pa.table({name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(names)})


def _best(both: scipy.sparse.csr_matrix, first: int, alone: Int64[np.ndarray, " features"]) -> tuple[np.ndarray, ...]:
    """The best partners of some features, from their rows of the co-occurrence counts."""
    enough = np.flatnonzero(both.data >= MIN_BOTH)
    feature = np.repeat(np.arange(first, first + both.shape[0], dtype=np.int32), np.diff(both.indptr))[enough]
    other, count = both.indices[enough], both.data[enough]
    apart = feature != other
    feature, other, count = feature[apart], other[apart], count[apart].astype(np.int64)
    jaccard = count / (alone[feature] + alone[other] - count)
    close = _not_below_the_last(jaccard, np.bincount(feature - first, minlength=both.shape[0]))
    feature, other, count, jaccard = feature[close], other[close], count[close], jaccard[close]
    order = np.lexsort((other, -jaccard, feature))
    feature, other, count, jaccard = feature[order], other[order], count[order], jaccard[order]
    rank = np.arange(len(feature)) - np.searchsorted(feature, feature)
    best = rank < KEPT
    return feature[best].astype(np.uint32), rank[best].astype(np.uint8), other[best].astype(np.uint32), jaccard[best], count[best]


def _not_below_the_last(
    jaccard: Float64[np.ndarray, " pairs"], lengths: Int64[np.ndarray, " features"]
) -> Bool[np.ndarray, " pairs"]:
    """Which pairs can be among the KEPT best of their feature, ties included, so that only they need ordering."""
    falling = ~jaccard.astype(np.float32).view(np.uint32)  # the bits of positive floats sort like the floats
    ordered = falling.copy()
    sort_slices(ordered, lengths)
    last = ordered[np.minimum(starts(lengths) + np.minimum(KEPT, lengths) - 1, len(ordered) - 1)] if len(ordered) else ordered
    return np.asarray(falling <= np.repeat(last, lengths)) if len(ordered) else np.zeros(0, bool)
