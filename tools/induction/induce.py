"""The explainer: evidence of one feature in, a pattern in plain English out.

1. Grow clauses on train tokens (`grow.py`) and fit their strengths (`fit.py`).
2. Shorten the pattern step by step (`simplify.py`) and ask validation, two aggregate figures a pattern, where to stop:
each word has its price.
3. Say it in English (`patterns/render.py`), name it, and count precision and recall on train.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dragoman.store.records import Facet
from dragoman.tools.patterns.evaluate import where
from dragoman.tools.patterns.language import LEVELS, Clause, Pattern
from dragoman.tools.patterns.naming import name_of
from dragoman.tools.patterns.render import render
from dragoman.tools.patterns.text import PatternText, TokenTable
from dragoman.tools.patterns.usage import Usage, usage_of

from .bank import Bank
from .contexts import FIRES
from .fit import Fit
from .grow import Evidence, grow
from .simplify import length, price, shortenings, tidied
from .thin import Thinned

Validate = Callable[[Pattern], Fit]


class Tokens(TokenTable, Protocol):
    """The token table of the train split."""

    @property
    def context_ids(self) -> NDArray[np.int64]:
        """Number of each context in the store. Shape: (contexts,)."""


class View(Protocol):
    """What induction sees of a store: its train rows. `store.view.TrainView` is one."""

    @property
    def tokens(self) -> Tokens:
        """All train tokens."""

    def activations(self, feature: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Flat indices into `tokens`, ascending, and values of the non-zero activations. Shapes: (active,)."""

    def unknown_contexts(self, feature: int) -> NDArray[np.int64]:
        """Numbers of the contexts in which the feature is active, but who knows where: a sampled store keeps no more."""


WORD_PRICE = 0.002
"""What every word of a label must bring on validation, in the mean of correlation and balanced accuracy."""
MAX_WORDS = 50
"""Longest label, in words: a longer pattern is shortened whatever it loses."""
MAX_EVIDENCE = 10
"""How many contexts a label cites."""


@dataclass(frozen=True, slots=True)
class Figures:
    """How well the rule does, beside the words."""

    precision: float | None
    """Share of the train tokens predicted to fire that do; None where the pattern's strengths all stay below the
    firing threshold."""
    recall: float
    """Share of the firing train tokens that are predicted to."""
    tokens: int
    """Train tokens on which the feature fires."""
    r_train: float
    """Pearson correlation of predicted with real activation over all train tokens."""
    r_validation: float
    """The same on validation; as chosen by it, a little high."""
    accuracy_validation: float
    """Balanced accuracy over validation contexts, near misses weighted up; as chosen by it, a little high."""

    def __str__(self) -> str:
        if self.precision is None:
            return f"no token is predicted to fire above the threshold; {self.tokens:,} train tokens do"
        return f"precision {self.precision:.2f}, recall {self.recall:.2f} on {self.tokens:,} firing train tokens"


@dataclass(frozen=True, slots=True)
class Induced:
    """What induction found."""

    pattern: Pattern
    name: str
    """At most eight words, from forms and rules only."""
    description: str
    """The pattern in at most two sentences."""
    facets: tuple[Facet, ...]
    """One a clause, where there are several."""
    figures: Figures
    evidence: tuple[int, ...]
    """Ids of the train contexts with the strongest activations that the pattern covers, then of those that it misses."""


