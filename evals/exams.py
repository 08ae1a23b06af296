"""Exams: the texts and the truth on which a feature's label is scored, drawn from a store before any label is read."""

from __future__ import annotations

from typing import Any

import numpy as np

from dragoman.store.features import Store
from dragoman.store.records import Split

from .controls import TokenLookup, token_lookup
from .scorers.exam import Exam, Neighbour
from .scorers.sample import Sizes, draw

NEIGHBOURS = 3
"""Near misses come from the contexts of so many nearest features."""
TRIGGERS = 10
"""Near misses hold one of so many tokens on which the feature fires most often in train."""


class Examiner:
    """Draws the exams of a store's features; holds the token tables. The same seed gives the same exams to everybody."""

    def __init__(self, store: Store, seed: int, sizes: Sizes, split: Split = "test", rivals: int = NEIGHBOURS) -> None:
        """
        Args:
            store: where texts and activations come from.
            seed: of every draw.
            sizes: how many contexts an exam holds at most.
            split: the split it is drawn from: test for scores that are published, validation for a choice among candidates.
            rivals: how many nearest features come with an exam; the sample is the same for any number from `NEIGHBOURS` on.
        """
        self.store, self.seed, self.sizes, self.split, self.rivals = store, seed, sizes, split, rivals
        self.tokens = store.tokens(split)
        self.train, self.validation = store.tokens("train"), store.tokens("validation")
        self.stats: dict[int, dict[str, Any]] = {row["feature"]: row for row in store.stats_table().to_pylist()}

    def lookup(self, feature: int) -> TokenLookup:
        """The control that knows every token's mean activation, learned on train (its decision threshold on validation)."""
        train, validation = self.store.activations(feature, "train"), self.store.activations(feature, "validation")
        return token_lookup(self.train, *train, self.validation, *validation, self.stats[feature]["threshold"])

    def exam(self, feature: int) -> Exam:
        """The exam of a live feature."""
        stats = self.stats[feature]
        flat, values = self.store.activations(feature, self.split)
        real = np.zeros(len(self.tokens.ids), np.float32)
        real[flat] = values
        rivals = self._rivals(feature)
        near = [self.tokens.row[rival.fires].astype(np.int64) for rival in rivals[:NEIGHBOURS]]
        unknown = self.tokens.index.rows_of(self.store.unknown_contexts(feature, self.split))
        sample = draw(
            self.tokens,
            flat,
            values,
            stats["threshold"],
            self._triggers(feature),
            np.unique(np.concatenate([np.zeros(0, np.int64), *near])),
            self.seed,
            feature,
            self.sizes,
            unknown,
        )
        alive = tuple(rival for rival in rivals if self.stats[rival.feature]["liveness"] == "live")
        return Exam(
            feature, self.tokens, real, sample, stats["threshold"], stats["max"], stats["dense"], alive, self.seed, unknown
        )

    def _triggers(self, feature: int) -> list[int]:
        """The tokens on which the feature fires most often in train."""
        flat, values = self.store.activations(feature, "train")
        fires = flat[values > self.stats[feature]["threshold"]]
        counts = np.bincount(self.train.ids[fires], minlength=len(self.train.vocabulary))
        order = np.argsort(-counts, kind="stable")[:TRIGGERS]
        return [int(token) for token in order if counts[token]]

    def _rivals(self, feature: int) -> list[Neighbour]:
        """The nearest features with the tokens on which each of them fires."""
        found = []
        for other in self.store.feature(feature).neighbours[: self.rivals]:
            number = self.store.id(other.key)
            flat, values = self.store.activations(number, self.split)
            found.append(Neighbour(number, flat[values > self.stats[number]["threshold"]]))
        return found
