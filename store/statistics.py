"""Statistics of every feature, computed from the sorted activation table a block of whole features at a time.

1. The first row of a feature and split is its maximum, because values descend. That gives the threshold.
2. Quantiles are read off at their ranks, the histogram and the top tokens are counted, from train rows only.
3. Contexts and documents in which the feature fires are counted as distinct numbers among its sorted contexts.
4. Features without any activation get a row of zeros.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float32, Int64, Integer, UInt32

from .blocks import Block, Corpus
from .records import SPLITS, DictionaryInfo
from .slices import sort_slices, starts, sums

FIRES_ABOVE = 0.2
"""A feature fires above this share of its train maximum."""
LIVE_DOCUMENTS = (10, 5, 10)
"""Train, validation and test documents that a live feature fires in."""
QUANTILES = np.linspace(0.0, 1.0, 11)
BINS = 20
TOP_TOKENS = 20
TOP_TOKEN_COUNT = 3
"""Only tokens that the feature is active on at least so often can be top tokens."""
_S = len(SPLITS)


class Statistics:
    """Collects the statistics of `width` features."""

    def __init__(self, width: int, corpus: Corpus) -> None:
        self.corpus = corpus
        self.active = np.zeros((width, _S), np.int64)
        self.firing = np.zeros((width, _S), np.int64)
        self.sum = np.zeros(width)
        self.max = np.zeros((width, _S), np.float32)
        self.threshold = np.zeros(width, np.float32)
        self.quantiles = np.zeros((width, len(QUANTILES)))
        self.histogram = np.zeros((width, BINS), np.int64)
        self.contexts = np.zeros((width, _S), np.int64)
        self.documents = np.zeros((width, _S), np.int64)
        self._top: list[dict[str, np.ndarray]] = []

    def add(self, block: Block) -> Bool[np.ndarray, " rows"]:
        """Take in the features of a block; returns which of its rows fire."""
        here, counts = block.here, block.counts
        begins = starts(counts.ravel()).reshape(-1, _S)
        self.active[here] = counts
        self.max[here] = np.where(counts > 0, block.value[np.minimum(begins, len(block) - 1)], 0)
        self.threshold[here] = thresholds(self.max[here, 0])
        fires = block.value > np.repeat(self.threshold[here], counts.sum(axis=1))
        firing = sums(fires, counts.ravel())
        self.firing[here] = firing.reshape(-1, _S)
        self._add_train(block, begins[:, 0])
        self._add_places(block.context[fires], firing, here)
        return fires

    def _add_train(self, block: Block, begins: Integer[np.ndarray, " features"]) -> None:
        """What comes from train rows alone: mean, quantiles, histogram, top tokens."""
        here, counts = block.here, block.counts[:, 0]
        there = np.flatnonzero(counts)
        if not len(there):
            return
        train = block.split == 0
        value = block.value[train]
        feature = np.repeat(np.arange(len(counts)), counts)
        self.sum[here] = np.bincount(feature, weights=value, minlength=len(counts))
        highest = np.repeat(self.max[here, 0], counts)
        bins = np.minimum((value / highest * BINS).astype(np.int64), BINS - 1)
        self.histogram[here] = np.bincount(feature * BINS + bins, minlength=len(counts) * BINS).reshape(-1, BINS)
        place = (counts[there, None] - 1) * (1 - QUANTILES)  # from the top, because values descend
        below = np.floor(place).astype(np.int64)
        upper = block.value[begins[there, None] + below].astype(np.float64)
        lower = block.value[begins[there, None] + np.minimum(below + 1, counts[there, None] - 1)].astype(np.float64)
        self.quantiles[block.first + there] = upper + (lower - upper) * (place - below)
        self._top.append(_top_tokens(counts, self.corpus.ids[block.token[train]], value, block.first))

    def _add_places(
        self, context: UInt32[np.ndarray, " rows"], firing: Int64[np.ndarray, " features_times_3"], here: slice
    ) -> None:
        """Distinct contexts and documents among the firing rows, of which each feature and split has `firing`."""
        sort_slices(context, firing)
        begins = starts(firing)[firing > 0]
        new = np.diff(context, prepend=np.uint32(0)) != 0
        new[begins] = True
        self.contexts[here] = sums(new, firing).reshape(-1, _S)
        document = self.corpus.document[context]
        new = np.diff(document, prepend=-1) != 0
        new[begins] = True
        self.documents[here] = sums(new, firing).reshape(-1, _S)

    def feature_table(self, dictionaries: Sequence[DictionaryInfo], sampled: Bool[np.ndarray, " features"]) -> pa.Table:
        """The rows of table `feature`, one for every feature of every dictionary."""
        tokens = self.corpus.tokens()
        train, everything = max(tokens[0], 1), max(sum(tokens), 1)
        active, firing = self.active[:, 0], self.firing[:, 0]
        widths = [dictionary.width for dictionary in dictionaries]
        live = (self.documents >= np.array(LIVE_DOCUMENTS)).all(axis=1)
        liveness = np.where(firing == 0, "dead", np.where(live, "live", "rare"))
        return pa.table(
            {
                "feature": pa.array(np.arange(len(active)), pa.uint32()),
                "dictionary": pa.array(np.repeat(np.arange(len(widths)), widths), pa.uint8()),
                "index": pa.array(np.concatenate([np.arange(width) for width in widths]), pa.uint32()),
                "max": self.max[:, 0].astype(np.float64),
                "mean": self.sum / np.maximum(active, 1),
                "active": active,
                "density": active / train,
                "firing": firing,
                "firing_density": firing / train,
                "threshold": self.threshold.astype(np.float64),
                "quantiles": pa.FixedSizeListArray.from_arrays(self.quantiles.ravel(), len(QUANTILES)),
                "histogram": pa.FixedSizeListArray.from_arrays(self.histogram.ravel(), BINS),
                "firing_contexts": self.contexts[:, 0],
                "corpus_max": self.max.max(axis=1).astype(np.float64),
                "corpus_active": self.active.sum(axis=1),
                "corpus_density": self.active.sum(axis=1) / everything,
                "corpus_firing_contexts": self.contexts.sum(axis=1),
                "corpus_train_documents": self.documents[:, 0],
                "corpus_validation_documents": self.documents[:, 1],
                "corpus_test_documents": self.documents[:, 2],
                "liveness": pa.array(liveness.tolist(), pa.string()),
                "dense": 2 * self.contexts.sum(axis=1) > len(self.corpus.split),
                "sampled": sampled,
            }
        )

    def top_token_table(self) -> pa.Table:
        """The rows of table `top_token`."""
        names = {"feature": np.uint32, "rank": np.uint8, "token": np.uint32, "mean_value": np.float64, "count": np.int64}
        return pa.table(
            {
                name: np.concatenate([part[name] for part in self._top]) if self._top else np.empty(0, kind)
                for name, kind in names.items()
            }
        )


def thresholds(train_max: Float32[np.ndarray, " features"]) -> Float32[np.ndarray, " features"]:
    """0.2 times the train maximum in single precision, so that every comparison with a stored value says the same."""
    return (FIRES_ABOVE * train_max.astype(np.float64)).astype(np.float32)


def _top_tokens(
    counts: Int64[np.ndarray, " features"],
    token: Integer[np.ndarray, " rows"],
    value: Float32[np.ndarray, " rows"],
    first: int,
) -> dict[str, np.ndarray]:
    """The top tokens of the features of a block, as columns of table `top_token`; `counts` rows belong to each feature.

    A feature's rows are sorted by token and value, packed into one number; the bits of positive floats sort like the floats.
    """
    key = (token.astype(np.uint64) << np.uint64(32)) | value.view(np.uint32)
    sort_slices(key, counts)
    token, value = (key >> np.uint64(32)).astype(np.int64), key.astype(np.uint32).view(np.float32)
    new = np.diff(token, prepend=-1) != 0
    new[starts(counts)[counts > 0]] = True
    begins = np.flatnonzero(new)
    times = np.diff(begins, append=len(key))
    enough = times >= TOP_TOKEN_COUNT
    means = (np.add.reduceat(value.astype(np.float64), begins) / times)[enough]
    local = np.repeat(np.arange(len(counts)), sums(new, counts))[enough]
    token, times = token[begins[enough]], times[enough]
    order = np.lexsort((token, -means, local))
    local, token, means, times = local[order], token[order], means[order], times[order]
    rank = np.arange(len(local)) - np.searchsorted(local, local)
    best = rank < TOP_TOKENS
    return {
        "feature": (local[best] + first).astype(np.uint32),
        "rank": rank[best].astype(np.uint8),
        "token": token[best].astype(np.uint32),
        "mean_value": means[best],
        "count": times[best],
    }
