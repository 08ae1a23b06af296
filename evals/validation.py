"""What validation tells an explainer: two figures a pattern, never a context."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dragoman.store.features import Store
from dragoman.tools.induction import Fit
from dragoman.tools.induction.contexts import Contexts
from dragoman.tools.patterns import Pattern, PatternText, Usage


class Validator:
    """Scores patterns on the validation split."""

    def __init__(self, store: Store, usage: Usage) -> None:
        self.store = store
        self.text = PatternText(store.tokens("validation"), usage)
        self._train_ids = store.tokens("train").ids
        stats = store.stats_table()
        self._threshold = dict(zip(stats["feature"].to_pylist(), stats["threshold"].to_pylist(), strict=True))

    def of(self, feature: int) -> Callable[[Pattern], Fit]:
        """A function from pattern to how well it does on validation.

        The correlation is over all tokens, a constant prediction counting 0; so does a feature that is silent on validation. The
        balanced accuracy is over all contexts, near misses (which hold a token that the feature often fires on in train)
        counting as much as all silent contexts together, as in the published detection score; a feature that never fires on
        validation has one of 0.5. Contexts that a sampled store does not keep take no part.
        """
        threshold = self._threshold[feature]
        flat, values = self.store.activations(feature, "validation")
        train, strength = self.store.activations(feature, "train")
        tokens = self.store.tokens("validation")
        unknown = tokens.index.rows_of(self.store.unknown_contexts(feature, "validation"))
        known = self.text.outside(unknown)
        contexts = Contexts(self.text, flat, values > threshold, self._train_ids[train[strength > threshold]], unknown)
        size = int(known.sum())
        real = np.zeros(len(self.text))
        real[flat] = values
        mean, variance = real[known].mean(), real[known].var()

        def validate(pattern: Pattern) -> Fit:
            predicted = pattern.predict(self.text)
            said = np.flatnonzero((predicted > 0) & known)
            strength = predicted[said].astype(np.float64)
            centre = strength.sum() / size
            spread = (strength @ strength / size - centre**2) * variance
            constant = len(said) == size and bool((strength == strength[:1]).all())  # rounding would make it more than 0
            r = float((strength @ real[said] / size - centre * mean) / spread**0.5) if spread > 0 and not constant else 0.0
            return Fit(r, contexts.accuracy(self.text.windows(said)))

        return validate
