"""What is known of a feature as a whole: its statistics and the features near it."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int64

from .reading import Database, StaticReader
from .records import FeatureStats, RelatedFeature, TokenValue, TrainStats

NEAR = 8
"""So many of the nearest features by decoder, and by co-activation, count as near."""
_KEPT = 4096
_TRAIN = "max, mean, active, density, firing, firing_density, threshold, quantiles, histogram, firing_contexts, sampled"
_CORPUS = (
    "corpus_max, corpus_density, corpus_firing_contexts, liveness, dense, "
    "[corpus_train_documents, corpus_validation_documents, corpus_test_documents] AS corpus_firing_documents"
)


class Scales(NamedTuple):
    """What the values of features mean, for every feature of a store by its id."""

    threshold: Float32[np.ndarray, " width"]
    """The feature fires above this."""
    maximum: Float32[np.ndarray, " width"]
    """Its largest activation on train."""


class FeatureFacts:
    """Reads statistics and related features; those of the features asked for last are kept."""

    def __init__(self, database: Database, static: StaticReader) -> None:
        self._database = database
        self._static = static
        self._train_stats = lru_cache(_KEPT)(lambda feature: TrainStats(**self._row(_TRAIN, feature)))
        self._top_tokens = lru_cache(_KEPT)(self._read_top_tokens)
        self._near = lru_cache(_KEPT)(self._read_near)

    @cached_property
    def scales(self) -> Scales:
        """Threshold and train maximum of all features."""
        read = self._database.columns("SELECT threshold, max FROM feature ORDER BY feature")
        return Scales(*(np.asarray(read[name], np.float32) for name in ("threshold", "max")))

    @cached_property
    def firing_contexts(self) -> Int64[np.ndarray, " width"]:
        """Train contexts in which each feature fires, of all features."""
        read = self._database.columns("SELECT firing_contexts FROM feature ORDER BY feature")
        return np.asarray(read["firing_contexts"], np.int64)

    def train_stats(self, feature: int) -> TrainStats:
        """Statistics from train rows only."""
        return self._train_stats(feature)

    def all_stats(self, feature: int) -> FeatureStats:
        """Statistics with the corpus_ figures, which are for people."""
        return FeatureStats(**self._row(f"{_TRAIN}, {_CORPUS}", feature))

    def threshold(self, feature: int) -> float:
        """The feature fires above this."""
        self._static.key(feature)
        return float(self.scales.threshold[feature])

    def top_tokens(self, feature: int) -> tuple[TokenValue, ...]:
        """Tokens with the largest mean activation on train."""
        return self._top_tokens(feature)

    def _read_top_tokens(self, feature: int) -> tuple[TokenValue, ...]:
        rows = self._database.rows("SELECT token, mean_value FROM top_token WHERE feature = ? ORDER BY rank", [feature])
        return tuple(TokenValue(self._static.vocabulary[token], value) for token, value in rows)

    def coactive(self, feature: int) -> tuple[RelatedFeature, ...]:
        """Features that fire on the same train tokens, by Jaccard index."""
        rows = self._database.rows("SELECT other, jaccard FROM coactivation WHERE feature = ? ORDER BY rank", [feature])
        return tuple(RelatedFeature(self._static.key(other), value) for other, value in rows)

    def near(self, feature: int) -> list[int]:
        """Ids of the nearest features by decoder, then by co-activation, each once."""
        return list(self._near(feature))

    def _read_near(self, feature: int) -> tuple[int, ...]:
        related = [*self._static.neighbours(feature)[:NEAR], *self.coactive(feature)[:NEAR]]
        return tuple(dict.fromkeys(self._static.id(key) for key, _ in related))

    def _row(self, columns: str, feature: int) -> dict[str, Any]:
        """Some columns of a feature as a record's fields. Raises `UserError` when there is no such feature."""
        self._static.key(feature)
        (row,) = self._database.records(f"SELECT {columns} FROM feature WHERE feature = ?", [feature])
        return {**row, "top_tokens": self.top_tokens(feature)}
