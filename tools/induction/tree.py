"""What a rule of unlimited length reaches: a regression tree whose splits are token sets of any size. The price of
readability is measured against it.

1. A leaf is split by the tokens at one place (the token itself, its neighbours up to two places away) into two sets
of any size, or by a flag.
   The best two sets are a prefix and a suffix of the tokens sorted by their mean activation.
2. The split that lowers the squared error most is made, until there are `leaves` leaves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman.tools.patterns.evaluate import holds
from dragoman.tools.patterns.language import Condition
from dragoman.tools.patterns.text import PatternText

from .grow import Evidence

Longs = NDArray[np.int64]
Mask = NDArray[np.bool_]

PLACES = (0, -1, 1, -2, 2)
LEAVES = 10
SMOOTHING = 2.0
"""Silent tokens added to each token's count before sorting by mean."""
FEWEST = 8
"""Tokens in the smallest leaf."""


class Split(NamedTuple):
    """How a leaf is cut in two: by a set of token ids at a place, or by a condition."""

    gain: float
    offset: int
    members: Mask | None
    """Token ids of the upper side. Shape: (vocabulary + 1,)."""
    condition: Condition | None

    def upper(self, text: PatternText, at: Longs) -> Mask:
        """Which of the tokens go to the upper side. Shape: (at,)."""
        if self.condition is not None:
            return holds(self.condition, text, at)
        assert self.members is not None
        return self.members[text.shifted(self.offset)[at]]


@dataclass(slots=True)
class Leaf:
    """A leaf, or an inner node once `split` is set."""

    at: Longs
    value: float
    split: Split | None = None
    upper: Leaf | None = None
    lower: Leaf | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    """A rule of unlimited length: it predicts, but nobody could read it."""

    root: Leaf
    listed: int
    """Token ids in all of its sets together: how long it would be in words."""

    def predict(self, text: PatternText) -> NDArray[np.float32]:
        """Predicted strength of every token as a share of the train maximum. Shape: (tokens,)."""
        strength = np.zeros(len(text), np.float32)
        stack = [(self.root, text.index)]
        while stack:
            leaf, at = stack.pop()
            if leaf.split is None or leaf.upper is None or leaf.lower is None:
                strength[at] = leaf.value
            else:
                up = leaf.split.upper(text, at)
                stack += [(leaf.upper, at[up]), (leaf.lower, at[~up])]
        return strength


def grow_tree(evidence: Evidence, leaves: int = LEAVES) -> Tree:
    """Grow the tree best split first on the feature's train evidence."""
    text = evidence.bank.text
    root = _leaf(evidence, text.index)
    open_: list[tuple[Leaf, Split]] = [(root, first)] if (first := _best(evidence, root)) else []
    listed = 0
    for _ in range(leaves - 1):
        if not open_:
            break
        leaf, split = open_.pop(max(range(len(open_)), key=lambda place: open_[place][1].gain))
        up = split.upper(text, leaf.at)
        leaf.split, leaf.upper, leaf.lower = split, _leaf(evidence, leaf.at[up]), _leaf(evidence, leaf.at[~up])
        listed += int(split.members.sum()) if split.members is not None else 1
        open_ += [(side, found) for side in (leaf.upper, leaf.lower) if (found := _best(evidence, side))]
    return Tree(root, listed)


def _leaf(evidence: Evidence, at: Longs) -> Leaf:
    return Leaf(at, float(evidence.y[at].mean()) if len(at) else 0.0)


def _best(evidence: Evidence, leaf: Leaf) -> Split | None:
    at, text, size = leaf.at, evidence.bank.text, evidence.bank.tokens.size + 1
    if len(at) < 2 * FEWEST:
        return None
    active = at[evidence.y[at] > 0]
    value = evidence.y[active].astype(np.float64)
    n_all, s_all = float(len(at)), float(value.sum())
    whole = s_all * s_all / n_all
    best: Split | None = None
    for offset in PLACES:
        ids = text.shifted(offset)
        n = evidence.bank.counts(offset) if len(at) == len(text) else np.bincount(ids[at], minlength=size)
        s = np.bincount(ids[active], value, size)
        order = np.argsort(-s / (n + SMOOTHING), kind="stable")
        count, mass = np.cumsum(n[order]), np.cumsum(s[order])
        fine = (count >= FEWEST) & (n_all - count >= FEWEST)
        gain = mass**2 / np.maximum(count, 1) + (s_all - mass) ** 2 / np.maximum(n_all - count, 1) - whole
        pick = int(np.argmax(np.where(fine, gain, -np.inf)))
        if fine[pick] and gain[pick] > (best.gain if best else 1e-9):
            members = np.zeros(size, bool)
            members[order[: pick + 1]] = True
            best = Split(float(gain[pick]), offset, members & (s > 0), None)
    bank = evidence.bank
    for flag, count_, mass_ in zip(bank.flags, bank.flag_sums(at), bank.flag_sums(active, value), strict=True):
        if FEWEST <= count_ <= n_all - FEWEST:
            gain_ = mass_**2 / count_ + (s_all - mass_) ** 2 / (n_all - count_) - whole
            if gain_ > (best.gain if best else 1e-9):
                best = Split(float(gain_), 0, None, flag)
    return best