class Inducer:
    """Induces patterns for the features of one store; hold one per process, it shares its tables between features."""

    def __init__(self, view: View, usage: Usage | None = None) -> None:
        tokens = view.tokens
        self.view = view
        self.usage = usage or usage_of(tokens)
        self.thinned = Thinned(tokens)
        self.text = PatternText(self.thinned, self.usage)
        self.bank = Bank(self.text)

    def induce(self, feature: int, validate: Validate, seed: int = 0) -> Induced:
        """Explain one feature (a global id). Raises ValueError for a feature that is silent on train."""
        return self.several(feature, validate, 1, seed)[0]

    def several(self, feature: int, validate: Validate, most: int, seed: int = 0) -> list[Induced]:
        """At most so many different explanations, the best first: shorter and longer forms of what was grown.

        Raises ValueError for a feature that is silent on train.
        """
        at, value = self.view.activations(feature)
        if len(at) == 0:
            raise ValueError(f"feature {feature} is never active on train")
        maximum = value.max()
        at, value = self.thinned.activations(at, value)
        if len(at) == 0:
            raise ValueError(f"feature {feature} is never active on the {len(self.text):,} train tokens looked at")
        share = (value / maximum).astype(np.float32)
        evidence = Evidence(self.bank, at, share, seed, self._unknown(feature))
        ranked = rank(evidence, [node.clause() for node in grow(evidence)], validate)
        return [self._told(evidence, at, share, *entry) for entry in ranked[:most]]

    def _told(
        self,
        evidence: Evidence,
        at: NDArray[np.int64],
        share: NDArray[np.float32],
        chosen: Pattern,
        train: Fit,
        valid: Fit,
    ) -> Induced:
        """A pattern in words, with its figures."""
        tidy = tidied(chosen)
        pattern = tidy if length(tidy) <= length(chosen) else chosen
        strength = pattern.predict(self.text)
        fires, said = evidence.y > FIRES, (strength > FIRES) & evidence.known
        both = float((fires & said).sum())
        precision = both / float(said.sum()) if said.any() else None
        figures = Figures(precision, both / max(1.0, fires.sum()), int(fires.sum()), train.r, valid.r, valid.accuracy)
        facets = tuple(
            Facet(description=render(one), pattern=str(one)) for one in (Pattern((clause,)) for clause in pattern.clauses)
        )
        return Induced(
            pattern,
            name_of(main_clause(evidence, pattern)),
            render(pattern),
            facets if len(facets) > 1 else (),
            figures,
            self._evidence(at, share, strength),
        )

    def _unknown(self, feature: int) -> NDArray[np.int64]:
        """Rows of the text looked at of which a sampled store says nothing. Shape: (unknown,)."""
        numbers = self.view.tokens.context_ids[self.thinned.kept]
        return np.flatnonzero(np.isin(numbers, self.view.unknown_contexts(feature)))

    def _evidence(self, at: NDArray[np.int64], share: NDArray[np.float32], strength: NDArray[np.float32]) -> tuple[int, ...]:
        rows = self.text.row[at]
        cited: list[int] = []
        for covered in (strength[at] > 0, strength[at] == 0):
            order = np.argsort(-share[covered], kind="stable")
            contexts = dict.fromkeys(
                int(self.view.tokens.context_ids[self.thinned.kept[row]]) for row in rows[covered][order][:50]
            )
            cited += [context for context in contexts if context not in cited][: MAX_EVIDENCE // 2]
        return tuple(cited)


def induce(view: View, feature: int, validate: Validate, seed: int = 0) -> Induced:
    """Explain a single feature; for many, hold an `Inducer`."""
    return Inducer(view).induce(feature, validate, seed)


def rank(evidence: Evidence, clauses: list[Clause], validate: Validate) -> list[tuple[Pattern, Fit, Fit]]:
    """Ever shorter forms of a pattern with how well they do on train and validation; first the one that is shortened as far as
    validation pays for it.
    """
    tried = [(pattern, fit, validate(pattern)) for pattern, fit in shortenings(evidence, clauses)]
    fitting = [entry for entry in tried if length(entry[0]) <= MAX_WORDS] or tried[-1:]
    return sorted(fitting, key=lambda entry: entry[2].aim - WORD_PRICE * price(evidence, entry[0]), reverse=True)


def main_clause(evidence: Evidence, pattern: Pattern) -> Clause:
    """The clause that covers most of the feature's activation."""
    return max(
        pattern.clauses,
        key=lambda clause: (float(evidence.y[where(clause, evidence.bank.text)].sum()) * LEVELS[clause.level], str(clause)),
    )
