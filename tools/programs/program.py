"""A made feature: a term with a strength, and noise on top.

Where the term holds the feature is active with a strength between 0.4 and 1, times its scale. Noise takes a share of these
firings away and adds others at random; it is a hash of the seed, the last three tokens and the place, so that the same window has
the same noise everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from dragoman.store.errors import UserError
from dragoman.store.hashing import mix

from .reading import Mask, Reading
from .term import Term, term_of

Grade = Literal["even", "length", "place", "count"]
WEAKEST = 0.4
"""Weakest strength of a true firing, twice the threshold at which a feature counts as firing."""


@dataclass(frozen=True)
class Noise:
    """Departures from the rule."""

    missing: float = 0.0
    """Share of the true firings at which the feature is silent."""
    extra: float = 0.0
    """Chance of any other token that the feature fires on it."""


@dataclass(frozen=True)
class Program:
    """One made feature."""

    term: Term
    """On which tokens it fires."""
    grade: Grade = "even"
    """What the strength depends on: `even` always 1; `length` grows with the length of the token; `place` falls from the
    beginning of the text on; `count` grows with every time that the term has held before in the text."""
    noise: Noise = Noise()
    scale: float = 1.0
    """Its largest activation."""
    seed: int = 0
    """Of the noise."""

    def fires(self, reading: Reading) -> Mask:
        """The truth, without noise. Shape: (tokens,)."""
        return self.term.on(reading)

    def values(self, reading: Reading) -> Float32[np.ndarray, " tokens"]:
        """The activations, noise included."""
        true, chance = self.fires(reading), None
        strength = np.where(true, self._strength(reading, true), 0)
        if self.noise.missing or self.noise.extra:
            chance = self._chances(reading, 0)
            strength[true & (chance < self.noise.missing)] = 0
            false = ~true & (chance < self.noise.extra)
            strength[false] = WEAKEST + (1 - WEAKEST) * self._chances(reading, 1)[false]
        return (self.scale * strength).astype(np.float32)

    def _strength(self, reading: Reading, true: Mask) -> NDArray[np.float64]:
        if self.grade == "length":
            share = (reading.end - reading.begin - 1) / 7
        elif self.grade == "place":
            share = 1 - reading.position / 64
        elif self.grade == "count":
            share = reading.count_before(true) / 4
        else:
            share = np.ones(len(reading))
        return np.asarray(WEAKEST + (1 - WEAKEST) * np.clip(share, 0, 1))

    def _chances(self, reading: Reading, stream: int) -> NDArray[np.float64]:
        """A number from 0 to 1 for each token."""
        ids, found = reading.ids, reading.position + 1
        for offset in (0, 1, 2):
            before = np.where(reading.position >= offset, ids[np.maximum(reading.index - offset, 0)], -1)
            found = mix(found ^ (before + 2) << 8 * offset, self.seed + stream).astype(np.int64)
        return np.asarray((mix(found, self.seed) >> np.uint64(11)) / float(1 << 53))

    def to_json(self) -> dict[str, Any]:
        """Everything."""
        return {
            "term": self.term.to_json(),
            "grade": self.grade,
            "missing": self.noise.missing,
            "extra": self.noise.extra,
            "scale": self.scale,
            "seed": self.seed,
        }

    @classmethod
    def from_json(cls, data: Any) -> Program:
        """What `to_json` wrote. Raises `UserError` for anything else."""
        try:
            grade, noise = data["grade"], Noise(float(data["missing"]), float(data["extra"]))
            if grade not in get_args(Grade):
                raise ValueError(grade)
            return cls(term_of(data["term"]), grade, noise, float(data["scale"]), int(data["seed"]))
        except (TypeError, KeyError, ValueError) as error:
            raise UserError(f"This is no program ({type(error).__name__}: {str(error)[:80]}): make the store again.") from error
