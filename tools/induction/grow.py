"""Grows the clauses of a pattern for one feature, greedily, with a small beam.

1. Roots: the best nameable sets of the token itself, of its neighbours, and single flags, judged on all train tokens
not yet covered.
2. Each root is extended by up to three conditions (a neighbour, a flag, a cue earlier in the text, or the negation of
one), as long as each brings
   more than its words cost.
3. The best clause is kept, its tokens are covered, and the next one is grown on the rest; or an existing clause is
split where a part of it fires
   more strongly, when that brings more.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dragoman.tools.patterns.evaluate import holds, where
from dragoman.tools.patterns.language import ANY, Clause, Condition, Form, Like, Near, OneOf, Tokens, Unless, Word
from dragoman.tools.patterns.usage import Usage

from .bank import Bank, Lexicon
from .contexts import FIRES, Contexts
from .cues import cue_conditions
from .sets import PENALTY, Ask, Doubles, Gain, Option, set_options, tallies, tally

Longs = NDArray[np.int64]
Floats = NDArray[np.float32]

PRIOR = 8.0
"""Silent tokens added to every count, so that a rule seen on a handful of tokens does not look perfect."""
CLAUSE_WORDS = 3.0
"""What a further clause costs besides its sets."""
MAX_CONDITIONS = 3
MAX_CLAUSES = 6
BEAM = 2
MAX_DENIED = 3
"""Most tokens in a list of what must not stand beside."""
MAX_SILENT = 12_000
"""Silent tokens of a clause that are looked at when it is extended."""
OFFSETS = (-1, 1, -2, 2)
"""Neighbours that conditions may speak about."""
WORD_PLACES: tuple[Literal[0, -1, 1], ...] = (0, -1, 1)
"""Whole words that conditions may speak about: the token's own, the one before, the one after."""


@dataclass(frozen=True, slots=True)
class Node:
    """A clause in the making."""

    tokens: Tokens
    conditions: tuple[Condition, ...]
    at: Longs
    """Train tokens that it covers and no other clause does. Shape: (covered,)."""
    gain: float
    """Reduction of the squared error."""
    words: float

    def clause(self, level: str = "strongly") -> Clause:
        """The clause, its level still to be fitted."""
        return Clause(level, self.tokens, self.conditions)


class Evidence:
    """One feature on train: where it is active and how strongly."""

    def __init__(self, bank: Bank, at: Longs, value: Floats, seed: int, unknown: Longs | None = None) -> None:
        """`at`: flat indices of the active tokens, ascending; `value`: activation as a share of the train maximum.
        Shapes: (active,). `unknown`: rows of the contexts of which a sampled store says nothing. Shape: (unknown,)."""
        self.bank = bank
        self.at = at
        self.y = np.zeros(len(bank.text), np.float32)
        self.y[at] = value
        self.total = float((value.astype(np.float64) ** 2).sum())
        self.sum = float(value.sum(dtype=np.float64))
        firing = value > FIRES
        rows = np.zeros(0, np.int64) if unknown is None else unknown
        self.contexts = Contexts(bank.text, at, firing, bank.text.ids[at[firing]], rows)
        self.known = bank.text.outside(rows)
        """Which tokens anything is known about. Shape: (tokens,)."""
        self.size = int(self.known.sum())
        """How many these are."""
        self._sampled = len(rows) > 0
        self.free = np.ones(len(bank.text), bool)
        self.left = {offset: bank.counts(offset).copy() for offset in (0, *OFFSETS)}
        """How often each token id stands at the place, over the tokens not yet covered. Shapes: (vocabulary + 1,)."""
        self.left_words = {place: bank.word_counts(place).copy() for place in WORD_PLACES}
        """The same for words. Shapes: (words + 1,)."""
        self.left_flags = bank.flag_counts.copy()
        """How often each of the bank's flags holds. Shape: (conditions,)."""
        self._rows: dict[tuple[Tokens, tuple[Condition, ...]], Longs] = {}
        self._places: dict[tuple[Tokens, tuple[Condition, ...]], Longs] = {}
        self.random = np.random.default_rng((seed, len(at)))
        if len(rows):
            self.cover(np.flatnonzero(~self.known))

    def places(self, tokens: Tokens, conditions: tuple[Condition, ...]) -> Longs:
        """Known train tokens for which a clause holds, ascending; remembered. Shape: (found,)."""
        key = (tokens, conditions)
        if key not in self._places:
            found = where(Clause("strongly", tokens, conditions), self.bank.text)
            self._places[key] = found[self.known.take(found)] if self._sampled else found
        return self._places[key]

    def rows(self, tokens: Tokens, conditions: tuple[Condition, ...]) -> Longs:
        """Train contexts in which a clause holds somewhere; remembered. Shape: (found,)."""
        key = (tokens, conditions)
        if key not in self._rows:
            self._rows[key] = self.bank.text.windows(self.places(tokens, conditions))
        return self._rows[key]

    def cover(self, at: Longs) -> None:
        """Take tokens, none of them covered yet, out of what is left to explain."""
        self.free[at] = False
        text, bank = self.bank.text, self.bank
        for offset, left in self.left.items():
            left -= np.bincount(text.shifted(offset)[at], minlength=len(left))
        for place, left in self.left_words.items():
            left -= np.bincount(text.words_at(place)[at], minlength=len(left))
        self.left_flags -= bank.flag_sums(at)


