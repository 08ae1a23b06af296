"""Explainers by name, as a labeling run builds them in its workers."""

from __future__ import annotations

from dragoman.evals.explainer import Explainer
from dragoman.evals.validation import Validator
from dragoman.store.errors import UserError
from dragoman.store.features import Store

from .oneshot import Make

NAMES = ("induction",)
"""Explainers that can be asked for."""


def explainer_named(name: str) -> Make:
    """What builds this explainer and its validator in a worker. Raises UserError for an unknown name."""
    if name != "induction":
        raise UserError(f"There is no explainer called {name!r}: choose one of {', '.join(NAMES)}.")
    return make_induction


def make_induction(store: Store) -> tuple[Explainer, Validator]:
    """The explainer that needs no language model; patterns and validation share one model of how tokens are used."""
    from dragoman.tools.patterns import usage_of

    from .induction import Induction

    train = store.tokens("train")
    usage = usage_of(train)
    return Induction(usage), Validator(store, usage)
