"""Features from a seed and a text: feature n of a seed is the same whatever comes after it."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import lru_cache
from typing import get_args

from dragoman.evals.benchmark.records import Truth
from dragoman.store.errors import UserError
from dragoman.store.hashing import seed_of
from dragoman.tools.programs import Noise, Program, Term
from dragoman.tools.programs.program import Grade

from .idea import Draw, Idea, Kind
from .kinds import conditions, words
from .levels import CYCLE, EXTRA, HARD, LEVELS, MISSING, WRITABLE, Slot
from .material import Material

_TRIES = 80
"""Draws of a kind before another kind of the same level is tried."""
_SPREAD = 0.08
"""Standard deviation of the strengths, of which the largest is 1, above which a grade is worth telling."""
_GRADES: tuple[Grade, ...] = get_args(Grade)
_STRONGER: dict[Grade, str] = {
    "even": "",
    "length": " The longer the token, the stronger.",
    "place": " The nearer to the beginning of the text, the stronger.",
    "count": " The more often it has fired in the text before, the stronger.",
}


class Drawing:
    """The features of one seed."""

    def __init__(self, material: Material, seed: int) -> None:
        self.material, self.seed = material, seed
        self._family = lru_cache(None)(self._new_family)
        self._taken: set[Term] = set()
        self._drawn: list[tuple[Program, Truth]] = []

    def features(self, count: int) -> tuple[list[Program], list[Truth]]:
        """The first features, as programs and as truths.

        Raises:
            UserError: the text is too short or too uniform to draw them from.
        """
        while len(self._drawn) < count:
            self._drawn.append(self._draw(len(self._drawn)))
        drawn = self._drawn[:count]
        truths = [replace(truth, siblings=self._siblings(n, count)) for n, (_, truth) in enumerate(drawn)]
        return [program for program, _ in drawn], truths

    def _siblings(self, feature: int, count: int) -> tuple[int, ...]:
        cycle, place = divmod(feature, len(CYCLE))
        if not CYCLE[place].member:
            return ()
        family = [cycle * len(CYCLE) + n for n, slot in enumerate(CYCLE) if slot.member]
        return tuple(other for other in family if other != feature and other < count)

    def _draw(self, feature: int) -> tuple[Program, Truth]:
        cycle, place = divmod(feature, len(CYCLE))
        slot = CYCLE[place]
        rng = random.Random(seed_of("planted", self.seed, feature))
        idea = self._family(cycle)[slot.member] if slot.member else self._idea(slot, rng)
        self._taken.add(idea.term)
        if slot.level == 5 and rng.random() < 0.5:
            silent = idea.without_first(rng.choice((8, 12, 16)))
            idea = silent if self.material.usable(silent.term) else idea
        grades = [grade for grade in _GRADES if self._varies(idea, grade)] if slot.level >= 3 else []
        grade = rng.choice(("even", *grades))
        noise = Noise(MISSING.get(slot.level, 0.0), EXTRA.get(slot.level, 0.0) * self.material.rate(idea.term))
        program = Program(idea.term, grade, noise, round(rng.uniform(1, 10), 2), rng.randrange(1 << 31))
        text = f"Fires {idea.text}.{_STRONGER[grade]}"
        return program, Truth(feature, text, idea.pattern, slot.level, idea.kind, (), idea.pattern is None)

    def _varies(self, idea: Idea, grade: Grade) -> bool:
        """Whether the strengths that a grade gives differ noticeably on the text."""
        values = Program(idea.term, grade).values(self.material.reading)
        return float(values[values > 0].std()) > _SPREAD

    def _idea(self, slot: Slot, rng: random.Random) -> Idea:
        """An idea of the level, its kind by chance; where the text has nothing for any, one of the level below."""
        for level in range(slot.level, 0 if not slot.hard else min(HARD) - 1, -1):
            kinds = list((HARD if slot.hard else WRITABLE)[level])
            rng.shuffle(kinds)
            for kind in kinds:
                found = self._try(kind, rng)
                if found is not None:
                    return found
        raise UserError(_POOR)

    def _try(self, kind: Kind, rng: random.Random) -> Idea | None:
        for _ in range(_TRIES):
            idea = kind(Draw(self.material, rng))
            if idea is not None and idea.term not in self._taken and self.material.usable(idea.term):
                return idea
        return None

    def _new_family(self, cycle: int) -> dict[str, Idea]:
        """Three features of the same words: everywhere, only after others, and unless those."""
        rng = random.Random(seed_of("planted", self.seed, "family", cycle))
        for _ in range(50 * _TRIES):
            found = conditions.condition(Draw(self.material, rng))
            if found is None:
                continue
            family = {
                "coarse": words.of(found[0]),
                "with": conditions.of(*found),
                "without": conditions.of(*found, negated=True),
            }
            if all(self.material.usable(idea.term) for idea in family.values()):
                return family
        raise UserError(_POOR)


_POOR = (
    "The text is too short or too uniform to draw made features from: give at least some hundred documents in which words come "
    "back."
)
assert {slot.level for slot in CYCLE} == set(LEVELS)
