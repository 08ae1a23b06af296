"""The best nameable token sets for given sums: the heart of induction.

Every candidate set g is judged by its count n(g) and the sum S(g) of the activations on it. A clause of level S/n on
tokens that were predicted
silent lowers the squared error by S²/n; so the best set without any limit on its size is a prefix of the tokens
sorted by their mean, and nameable
sets (a short list, a form, an affix, "used like") are compared with it by the same figure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman.tools.patterns.language import MAX_LITERALS, Form, Like, OneOf, Tokens
from dragoman.tools.patterns.usage import COSINE

from .bank import Lexicon

Doubles = NDArray[np.float64]
Gain = Callable[[Doubles, Doubles], Doubles]
"""Reduction of the squared error from the counts and sums of candidate sets."""

SEEDS = 12
"""How many of the most telling tokens "used like" is tried around."""
PENALTY = 0.0025
"""Share of the total squares that every further word of a label must bring."""


class Candidate(NamedTuple):
    """A set of tokens and what it brings."""

    score: float
    """Gain as a share of the total squares, less the penalty for its length."""
    gain: float
    """Reduction of the squared error."""
    tokens: Tokens
    """The set."""
    words: float
    """Its length in the label, in words."""


def tally(ids: NDArray[np.int64] | NDArray[np.int32], weight: Doubles, size: int) -> Doubles:
    """Sum of the weights for each id. Shape: (size,)."""
    return np.bincount(ids, weight, size).astype(np.float64)


class Tally(NamedTuple):
    """Counts and sums of a place (the token itself, or a neighbour) over the tokens under study."""

    n: Doubles
    """Tokens with each token id at the place; the last entry is for "outside the window". Shape: (vocabulary + 1,)."""
    s: Doubles
    """Sum of the activations on them. Shape: (vocabulary + 1,)."""
    forms: Doubles
    """The same two for each of the bank's forms. Shape: (forms, 2)."""


def tallies(lexicon: Lexicon, places: Sequence[tuple[Doubles, Doubles]]) -> list[Tally]:
    """Tallies from the counts and sums of several places; the forms of all are added up in one product."""
    columns = np.stack([column for pair in places for column in pair], axis=1).astype(np.float32)
    sums = (lexicon.forms.members @ columns).astype(np.float64)
    return [Tally(n, s, sums[:, 2 * i : 2 * i + 2]) for i, (n, s) in enumerate(places)]


def token_sets(
    lexicon: Lexicon, tally: Tally, gain: Gain, total: float, floor: float = 0.0, most: int = 3, limit: int = MAX_LITERALS
) -> list[Candidate]:
    """The best sets of each kind, best first; none where not even a set of any size would score above `floor`.

    `total`: sum of squares, of which scores are shares.
    """
    if _unlimited(tally, gain) / total - PENALTY <= floor:
        return []
    found = [*_lists(lexicon, tally.n, tally.s, gain, total, limit), *_forms(lexicon, tally.forms, gain, total)]
    found += _likes(lexicon, tally.n, tally.s, gain, total)
    return sorted(found, key=lambda candidate: -candidate.score)[:most]


def _unlimited(tally: Tally, gain: Gain) -> float:
    """What the best set of any size would bring: one of the prefixes of the tokens sorted by their mean, or of the reverse."""
    live = np.flatnonzero(tally.n > 0)
    n, s = tally.n[live], tally.s[live]
    order = np.argsort(-s / n, kind="stable")
    n, s = np.cumsum(n[order]), np.cumsum(s[order])
    return float(max(gain(n, s).max(initial=0.0), gain(n[-1] - n, s[-1] - s).max(initial=0.0))) if len(live) else 0.0


def _candidate(gain: float, total: float, tokens: Tokens, words: float) -> Candidate:
    return Candidate(gain / total - PENALTY * words, gain, tokens, words)


