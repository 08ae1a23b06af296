"""Which activations of a feature are kept when a store is made with at most so many a feature.

Whole contexts are kept or left out, so that a kept context shows all its activations. Within a feature and split the contexts
are put in order of their peak and cut into ten bins of equal size; in each bin contexts are taken in the order of a hash
until the bin's share of the allowance is used. The contexts with the highest peaks are always kept. The names of the active
contexts that are left out are kept too: they are not silent. Depends on nothing but the rows, so that the same input gives
the same sample.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Integer

from .blocks import Block
from .hashing import mix

SHARES = (0.6, 0.2, 0.2)
"""Parts of the allowance of a feature for train, validation and test."""
ALWAYS = 20
"""So many contexts with the highest peaks are kept in any case."""
PEAK_BINS = 10


def kept_rows(block: Block, max_per_feature: int) -> Bool[np.ndarray, " rows"]:
    """Which rows of a block to keep."""
    keep = np.ones(len(block), bool)
    ends = np.cumsum(block.counts).reshape(block.counts.shape)
    allowances = max_per_feature * np.array(SHARES)
    for feature, split in np.argwhere(block.counts > allowances).tolist():
        here = slice(int(ends[feature, split] - block.counts[feature, split]), int(ends[feature, split]))
        keep[here] = _kept_in_group(block.context[here], block.first + feature, float(allowances[split]))
    return keep


def _kept_in_group(context: Integer[np.ndarray, " rows"], feature: int, allowance: float) -> Bool[np.ndarray, " rows"]:
    """Which rows of one feature and split to keep; rows are in descending order of value."""
    unique, peak_row, inverse, sizes = np.unique(context, return_index=True, return_inverse=True, return_counts=True)
    by_peak = np.argsort(peak_row)  # unique contexts, highest peak first
    kept = np.zeros(len(unique), bool)
    kept[by_peak[:ALWAYS]] = True
    for members in np.array_split(by_peak, PEAK_BINS):
        order = members[np.argsort(mix(unique[members], feature))]
        kept[order] |= np.cumsum(sizes[order]) <= allowance / PEAK_BINS
    return np.asarray(kept[inverse])
