"""What validation tells an explainer: one correlation a pattern, never a context."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dragoman.store.features import Store
from dragoman.tools.patterns import Pattern, PatternText, Usage

from .statistics import pearson


class Validator:
    """Scores patterns on the validation split."""

    def __init__(self, store: Store, usage: Usage) -> None:
        self.store = store
        self.text = PatternText(store.tokens("validation"), usage)

    def of(self, feature: int) -> Callable[[Pattern], float]:
        """A function from pattern to the Pearson correlation of its prediction with the feature over all validation tokens.

        As in the published score, a constant prediction counts 0; so does a feature that is silent on validation.
        """
        flat, values = self.store.activations(feature, "validation")
        real = np.zeros(len(self.text), np.float32)
        real[flat] = values

        def validate(pattern: Pattern) -> float:
            r = pearson(pattern.predict(self.text), real)
            return 0.0 if np.isnan(r) else r

        return validate
