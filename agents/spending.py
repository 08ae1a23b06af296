"""What a run took: the subject's tokens, examples read, and tokens of language models. Comparisons are made at equal spending."""

from __future__ import annotations

from typing import NamedTuple

from dragoman.store.trails import Trails


class Spending(NamedTuple):
    """What the work on features took."""

    experiments: int
    """Experiments that were run."""
    forwarded: int
    """Tokens that experiments ran through the subject."""
    read: int
    """Contexts that experiments read from the store."""
    tokens: int = 0
    """Tokens of language models, prompts and replies."""
    dollars: float = 0.0
    """Their price."""


def spending(trails: Trails, run: str, feature: int, tokens: int = 0, dollars: float = 0.0) -> Spending:
    """What a run took for a feature; tokens and dollars are the gateway's to say."""
    done = [one for one in trails.experiments(run, feature) if one.settled]
    return Spending(len(done), sum(one.forwarded for one in done), sum(one.read for one in done), tokens, dollars)
