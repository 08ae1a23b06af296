"""Replies of models for tests of reading them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from dragoman.evals.gateway.calls import Reply, TokenChance


def reply(
    *texts: str,
    finish: str = "stop",
    first: Mapping[str, float] | None = None,
    prompt: Sequence[Mapping[str, float]] | None = None,
) -> Reply:
    """A reply with these texts; `first` and `prompt` give probabilities, not their logarithms."""
    told = None if first is None else (tuple(TokenChance(token, math.log(chance)) for token, chance in first.items()),)
    places = None if prompt is None else tuple({t: math.log(p) for t, p in place.items()} for place in prompt)
    return Reply(texts or ("",), (finish,) * max(1, len(texts)), told, places, 10, 0, 1, 0.0, 0.0, False, "call")