def squares(n: Doubles, s: Doubles) -> Doubles:
    """Reduction of the squared error by predicting the mean on each set."""
    return s * s / (n + PRIOR)


def grow(evidence: Evidence, most: int = MAX_CLAUSES) -> list[Node]:
    """Up to `most` clauses, in the order in which they bring most."""
    nodes: list[Node] = []
    splits: list[Node | None] = []
    while len(nodes) < most:
        fresh = _best_clause(evidence)
        splits += [_best_split(evidence, node) for node in nodes[len(splits) :]]
        place, split = max(enumerate(splits), key=lambda pair: pair[1].gain if pair[1] else -1.0, default=(0, None))
        fresh_score = _score(evidence, fresh) if fresh else -1.0
        if not nodes and fresh_score <= 0:
            return [fresh or Node(ANY, (), np.flatnonzero(evidence.known), 0.0, 1.0)]
        split_score = split.gain / evidence.total - PENALTY * (split.words + CLAUSE_WORDS) if split else -1.0
        if max(fresh_score, split_score) <= 0:
            break
        if split and split_score > fresh_score:
            parent = nodes[place]
            rest = parent.at[np.isin(parent.at, split.at, assume_unique=True, invert=True)]
            nodes[place] = Node(parent.tokens, parent.conditions, rest, parent.gain, parent.words)
            splits[place] = _best_split(evidence, nodes[place])
            nodes.append(split)
        elif fresh:
            evidence.cover(fresh.at)
            nodes.append(fresh)
    return nodes


def _score(evidence: Evidence, node: Node) -> float:
    return node.gain / evidence.total - PENALTY * (node.words + CLAUSE_WORDS)


def _best_clause(evidence: Evidence) -> Node | None:
    beam = _roots(evidence)[:BEAM]
    best: Node | None = None
    for depth in range(MAX_CONDITIONS + 1):
        for node in beam:
            if best is None or _score(evidence, node) > _score(evidence, best):
                best = node
        if depth == MAX_CONDITIONS:
            break
        children = [child for node in beam for child in _children(evidence, node)]
        children.sort(key=lambda node: -_score(evidence, node))
        beam = _distinct(children)[:BEAM]
        if not beam:
            break
    return best


def _distinct(nodes: list[Node]) -> list[Node]:
    """Drop nodes that cover exactly what a better one covers."""
    kept: list[Node] = []
    for node in nodes:
        if not any(len(node.at) == len(other.at) and np.array_equal(node.at, other.at) for other in kept):
            kept.append(node)
    return kept


