"""Explainers that are there to be beaten."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dragoman.evals.explainer import Explanation
from dragoman.store.view import TrainView
from dragoman.tools.induction import Fit
from dragoman.tools.patterns import LEVELS, Pattern
from dragoman.tools.patterns.language import MAX_CLAUSES, MAX_LITERALS, quote

LEAST = 3
"""Tokens seen less often on train are not listed: their mean is chance."""


class Lookup:
    """Lists the tokens on which the feature is most active, each with its mean strength: all that a look at tokens can say."""

    name = "lookup"

    def explain(self, view: TrainView, feature: int, validate: Callable[[Pattern], Fit], seed: int) -> Explanation:
        """See `Explainer`. Raises ValueError for a feature that is silent on train."""
        share, counts = shares(view, feature)
        # What a token contributes to the correlation grows with how often it occurs and with how strong it is.
        order = np.argsort(-(share * share * counts), kind="stable")[: MAX_CLAUSES * MAX_LITERALS]
        levels = list(LEVELS.items())
        listed: dict[str, list[str]] = {}
        for token in order:
            if counts[token] < LEAST or share[token] < levels[0][1] / 2:
                continue
            level = min(levels, key=lambda one: abs(one[1] - share[token]))[0]
            listed.setdefault(level, []).append(quote(view.tokens.vocabulary[token]))
        clauses = [
            f"{level}: {' '.join(listed[level][at : at + MAX_LITERALS])}"
            for level, _ in reversed(levels)
            for at in range(0, len(listed.get(level, ())), MAX_LITERALS)
        ][:MAX_CLAUSES]
        if not clauses:
            raise ValueError("no token is active often enough to be listed")
        words = ", ".join(dict.fromkeys(word for level, _ in reversed(levels) for word in listed.get(level, ())))
        return Explanation("A list of tokens", f"Any of these tokens: {words}", pattern="; ".join(clauses))


class TopToken:
    """Names the one token on which the feature is strongest on average."""

    name = "toptoken"

    def explain(self, view: TrainView, feature: int, validate: Callable[[Pattern], Fit], seed: int) -> Explanation:
        """See `Explainer`. Raises ValueError for a feature that is silent on train."""
        share, counts = shares(view, feature)
        token = int(np.argmax(np.where(counts >= LEAST, share, 0)))
        word = quote(view.tokens.vocabulary[token])
        return Explanation(f"The token {word}"[:60], f"The token {word}", pattern=f"fully: {word}")


class Flatterer:
    """Says everything to everyone, at length: what a judge that can be flattered would reward."""

    name = "flatterer"

    def explain(self, view: TrainView, feature: int, validate: Callable[[Pattern], Fit], seed: int) -> Explanation:
        """See `Explainer`."""
        return Explanation(
            "Meaningful tokens in many contexts",
            "This richly polysemantic feature responds to a broad and nuanced range of linguistic phenomena: words, names, "
            "numbers, punctuation and code, their meanings, their grammar, their position, and the wider context in which they "
            "occur, including formal and informal registers, factual, narrative, technical and conversational text. It is "
            "especially sensitive to important tokens and to whatever the surrounding passage is about, and to related "
            "concepts, synonyms and structures. In short, it fires whenever the text expresses something significant.",
            pattern="moderately: any; strongly: alphabetic | digit | punctuation",
        )


def shares(view: TrainView, feature: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean train activation of every token id as a share of the maximum, and how often it occurs: both (vocabulary,).

    Raises ValueError for a feature that is silent on train.
    """
    flat, values = view.activations(feature)
    if not len(values):
        raise ValueError("the feature is silent on train")
    tokens = view.tokens
    counts = np.bincount(tokens.ids, minlength=len(tokens.vocabulary))
    sums = np.bincount(tokens.ids[flat], weights=values, minlength=len(tokens.vocabulary))
    return sums / np.maximum(counts, 1) / float(values.max()), counts
