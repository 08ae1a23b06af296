"""Which features fire on the same train tokens, counted on a fixed sample of train tokens so that the work stays bounded.

The sample is drawn by a hash of the token's place in the corpus; its expected size is the largest that keeps the rows under
MAX_ROWS and the pairs under MAX_PAIRS, and it is recorded in the store. On small corpora it is all train tokens.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import scipy.sparse
from jaxtyping import Bool, Int64

from .blocks import Block, Corpus
from .hashing import mix

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
        fires = fires & (block.split == 0)
        flat = self.corpus.starts[block.context[fires]] + block.position[fires]
        kept = self._sampled[flat]
        self._rows.append(flat[kept])
        self._features.append(block.feature[fires][kept].astype(np.int64))

    def table(self) -> pa.Table:
        """The rows of table `coactivation`."""
        rows = np.concatenate([*self._rows, np.empty(0, np.int64)])
        features = np.concatenate([*self._features, np.empty(0, np.int64)])
        rows = np.cumsum(self._sampled, dtype=np.int32)[rows].astype(np.int64) - 1  # numbered within the sample
        fired = scipy.sparse.csc_matrix((np.ones(len(rows), np.int32), (rows, features)), shape=(self.tokens, self.width))
        alone = np.asarray(fired.sum(axis=0)).ravel().astype(np.int64)
        by_token = fired.T.tocsr()
        parts = [_best(by_token[at : at + _CHUNK] @ fired, at, alone) for at in range(0, self.width, _CHUNK)]
        names = ("feature", "rank", "other", "jaccard", "shared")
        return pa.table({name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(names)})


def _best(both: scipy.sparse.csr_matrix, first: int, alone: Int64[np.ndarray, " features"]) -> tuple[np.ndarray, ...]:
    """The best partners of some features, from their rows of the co-occurrence counts."""
    pairs = both.tocoo()
    feature, other, count = pairs.row.astype(np.int64) + first, pairs.col.astype(np.int64), pairs.data.astype(np.int64)
    enough = (feature != other) & (count >= MIN_BOTH)
    feature, other, count = feature[enough], other[enough], count[enough]
    jaccard = count / (alone[feature] + alone[other] - count)
    order = np.lexsort((other, -jaccard, feature))
    feature, other, count, jaccard = feature[order], other[order], count[order], jaccard[order]
    rank = np.arange(len(feature)) - np.searchsorted(feature, feature)
    best = rank < KEPT
    return feature[best].astype(np.uint32), rank[best].astype(np.uint8), other[best].astype(np.uint32), jaccard[best], count[best]