def _roots(evidence: Evidence) -> list[Node]:
    bank, text = evidence.bank, evidence.bank.text
    active = evidence.at[evidence.free[evidence.at]]
    value = evidence.y[active].astype(np.float64)
    asks: list[Ask] = []
    size, many = bank.tokens.size + 1, bank.words.size + 1
    sums = [(evidence.left[offset], tally(text.shifted(offset).take(active), value, size)) for offset in (0, *OFFSETS)]
    for offset, one in zip((0, *OFFSETS), tallies(bank.tokens, sums), strict=True):
        asks.append(Ask(one, squares, partial(_at, offset), 2.0 if offset else 0.0, most=3))
    sums = [(evidence.left_words[place], tally(text.words_at(place).take(active), value, many)) for place in WORD_PLACES]
    for place, one in zip(WORD_PLACES, tallies(bank.words, sums), strict=True):
        asks.append(Ask(one, squares, partial(Word, place), 3.0 if place else 2.0))
    gains = squares(evidence.left_flags, bank.flag_sums(active, value))
    others = [Option(float(g) / evidence.total - 3 * PENALTY, flag, 3.0) for flag, g in zip(bank.flags, gains, strict=True)]
    scores = [option.score for option in others]
    options = [*set_options(asks, evidence.total, 0.0, scores, 2 * BEAM), *others]
    options.sort(key=lambda option: -option.score)
    nodes = []
    for option in options[: 2 * BEAM]:
        tokens, conditions = (option.what, ()) if isinstance(option.what, Tokens) else (ANY, (option.what,))
        at = evidence.places(tokens, conditions)
        nodes.append(_node(evidence, tokens, conditions, at[evidence.free[at]], option.words))
    return _distinct(sorted(nodes, key=lambda node: -_score(evidence, node)))


def _at(offset: int, tokens: Tokens) -> Condition | Tokens:
    """The token itself, or its neighbour, is in the set."""
    return Near(offset, tokens) if offset else tokens


def _node(evidence: Evidence, tokens: Tokens, conditions: tuple[Condition, ...], at: Longs, words: float) -> Node:
    gain = float(squares(np.array(float(len(at))), evidence.y[at].sum(dtype=np.float64)))
    return Node(tokens, conditions, at, gain, words)


def _children(evidence: Evidence, node: Node) -> list[Node]:
    """The node narrowed in each of the most promising ways."""
    if len(node.at) < 8:
        return []
    return [_narrow(evidence, node, option) for option in narrowings(evidence, node, squares, True, BEAM)]


def _best_split(evidence: Evidence, node: Node) -> Node | None:
    """The part of a clause that most deserves a strength of its own, its gain being what the split brings."""
    if len(node.at) < 16:
        return None
    size, mass = float(len(node.at)), float(evidence.y[node.at].sum(dtype=np.float64))
    whole = mass * mass / (size + PRIOR)

    def gain(n: Doubles, s: Doubles) -> Doubles:
        split = squares(n, s) + squares(size - n, mass - s) - whole
        return np.where((s / np.maximum(n, 1e-9) > mass / size) & (n < size), split, 0.0)

    best: Node | None = None
    for option in narrowings(evidence, node, gain, False, 2):
        child = _narrow(evidence, node, option)
        if 4 <= len(child.at) < len(node.at):
            brings = float(gain(np.array(float(len(child.at))), evidence.y[child.at].sum(dtype=np.float64)))
            child = Node(child.tokens, child.conditions, child.at, brings, option.words)
            if (
                best is None
                or child.gain - PENALTY * evidence.total * child.words > best.gain - PENALTY * evidence.total * best.words
            ):
                best = child
    return best


def _narrow(evidence: Evidence, node: Node, option: Option) -> Node:
    text = evidence.bank.text
    if isinstance(option.what, Tokens):
        tokens = intersect(node.tokens, option.what, text.usage)
        at = node.at[text.vocabulary_mask(tokens)[text.ids[node.at]]]
        return _node(evidence, tokens, node.conditions, at, node.words + option.words)
    at = node.at[holds(option.what, text, node.at)]
    return _node(evidence, node.tokens, (*node.conditions, option.what), at, node.words + option.words)


def intersect(tokens: Tokens, other: Tokens, usage: Usage) -> Tokens:
    """Tokens in both sets, each of a single term; a list is cut to those of its tokens that are mostly in the other set."""
    factors = tuple(dict.fromkeys(factor for factor in (*tokens.terms[0], *other.terms[0]) if factor != Form("any")))
    listed = next((factor for factor in reversed(factors) if isinstance(factor, OneOf)), None)
    if listed is None:
        return Tokens((factors or (Form("any"),),))
    mask = usage.members(Tokens((tuple(factor for factor in factors if factor is not listed) or (Form("any"),),)))
    kept = []
    for text in listed.texts:
        ids = np.array(usage.ids_of.get(text, []), np.int64)
        if usage.counts[ids][mask[ids]].sum() * 2 > usage.counts[ids].sum():
            kept.append(text)
    return Tokens(((OneOf(tuple(kept) or listed.texts),),))


