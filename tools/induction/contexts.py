"""Contexts as detection weighs them: a label must tell those in which the feature fires from silent ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dragoman.tools.patterns.text import PatternText

FIRES = 0.2
"""A feature fires above this share of its train maximum."""
TRIGGERS = 10
"""Near misses hold one of so many tokens on which the feature fires most often in train."""


class Contexts:
    """Weights of one split's contexts: all firing ones alike; of the silent ones, near misses as much as all together."""

    def __init__(
        self,
        text: PatternText,
        at: NDArray[np.int64],
        fires: NDArray[np.bool_],
        fired_on: NDArray[np.integer],
        unknown: Sequence[int] | NDArray[np.int64] = (),
    ) -> None:
        """`at`: flat indices of the active tokens of the split; `fires`: which of them are above the threshold (shapes:
        (active,)); `fired_on`: token ids on which the feature fires in train, one entry an occurrence; `unknown`: rows of the
        contexts that are neither, because a sampled store does not keep them."""
        rows = len(text.starts) - 1
        firing, silent = np.zeros(rows, bool), np.ones(rows, bool)
        firing[text.row[at[fires]]] = True
        silent[text.row[at]] = False
        silent[np.asarray(unknown, np.int64)] = False
        counts = np.bincount(fired_on, minlength=len(text.vocabulary))
        often = np.argsort(-counts, kind="stable")[:TRIGGERS]
        triggers = often[counts[often] > 0]
        near = np.zeros(rows, bool)
        for token in triggers:
            near[text.row[text.places_of_id(int(token))]] = True
        near &= silent
        self.fires = firing / max(1, firing.sum())
        """Weight of each context as a firing one, together 1 (0 where none fires). Shape: (contexts,)."""
        share = silent / max(1, silent.sum())
        self.silent = (share + near / near.sum()) / 2 if near.any() else share
        """Weight of each context as a silent one. Shape: (contexts,)."""

    def accuracy(self, said: NDArray[np.int64]) -> float:
        """Balanced accuracy of the prediction that just these contexts fire; 0.5 where none does. Shape of said: (found,)."""
        if not self.fires.any() or not self.silent.any():
            return 0.5
        return (1 + float(self.fires[said].sum()) - float(self.silent[said].sum())) / 2
