"""The controls that stand beside every label: a token lookup and a shuffled label.

- Token lookup: the feature's mean activation on every token id, learned on train. It knows no context at all, but it memorises a
  number for every vocabulary entry, which no sentence can; so it is strong where a feature is about single tokens.
- Shuffled label: the label of another live feature. What it reaches is what labels reach by saying nothing about the feature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from dragoman.store.tokens import TokenTable

from .scorers.sample import Rows, context_peaks, token_index


@dataclass(frozen=True)
class TokenLookup:
    """Predicts a token's activation from its id alone."""

    share: Float[NDArray[np.float32], " vocabulary"]
    """Mean train activation of every token id as a share of the train maximum; 0 for ids that train does not hold."""
    decision: float
    """A context is predicted to fire when its largest share exceeds this; chosen on validation."""

    def simulate(self, tokens: TokenTable, rows: Rows) -> Float[NDArray[np.float32], " tokens"]:
        """Predicted activation at every token of the contexts, as a share of the train maximum."""
        return np.asarray(self.share[tokens.ids[token_index(tokens, rows)]])

    def detect(self, tokens: TokenTable, rows: Rows) -> Float[NDArray[np.float32], " contexts"]:
        """A probability of firing that orders contexts by their largest share and passes 0.5 at `decision`."""
        largest = _largest(self.share, tokens)[rows]
        return np.asarray(largest / np.maximum(largest + self.decision, 1e-12), np.float32)


def token_lookup(
    train: TokenTable,
    flat: Int[NDArray[np.int64], " active"],
    values: Float[NDArray[np.float32], " active"],
    validation: TokenTable,
    validation_flat: Int[NDArray[np.int64], " active"],
    validation_values: Float[NDArray[np.float32], " active"],
    threshold: float,
) -> TokenLookup:
    """Learn the lookup of one feature from its train activations; only the decision threshold is chosen on validation."""
    size = len(train.vocabulary)
    counts = np.bincount(train.ids, minlength=size)
    sums = np.bincount(train.ids[flat], weights=values, minlength=size)
    largest = max(float(values.max(initial=0)), 1e-12)
    share = (sums / np.maximum(counts, 1) / largest).astype(np.float32)
    peak = context_peaks(validation, validation_flat, validation_values)
    return TokenLookup(share, _decision(_largest(share, validation), peak, threshold))


def derangement(items: Sequence[int], seed: int) -> dict[int, int]:
    """A random cyclic order: every item is given another one and each is given once. Empty for fewer than two items.

    Sattolo's algorithm (1986) on the sorted items, so that the answer depends on the set and the seed only.
    """
    ordered = sorted(items)
    if len(ordered) < 2:
        return {}
    rng = np.random.default_rng([seed, len(ordered)])
    other = list(ordered)
    for last in range(len(other) - 1, 0, -1):
        place = int(rng.integers(0, last))
        other[last], other[place] = other[place], other[last]
    return dict(zip(ordered, other, strict=True))


def _largest(share: Float[NDArray[np.float32], " vocabulary"], tokens: TokenTable) -> Float[NDArray[np.float32], " contexts"]:
    """Largest share in every context of a split (windows are never empty)."""
    return np.asarray(np.maximum.reduceat(share[tokens.ids], tokens.starts[:-1]), np.float32)


def _decision(
    largest: Float[NDArray[np.float32], " contexts"], peak: Float[NDArray[np.float32], " contexts"], threshold: float
) -> float:
    """The cut of best balanced accuracy; half of the largest share where no context fires or none is silent."""
    kept = (peak == 0) | (peak > threshold)
    fires, guess = peak[kept] > threshold, largest[kept]
    if not fires.any() or fires.all():
        return float(largest.max(initial=1.0)) / 2
    order = np.argsort(-guess, kind="stable")
    hits, alarms = np.cumsum(fires[order]) / fires.sum(), np.cumsum(~fires[order]) / (~fires).sum()
    cuts = np.append(guess[order][1:], 0.0)
    usable = guess[order] > cuts
    if not usable.any():
        return float(guess[0]) / 2
    best = int(np.argmax(np.where(usable, hits - alarms, -np.inf)))
    return float((guess[order][best] + cuts[best]) / 2)