def _not_beside(offset: int, tokens: Tokens) -> Condition:
    return Unless(Near(offset, tokens))


def _both_like(tokens: Tokens, other: Tokens) -> bool:
    """Whether both sets say "used like": the two together would read badly."""
    return all(any(isinstance(factor, Like) for factor in one.terms[0]) for one in (tokens, other))


def narrowings(evidence: Evidence, node: Node, gain: Gain, negate: bool, most: int) -> list[Option]:
    """The best ways to narrow a clause, the best first. `gain` judges what is left; `negate` also tries what to leave out."""
    bank, text = evidence.bank, evidence.bank.text
    at, weight = _sample(evidence, node.at)
    value = evidence.y.take(at).astype(np.float64)
    mass = weight * value
    size, sum_ = weight.sum(), mass.sum()
    active = np.flatnonzero(value)
    parent = float(gain(size, sum_)) / evidence.total if negate else 0.0

    def rest(n: Doubles, s: Doubles) -> Doubles:
        return gain(size - n, sum_ - s)

    def counted(lexicon: Lexicon, ids: NDArray[Any]) -> tuple[Doubles, Doubles]:
        return tally(ids, weight, lexicon.size + 1), tally(ids[active], mass[active], lexicon.size + 1)

    asks: list[Ask] = []
    used: set[Condition] = {condition.inner if isinstance(condition, Unless) else condition for condition in node.conditions}
    taken = {condition.offset for condition in used if isinstance(condition, Near)}
    sums = [counted(bank.tokens, text.shifted(offset).take(at)) for offset in (0, *OFFSETS)]
    for offset, one in zip((0, *OFFSETS), tallies(bank.tokens, sums), strict=True):
        if offset == 0:
            asks.append(Ask(one, gain, lambda tokens: None if _both_like(node.tokens, tokens) else tokens))
        elif offset not in taken:
            asks.append(Ask(one, gain, partial(Near, offset), 1.0 + abs(offset)))
        if negate and offset in (-1, 1):
            asks.append(Ask(one, rest, partial(_not_beside, offset), 4.0, 1, MAX_DENIED))
    taken_words = {condition.place for condition in used if isinstance(condition, Word)}
    open_ = [place for place in WORD_PLACES if place not in taken_words]
    sums = [counted(bank.words, text.words_at(place).take(at)) for place in open_]
    for place, one in zip(open_, tallies(bank.words, sums), strict=True):
        asks.append(Ask(one, gain, partial(Word, place), 3.0))
    n, s = (np.stack((weight, mass)).astype(np.float32) @ bank.flags_of(at)).astype(np.float64)
    others = _flag_options(evidence, used, gain(n, s), rest(n, s) if negate else None)
    others += [
        Option(score, what, words)
        for score, what, words in cue_conditions(evidence.bank, at, weight, value, gain, evidence.total)
    ]
    scores = [*(option.score for option in others), *[parent] * most]
    options = [*set_options(asks, evidence.total, parent, scores, most), *others]
    better = [option for option in options if option.score > parent]
    return sorted(better, key=lambda option: -option.score)[:most]


def _flag_options(evidence: Evidence, used: set[Condition], gains: Doubles, denied: Doubles | None) -> list[Option]:
    """Flags, and what none of them may hold for. `gains`, `denied`: reduction of the squared error. Shapes: (conditions,)."""
    flags, total = evidence.bank.flags, evidence.total
    options = [
        Option(float(g) / total - 3 * PENALTY, flag, 3.0) for flag, g in zip(flags, gains, strict=True) if flag not in used
    ]
    if denied is not None:
        options += [
            Option(float(g) / total - 4 * PENALTY, Unless(flag), 4.0)  # type: ignore[arg-type]
            for flag, g in zip(flags, denied, strict=True)
            if flag not in used
        ]
    return options


def _sample(evidence: Evidence, at: Longs) -> tuple[Longs, Doubles]:
    """All active and a bounded number of silent tokens of a clause, with what each stands for. Shapes: (sample,)."""
    active = evidence.y[at] > 0
    silent = at[~active]
    if len(silent) <= MAX_SILENT:
        return at, np.ones(len(at))
    picked = evidence.random.choice(silent, MAX_SILENT, replace=False)
    kept = np.concatenate((at[active], picked))
    return kept, np.concatenate((np.ones(int(active.sum())), np.full(MAX_SILENT, len(silent) / MAX_SILENT)))