def _lists(lexicon: Lexicon, n: Doubles, s: Doubles, gain: Gain, total: float, limit: int) -> list[Candidate]:
    symbols = len(lexicon.texts) + 1
    count = tally(lexicon.symbol_of, n, symbols)
    mass = tally(lexicon.symbol_of, s, symbols)
    chosen, best = _pick(count, mass, lexicon.nameable, lexicon.price, gain, total, limit)
    if not chosen:
        return []
    texts = tuple(lexicon.texts[symbol] for symbol in chosen)
    return [_candidate(best, total, Tokens(((OneOf(texts),),)), float(lexicon.price[chosen].sum()))]


def _pick(
    count: Doubles, mass: Doubles, fine: NDArray[np.bool_], price: Doubles, gain: Gain, total: float, limit: int
) -> tuple[list[int], float]:
    """Up to `MAX_LITERALS` entries, each of which brings more than it costs, and what they bring."""
    single = np.where((count > 0) & fine, gain(count, mass) - PENALTY * total * price, -np.inf)
    order = np.argsort(-single, kind="stable")[:40]
    order = order[np.isfinite(single[order])]
    if len(order) == 0:
        return [], 0.0
    chosen: list[int] = []
    size, sum_, best = 0.0, 0.0, -np.inf
    while len(chosen) < limit:
        trial = gain(size + count[order], sum_ + mass[order])
        net = trial - PENALTY * total * price[order]
        pick = int(np.argmax(net))
        if chosen and net[pick] < best:
            break
        best, size, sum_ = float(trial[pick]), size + count[order[pick]], sum_ + mass[order[pick]]
        chosen.append(int(order[pick]))
        order = np.delete(order, pick)
        if len(order) == 0:
            break
    return chosen, best


def _forms(lexicon: Lexicon, sums: Doubles, gain: Gain, total: float) -> list[Candidate]:
    factors = lexicon.forms.factors
    gains = gain(sums[:, 0], sums[:, 1])
    best = np.argsort(-gains, kind="stable")[:2]
    return [
        _candidate(float(gains[i]), total, Tokens(((factors[i],),)), 1.0 if isinstance(factors[i], Form) else 3.0) for i in best
    ]


def _likes(lexicon: Lexicon, n: Doubles, s: Doubles, gain: Gain, total: float) -> list[Candidate]:
    usage = lexicon.usage
    brings = np.where((n[:-1] > 0) & lexicon.comparable, gain(n[:-1], s[:-1]), -np.inf)
    seeds = np.argsort(-brings, kind="stable")[:SEEDS]
    names = list(dict.fromkeys(usage.bare[token] for token in seeds[np.isfinite(brings[seeds])]))
    if not names:
        return []
    live = np.flatnonzero(n[:-1] > 0)
    vectors, sums = usage.vectors[live].T, np.stack((n[live], s[live]), axis=1).astype(np.float32)
    directions = np.stack([usage.direction(name) for name in names])
    best: Candidate | None = None
    chosen: tuple[int, ...] = ()
    for size in (1, 2, 3):
        centres = directions if not chosen else directions + directions[list(chosen)].sum(0)
        centres = centres / np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-9)
        near = centres @ vectors
        found: Candidate | None = None
        pick_found = 0
        for closeness, least in COSINE.items():
            both = ((near >= least).astype(np.float32) @ sums).astype(np.float64)
            gains = gain(both[:, 0], both[:, 1])
            gains[list(chosen)] = -np.inf
            pick = int(np.argmax(gains))
            tokens = Tokens(((Like(closeness, tuple(names[i] for i in (*chosen, pick))),),))
            candidate = _candidate(float(gains[pick]), total, tokens, 2.0 + size)
            if found is None or candidate.score > found.score:
                found, pick_found = candidate, pick
        if found is None or (best and found.score <= best.score) or not np.isfinite(found.score):
            break
        best, chosen = found, (*chosen, pick_found)
        if len(names) <= size:
            break
    return [best] if best else []
