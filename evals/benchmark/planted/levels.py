"""Five levels of difficulty, and which kinds of programs are drawn at each.

1. The token alone decides.
2. The token and what touches it decide: the token before, the characters around it, its place.
3. Something elsewhere in the text decides too, or the token's number, or two unrelated things are one feature. From here on the
   strength may vary.
4. The feature counts or remembers: the third number, the first of some words, a word's own earlier times; or the word on which it
   depends nearly always comes together with another one. 5 % noise.
5. Two conditions at once, two places compared, how deep brackets are. 10 % noise, often a dead zone.

`HARD` kinds cannot be written in the pattern language: for each of them it would have to count without end, keep a counter for
every word of an open class, know a token's place modulo two, or compare two places other than by `repeated` and `copying`.
"""

from __future__ import annotations

from typing import NamedTuple

from .idea import Kind
from .kinds.agreement import balance, same_start
from .kinds.combinations import conditional_union, repeated_if, two_conditions
from .kinds.conditions import confounded, first_of
from .kinds.following import following
from .kinds.forms import form
from .kinds.numbers import nth_number
from .kinds.places import beginning, even, line_start
from .kinds.repeats import copied, every_other, recent, so_manieth
from .kinds.spans import inside, nested
from .kinds.unions import union
from .kinds.words import ending, word_set

LEVELS = (1, 2, 3, 4, 5)
WRITABLE: dict[int, tuple[Kind, ...]] = {
    1: (word_set, ending),
    2: (following, form, beginning, line_start),
    3: (inside, union),
    4: (nth_number, first_of, copied, confounded),
    5: (two_conditions, conditional_union),
}
"""Kinds whose truth has a pattern, by level; at level 3 also siblings: words only after others, and unless others."""
HARD: dict[int, tuple[Kind, ...]] = {
    3: (even, balance),
    4: (so_manieth, every_other, recent),
    5: (nested, same_start, repeated_if),
}
"""Kinds whose truth has none, by level."""


class Slot(NamedTuple):
    """What is drawn next."""

    level: int
    """Difficulty."""
    hard: bool
    """Whether its truth shall have no pattern."""
    member: str = ""
    """Its part in the family of siblings of its cycle: `coarse`, `with` or `without`; empty for none."""


CYCLE: tuple[Slot, ...] = (
    Slot(5, True),
    Slot(1, False, "coarse"),
    Slot(3, False, "with"),
    Slot(4, True),
    Slot(2, False),
    Slot(3, False, "without"),
    Slot(3, True),
    Slot(5, False),
    Slot(3, False),
    Slot(5, True),
    Slot(2, False),
    Slot(4, False),
    Slot(4, True),
    Slot(1, False),
    Slot(2, False),
    Slot(5, True),
    Slot(4, False),
    Slot(1, False),
    Slot(3, True),
    Slot(2, False),
    Slot(1, False),
    Slot(5, True),
    Slot(2, False),
    Slot(1, False),
    Slot(4, True),
)
"""Features are drawn in this order, over and over: five of each level, nine of twenty-five without a pattern, and at every length
a third or more."""
MISSING = {4: 0.05, 5: 0.1}
"""Share of the true firings that noise takes away, by level."""
EXTRA = {4: 0.05, 5: 0.1}
"""False firings that noise adds, as a share of the true ones, by level."""
