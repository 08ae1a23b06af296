"""Judges by name."""

from __future__ import annotations

from dragoman.evals.judge import Judge
from dragoman.evals.judge.pattern import PatternJudge
from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.tools.patterns import usage_of

NAMES = ("pattern",)
"""Judges that can be asked for."""


def judge_named(name: str, store: Store) -> Judge:
    """The judge of this name for this store. Raises UserError for an unknown name."""
    if name != "pattern":
        raise UserError(f"There is no judge called {name!r}: choose one of {', '.join(NAMES)}.")
    train = store.tokens("train")
    return PatternJudge(usage_of(train))
