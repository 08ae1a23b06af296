"""What explainers, agents and the toolbox get to see of a store: train rows, and no way to any others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse
from jaxtyping import Float32, Int64

from .examples import Examples, Strata
from .facts import FeatureFacts, Scales
from .reading import Database, SplitReader, StaticReader
from .records import Context, FeatureKey, RelatedFeature, Stratum, TokenValue, TrainStats
from .tokens import TokenTable


class TrainView:
    """Reads of the train split. No method has a split to choose, and nothing public leads back to the store."""

    def __init__(self, database: Database, static: StaticReader, reader: SplitReader) -> None:
        if reader.split != "train":
            raise ValueError("a TrainView reads train rows")
        self._static = static
        self._reader = reader
        self._facts = FeatureFacts(database, static)
        self._strata = Strata(reader, reader, self._facts)

    def __repr__(self) -> str:
        return f"TrainView({self._static.width:,} features, {self._reader.index.n:,} train contexts)"

    @property
    def width(self) -> int:
        """Number of features."""
        return self._static.width

    @property
    def tokens(self) -> TokenTable:
        """All train tokens."""
        return self._reader.tokens

    def hold(self) -> None:
        """Keep tokens and activations in memory where that is possible, for many reads."""
        self._reader.hold()

    def key(self, feature: int) -> FeatureKey:
        """The address of a global feature id."""
        return self._static.key(feature)

    def id(self, address: str | int | FeatureKey) -> int:
        """The global id of a feature."""
        return self._static.id(address)

    def activations(self, feature: int) -> tuple[Int64[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
        """Indices into `tokens` at which the feature is active, ascending, and its values there."""
        self._static.key(feature)
        return self._reader.activations(feature)

    def unknown_contexts(self, feature: int) -> Int64[np.ndarray, " n"]:
        """Numbers of the contexts in which the feature is active but its values are not stored;
        empty unless the store is a sample.
        """
        self._static.key(feature)
        return self._reader.unknown_contexts(feature)

    def stats(self, feature: int) -> TrainStats:
        """Statistics from train rows."""
        return self._facts.train_stats(feature)

    def threshold(self, feature: int) -> float:
        """The feature fires above this."""
        return self._facts.threshold(feature)

    @property
    def firing_contexts(self) -> Int64[np.ndarray, " width"]:
        """Train contexts in which each feature fires, of all features."""
        return self._facts.firing_contexts

    @property
    def scales(self) -> Scales:
        """Threshold and train maximum of every feature."""
        return self._facts.scales

    def top_tokens(self, feature: int) -> tuple[TokenValue, ...]:
        """Tokens with the largest mean activation."""
        self._static.key(feature)
        return self._facts.top_tokens(feature)

    def examples(self, feature: int, stratum: Stratum, n: int, seed: int = 0) -> Examples:
        """At most n train examples of a stratum (see store/examples.py)."""
        return self._strata.examples(feature, stratum, n, seed)

    def contexts(self, ids: Sequence[int]) -> list[Context]:
        """These train contexts. Raises `UserError` for one that is not a train context."""
        return self._reader.contexts(ids)

    def neighbours(self, feature: int) -> tuple[RelatedFeature, ...]:
        """Nearest features by cosine of the decoder directions."""
        self._static.key(feature)
        return self._static.neighbours(feature)

    def coactive(self, feature: int) -> tuple[RelatedFeature, ...]:
        """Features that fire on the same train tokens, by Jaccard index."""
        self._static.key(feature)
        return self._facts.coactive(feature)

    def together(self, feature: int) -> dict[str, np.ndarray]:
        """Features that fire where this one fires: columns other, tokens and contexts on which both fire, and the numbers of
        tokens and contexts on which the other one fires at all (firing, firing_contexts).
        """
        return self._reader.together(feature, self.threshold(feature))

    def matrix(self, first: int, width: int, rows: Int64[np.ndarray, " contexts"]) -> scipy.sparse.csc_matrix:
        """Stored activations of the features `first` to `first + width - 1` on the tokens of some contexts, given as ascending
        rows of `tokens`: (tokens, width), float32.
        """
        return self._reader.matrix(first, width, rows)

    def promoted(self, feature: int) -> tuple[TokenValue, ...]:
        """Tokens whose logit the feature's direction raises most."""
        self._static.key(feature)
        return self._static.logit_effects(feature, "promoted")

    def suppressed(self, feature: int) -> tuple[TokenValue, ...]:
        """Tokens whose logit the feature's direction lowers most."""
        self._static.key(feature)
        return self._static.logit_effects(feature, "suppressed")
