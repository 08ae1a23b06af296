"""Conditions on what came earlier: which token, or which few, seen before in the text, line or sentence, tells firing
from silence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dragoman.tools.patterns.evaluate import reaches
from dragoman.tools.patterns.language import Condition, Earlier, OneOf, Scope, Tokens, Unless

from .bank import Bank
from .sets import PENALTY, Doubles, Gain, tally

Longs = NDArray[np.int64]

SAMPLE = 800
"""Active and silent tokens looked at, each."""
POOL = 20
"""How many single cues are considered for a union."""
REACHES = (4, 8, 16, 32)
"""Distances tried for "at most … tokens after"."""
MAX_CUES = 3

Cue = tuple[float, Condition, float]


def cue_conditions(bank: Bank, at: Longs, weight: Doubles, value: Doubles, gain: Gain, total: float) -> list[Cue]:
    """Score, condition and length of the best cues, positive and negative. Shapes of at, weight, value: (sample,)."""
    at, weight, value = _thin(at, weight, value)
    if len(at) < 16:
        return []
    mass = weight * value
    size, sum_ = float(weight.sum()), float(mass.sum())
    symbol, owner = _earlier_symbols(bank, at)
    many = len(bank.tokens.texts) + 1
    n = tally(symbol, weight.take(owner), many)
    s = tally(symbol, mass.take(owner), many)
    fine = np.flatnonzero((n > 0) & bank.tokens.nameable)
    if len(fine) == 0:
        return []
    found: list[Cue] = []
    for negative in (False, True):
        gains = gain(size - n, sum_ - s) if negative else gain(n, s)
        pool = fine[np.argsort(-gains[fine], kind="stable")[:POOL]]
        hits = np.zeros((len(at), len(pool)), bool)
        place = np.full(many, -1)
        place[pool] = np.arange(len(pool))
        column = place.take(symbol)
        known = np.flatnonzero(column >= 0)
        hits[owner[known], column[known]] = True
        texts = _union(hits, pool, bank, weight, mass, size, sum_, gain, total, negative)
        found.append(_scoped(bank, texts, at, weight, mass, gain, total, negative))
    return found


def _thin(at: Longs, weight: Doubles, value: Doubles) -> tuple[Longs, Doubles, Doubles]:
    """At most `SAMPLE` active and silent tokens, evenly spaced, their weights raised to stand for the rest."""
    parts = []
    for side in (np.flatnonzero(value > 0), np.flatnonzero(value <= 0)):
        step = max(1, -(-len(side) // SAMPLE))
        kept = side[::step]
        scale = weight[side].sum() / max(1e-9, weight[kept].sum())
        parts.append((at[kept], weight[kept] * scale, value[kept]))
    return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))  # type: ignore[return-value]


def _earlier_symbols(bank: Bank, at: Longs) -> tuple[Longs, Longs]:
    """Distinct symbols that stand before each token in its window, and which of the tokens each belongs to. Shapes: (pairs,)."""
    starts, symbol, first = bank.rows
    begin = starts[bank.text.row[at]]
    length = np.searchsorted(first, at) - begin
    owner = np.repeat(np.arange(len(at)), length)
    entry = np.arange(len(owner)) + np.repeat(begin - np.cumsum(length) + length, length)
    return symbol[entry], owner


def _union(
    hits: NDArray[np.bool_],
    pool: Longs,
    bank: Bank,
    weight: Doubles,
    mass: Doubles,
    size: float,
    sum_: float,
    gain: Gain,
    total: float,
    negative: bool,
) -> tuple[str, ...]:
    """Up to `MAX_CUES` cues whose union tells most."""
    covered = np.zeros(len(hits), bool)
    chosen: list[int] = []
    best = -np.inf
    while len(chosen) < MAX_CUES:
        either = (hits | covered[:, None]).astype(np.float64)
        n, s = weight @ either, mass @ either
        gains = gain(size - n, sum_ - s) if negative else gain(n, s)
        gains[chosen] = -np.inf
        pick = int(np.argmax(gains))
        if chosen and (gains[pick] - best) / total < 1.5 * PENALTY:
            break
        best = float(gains[pick])
        chosen.append(pick)
        covered |= hits[:, pick]
    return tuple(bank.tokens.texts[pool[i]] for i in chosen)


def _scoped(
    bank: Bank, texts: tuple[str, ...], at: Longs, weight: Doubles, mass: Doubles, gain: Gain, total: float, negative: bool
) -> Cue:
    """The same cues with the reach that tells most."""
    tokens = Tokens(((OneOf(texts),),))
    best: Cue | None = None
    size, sum_ = weight.sum(), mass.sum()
    last = bank.text.last_before(tokens, at)
    scopes: tuple[Scope | int, ...] = ("text", "line", "sentence", *REACHES)
    for scope in scopes:
        condition = Earlier(scope, tokens)
        held = reaches(scope, last, bank.text, at).astype(np.float64)
        n, s = weight @ held, mass @ held
        value = float(gain(size - n, sum_ - s) if negative else gain(n, s))
        words = len(texts) + (4.0 if negative else 3.0)
        cue: Cue = (value / total - PENALTY * words, Unless(condition) if negative else condition, words)
        if best is None or cue[0] > best[0]:
            best = cue
    assert best is not None
    return best
