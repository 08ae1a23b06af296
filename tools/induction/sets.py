"""The best nameable token sets for given sums: the heart of induction.

Every candidate set g is judged by its count n(g) and the sum S(g) of the activations on it. A clause of level S/n on
tokens that were predicted
silent lowers the squared error by S²/n; so the best set without any limit on its size is a prefix of the tokens
sorted by their mean, and nameable
sets (a short list, a form, an affix, "used like") are compared with it by the same figure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman.tools.patterns.language import MAX_LITERALS, Condition, Form, Like, OneOf, Tokens
from dragoman.tools.patterns.usage import COSINE

from .bank import Lexicon

Doubles = NDArray[np.float64]
Gain = Callable[[Doubles, Doubles], Doubles]
"""Reduction of the squared error from the counts and sums of candidate sets."""

SEEDS = 12
"""How many of the most telling tokens "used like" is tried around."""
PENALTY = 0.0025
"""Share of the total squares that every further word of a label must bring."""
LIKE_WORDS = 3.0
"""Words of the shortest "used like"."""
MAX_LIKED = 3
"""Most tokens that "used like" names."""
ROUNDING = 1e-6
"""By how much less a score may be than the one it must reach before it is passed over: sums are rounded."""

_CLOSENESS = list(COSINE)
_LEAST = np.array(list(COSINE.values()), np.float32)[:, None, None]


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


@dataclass(frozen=True)
class Tally:
    """Counts and sums of a place (the token itself, a neighbour, a word) over the tokens under study."""

    n: Doubles
    """Tokens with each token id at the place; the last entry is for "outside the window". Shape: (vocabulary + 1,)."""
    s: Doubles
    """Sum of the activations on them. Shape: (vocabulary + 1,)."""
    places: Places
    """All places that are tallied together."""
    number: int
    """Which of them this one is."""

    @property
    def forms(self) -> Doubles:
        """The same two for each of the lexicon's forms. Shape: (forms, 2)."""
        return self.places.forms[:, 2 * self.number : 2 * self.number + 2]


@dataclass(frozen=True)
class Places:
    """Several places, whose forms are added up in one product, if any is asked for."""

    lexicon: Lexicon
    """What stands there."""
    sums: Sequence[tuple[Doubles, Doubles]]
    """Counts and sums of each place."""

    @cached_property
    def forms(self) -> Doubles:
        """Counts and sums of each form at each place. Shape: (forms, 2 * places)."""
        columns = np.stack([column for pair in self.sums for column in pair], axis=1).astype(np.float32)
        return np.asarray((self.lexicon.forms.members @ columns).astype(np.float64))


def tallies(lexicon: Lexicon, sums: Sequence[tuple[Doubles, Doubles]]) -> list[Tally]:
    """Tallies from the counts and sums of several places."""
    places = Places(lexicon, sums)
    return [Tally(n, s, places, number) for number, (n, s) in enumerate(sums)]


class Ask(NamedTuple):
    """Which sets are wanted: at what place, judged how, to say what."""

    tally: Tally
    gain: Gain
    say: Callable[[Tokens], Condition | Tokens | None]
    """What is said with a set; None where it cannot be said."""
    extra: float = 0.0
    """Words that this takes besides the set."""
    most: int = 2
    """How many sets are wanted at most."""
    limit: int = MAX_LITERALS
    """Longest list."""


class Option(NamedTuple):
    """A way to narrow a clause: a condition, or a set that its tokens must also be in."""

    score: float
    what: Condition | Tokens
    words: float


def set_options(asks: Sequence[Ask], total: float, floor: float, scores: Sequence[float], most: int) -> list[Option]:
    """The best sets of all places, in the order of the places, as far as they are among the best `most` of these and of other
    options with the given scores.

    The most promising place is looked at first; a place goes unseen whose best set of any size would come too late. `total`:
    sum of squares, of which scores are shares; `floor`: what a set must score before the words around it are paid.
    """
    bounds = [_unlimited(ask.tally, ask.gain) / total for ask in asks]
    ahead = sorted(scores, reverse=True)[:most]
    found: dict[int, list[Option]] = {}
    for place in sorted(range(len(asks)), key=lambda place: PENALTY * asks[place].extra - bounds[place]):
        ask, bound = asks[place], bounds[place]
        least = ahead[-1] + PENALTY * ask.extra - ROUNDING if len(ahead) == most else -np.inf
        if bound - PENALTY <= max(floor, least):
            continue
        sets = [(one, ask.say(one.tokens)) for one in token_sets(ask, total, bound, least)]
        found[place] = [
            Option(one.score - PENALTY * ask.extra, what, one.words + ask.extra) for one, what in sets if what is not None
        ]
        ahead = sorted((*ahead, *(option.score for option in found[place])), reverse=True)[:most]
    return [option for place in sorted(found) for option in found[place]]


def token_sets(ask: Ask, total: float, bound: float, floor: float = -np.inf) -> list[Candidate]:
    """The best sets of each kind at one place, best first. Those that score below `floor` need not be among them.

    `bound`: what no set exceeds, as a share of the total.
    """
    found = [*_lists(ask.tally, ask.gain, total, ask.limit), *_forms(ask.tally, ask.gain, total)]
    likes = bound - PENALTY * LIKE_WORDS
    if likes > floor and sum(candidate.score > likes for candidate in found) < ask.most:
        found += _likes(ask.tally, ask.gain, total, bound)
    return sorted(found, key=lambda candidate: -candidate.score)[: ask.most]


def _unlimited(tally: Tally, gain: Gain) -> float:
    """What the best set of any size would bring: one of the prefixes of the tokens sorted by their mean, or of the reverse."""
    live = np.flatnonzero(tally.n > 0)
    n, s = tally.n[live], tally.s[live]
    order = np.argsort(-s / n, kind="stable")
    n, s = np.cumsum(n[order]), np.cumsum(s[order])
    return float(max(gain(n, s).max(initial=0.0), gain(n[-1] - n, s[-1] - s).max(initial=0.0))) if len(live) else 0.0


def _highest(values: Doubles, most: int) -> NDArray[np.int64]:
    """Places of the highest values, the highest first, of equal ones the first first. Shape: (at most `most`,)."""
    return np.argsort(-values, kind="stable")[:most]


def _candidate(gain: float, total: float, tokens: Tokens, words: float) -> Candidate:
    return Candidate(gain / total - PENALTY * words, gain, tokens, words)


def _lists(place: Tally, gain: Gain, total: float, limit: int) -> list[Candidate]:
    lexicon = place.places.lexicon
    symbols = len(lexicon.texts) + 1
    count = tally(lexicon.symbol_of, place.n, symbols)
    mass = tally(lexicon.symbol_of, place.s, symbols)
    chosen, best = _pick(count, mass, lexicon.nameable, PENALTY * total * lexicon.price, gain, limit)
    if not chosen:
        return []
    texts = tuple(lexicon.texts[symbol] for symbol in chosen)
    return [_candidate(best, total, Tokens(((OneOf(texts),),)), float(lexicon.price[chosen].sum()))]


def _pick(
    count: Doubles, mass: Doubles, fine: NDArray[np.bool_], cost: Doubles, gain: Gain, limit: int
) -> tuple[list[int], float]:
    """Up to `limit` entries, each of which brings more than it costs, and what they bring."""
    live = np.flatnonzero((count > 0) & fine)
    order = live[_highest(gain(count[live], mass[live]) - cost[live], 40)]
    count, mass, cost = count[order], mass[order], cost[order]
    chosen: list[int] = []
    size, sum_, best = 0.0, 0.0, 0.0
    while len(chosen) < min(limit, len(order)):
        trial = gain(size + count, sum_ + mass)
        net = trial - cost
        net[chosen] = -np.inf
        pick = int(np.argmax(net))
        if chosen and net[pick] < best:
            break
        best, size, sum_ = float(trial[pick]), size + count[pick], sum_ + mass[pick]
        chosen.append(pick)
        count[pick] = mass[pick] = 0.0
    return [int(order[pick]) for pick in chosen], best


def _forms(place: Tally, gain: Gain, total: float) -> list[Candidate]:
    factors = place.places.lexicon.forms.factors
    gains = gain(place.forms[:, 0], place.forms[:, 1])
    best = np.argsort(-gains, kind="stable")[:2]
    return [
        _candidate(float(gains[i]), total, Tokens(((factors[i],),)), 1.0 if isinstance(factors[i], Form) else 3.0) for i in best
    ]


def _likes(place: Tally, gain: Gain, total: float, bound: float) -> list[Candidate]:
    """The best set "used like" up to three of the most telling units. `bound`: what no set exceeds, as a share of the total."""
    lexicon, n, s = place.places.lexicon, place.n, place.s
    usage = lexicon.usage
    live = np.flatnonzero(n[:-1] > 0)
    named = live[lexicon.comparable[live]]
    seeds = named[_highest(gain(n[named], s[named]), SEEDS)]
    names = list(dict.fromkeys(usage.bare[token] for token in seeds))
    if not names:
        return []
    sums = np.stack((n[live], s[live]), axis=1).astype(np.float32)
    directions = np.stack([usage.direction(name) for name in names])
    each = np.stack([lexicon.cosines(name).take(live) for name in names])
    best: Candidate | None = None
    chosen: list[int] = []
    while len(chosen) < min(MAX_LIKED, len(names)):
        words = LIKE_WORDS + len(chosen)
        if best and bound - PENALTY * words < best.score:
            break
        length = np.linalg.norm(directions + directions[chosen].sum(0), axis=1, keepdims=True)
        near = (each + each[chosen].sum(0)) / np.maximum(length, 1e-9)
        both = ((near >= _LEAST).astype(np.float32) @ sums).astype(np.float64)
        gains = gain(both[..., 0], both[..., 1])
        gains[:, chosen] = -np.inf
        closeness, pick = divmod(int(np.argmax(gains)), len(names))
        tokens = Tokens(((Like(_CLOSENESS[closeness], tuple(names[i] for i in (*chosen, pick))),),))
        found = _candidate(float(gains[closeness, pick]), total, tokens, words)
        if best and found.score <= best.score:
            break
        best = found
        chosen.append(pick)
    return [best] if best else []
