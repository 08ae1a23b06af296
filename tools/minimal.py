"""How little context still fires a feature: the shortest suffix, and the smallest set of tokens.

What becomes of the other tokens is part of the answer, so every result says it: for a suffix they are cut off, so that positions
move; for a set they are deleted, or a neutral token stands for each, so that positions stay. BOS, where the store has it, stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import comb
from typing import Literal

import numpy as np

from dragoman.store import display
from dragoman.store.errors import UserError

from .gauge import Focus, Gauge
from .prompt import Prompt

Baseline = Literal["delete", "neutral"]
EXHAUSTIVE = 120_000
"""Tokens that may be forwarded to try every set of one size."""


@dataclass(frozen=True)
class MinimalContext:
    """Tokens that suffice to fire a feature at one position."""

    feature: str
    """Address of the feature."""
    strings: tuple[str, ...]
    """The tokens of the text."""
    kept: tuple[int, ...]
    """Which of them are kept, ascending; the position itself is always among them."""
    position: int
    """The token at which the feature fires."""
    value: float
    """Its activation there in the whole text."""
    kept_value: float
    """Its activation there when only the kept tokens are left."""
    threshold: float
    """What the activation had to exceed."""
    baseline: str
    """What became of the other tokens."""
    proven: bool
    """Whether nothing smaller of this kind fires it: every smaller one was tried."""
    tried: int
    """Sequences run."""
    curve: tuple[float, ...] = ()
    """For a suffix: the activation with only the last 1, 2, 3 … tokens up to the position."""

    @property
    def text(self) -> str:
        """The kept tokens, with an ellipsis where others were."""
        pieces = [("" if at == 0 or self.kept[at - 1] == i - 1 else "…") + self.strings[i] for at, i in enumerate(self.kept)]
        return "".join(pieces)

    def __str__(self) -> str:
        return display.strip_line(self._title, self.strings, self._marks, 0.5)

    def __rich__(self) -> object:
        return display.strip_rich(self._title, self.strings, self._marks, 1.0, 0.5)

    def _repr_html_(self) -> str:
        return display.strip_html(self._title, self.strings, self._marks, 1.0, 0.5)

    @property
    def _marks(self) -> list[float]:
        return [float(i in self.kept) for i in range(len(self.strings))]

    @property
    def _title(self) -> str:
        least = "smallest possible" if self.proven else "none smaller was found"
        return (
            f"{self.feature} at token {self.position}: {len(self.kept)} tokens keep {self.kept_value:.3g} of {self.value:.3g} "
            f"({least}; {self.baseline})"
        )


def minimal_suffix(gauge: Gauge, text: str | Prompt, position: int | None = None, above: float | None = None) -> MinimalContext:
    """The shortest run of tokens up to a position that still fires the feature there.

    Args:
        gauge: the feature.
        text: the text.
        position: the token to look at; by default the one at which the feature is strongest.
        above: the activation that must be exceeded; by default the feature's threshold.

    Raises:
        UserError: the position is not in the text, or the feature does not fire there.
    """
    above = gauge.threshold if above is None else above
    focus = _firing(gauge, text, position, above)
    ids = focus.ids
    before = gauge.forwards
    curve = gauge.at([ids[len(ids) - n :] for n in range(1, len(ids) + 1)])
    length = int(np.flatnonzero(curve > above)[0]) + 1
    kept = tuple(range(focus.position - length + 1, focus.position + 1))
    return MinimalContext(
        feature=gauge.key,
        strings=focus.prompt.strings,
        kept=kept,
        position=focus.position,
        value=focus.value,
        kept_value=float(curve[length - 1]),
        threshold=above,
        baseline="earlier tokens cut off",
        proven=True,
        tried=gauge.forwards - before,
        curve=tuple(curve.tolist()),
    )


def minimal_set(
    gauge: Gauge,
    text: str | Prompt,
    position: int | None = None,
    baseline: Baseline = "delete",
    neutral: str | None = None,
    above: float | None = None,
    effort: int = EXHAUSTIVE,
) -> MinimalContext:
    """The smallest set of tokens that still fires the feature at a position, which is always kept.

    Delta debugging (Zeller and Hildebrandt 2002) finds a set from which no token can be spared; then every smaller set is tried,
    one size after the other, as long as that is cheap. `proven` says whether all of them were.

    Args:
        gauge: the feature.
        text: the text.
        position: the token to look at; by default the one at which the feature is strongest.
        baseline: `delete` the other tokens, or put a `neutral` one in the place of each.
        neutral: the token for it; by default the commonest train token on which the feature is never active.
        above: the activation that must be exceeded; by default the feature's threshold.
        effort: tokens that may be forwarded to try every set of one size.

    Raises:
        UserError: the position is not in the text, the feature does not fire there, or `neutral` is not one token.
    """
    if baseline not in ("delete", "neutral"):
        raise UserError(f"There is no baseline {baseline!r}: the baselines are delete and neutral.")
    above = gauge.threshold if above is None else above
    focus = _firing(gauge, text, position, above)
    stand_in = None
    if baseline == "neutral":
        stand_in = gauge.neutral if neutral is None else gauge.token(neutral)
    trial = _Trial(gauge, focus, stand_in, above)
    kept = _reduce(trial)
    kept, proven = _smaller(trial, kept, effort)
    said = "others deleted" if stand_in is None else f"others replaced by {gauge.speaker.vocabulary[stand_in]!r}"
    return MinimalContext(
        feature=gauge.key,
        strings=focus.prompt.strings,
        kept=tuple(focus.start + i for i in (*kept, len(focus.ids) - 1)),
        position=focus.position,
        value=focus.value,
        kept_value=float(trial.values([kept])[0]),
        threshold=above,
        baseline=said,
        proven=proven,
        tried=trial.tried,
    )


class _Trial:
    """Runs the window with only some of the tokens before the position kept."""

    def __init__(self, gauge: Gauge, focus: Focus, neutral: int | None, above: float) -> None:
        self.gauge, self.ids, self.neutral, self.above = gauge, focus.ids, neutral, above
        self.tried = 0

    def row(self, kept: Iterable[int]) -> list[int]:
        """Token ids with only `kept` (ascending) and the position left."""
        if self.neutral is None:
            return [*(self.ids[i] for i in kept), self.ids[-1]]
        row = [self.neutral] * (len(self.ids) - 1) + [self.ids[-1]]
        for i in kept:
            row[i] = self.ids[i]
        return row

    def values(self, sets: Sequence[Sequence[int]]) -> np.ndarray:
        """The activation with each set kept."""
        self.tried += len(sets)
        return self.gauge.at([self.row(kept) for kept in sets])

    def fires(self, sets: Sequence[Sequence[int]]) -> int | None:
        """Which set fires the feature most strongly; None if none does."""
        values = self.values(sets)
        best = int(values.argmax())
        return best if values[best] > self.above else None


def _reduce(trial: _Trial) -> list[int]:
    """A set from which no single token can be spared. All candidates of a round run in one batch."""
    kept, parts = list(range(len(trial.ids) - 1)), 2
    if trial.fires([[]]) is not None:
        return []
    while len(kept) > 1:
        bounds = np.linspace(0, len(kept), min(parts, len(kept)) + 1).astype(int)
        chunks = [kept[a:b] for a, b in pairwise(bounds)]
        others = [[i for i in kept if i not in set(chunk)] for chunk in chunks]
        best = trial.fires(chunks)
        if best is not None:
            kept, parts = chunks[best], 2
            continue
        best = trial.fires(others) if len(chunks) > 2 else None
        if best is not None:
            kept, parts = others[best], max(len(chunks) - 1, 2)
        elif len(chunks) == len(kept):
            break
        else:
            parts = 2 * len(chunks)
    return kept


def _smaller(trial: _Trial, kept: list[int], effort: int) -> tuple[list[int], bool]:
    """The smallest set, trying every size below that of `kept` while that is cheap, and whether all were tried."""
    n = len(trial.ids) - 1
    for size in range(1, len(kept)):
        length = size + 1 if trial.neutral is None else n + 1
        if comb(n, size) * length > effort:
            return kept, False
        sets = list(combinations(range(n), size))
        best = trial.fires(sets)
        if best is not None:
            return list(sets[best]), True
    return kept, True


def _firing(gauge: Gauge, text: str | Prompt, position: int | None, above: float) -> Focus:
    focus = gauge.focus(text, position)
    if not focus.value > above:
        raise UserError(
            f"{gauge.key} does not fire at token {focus.position} (its value there is {focus.value:.3g}; {above:.3g} must be "
            "exceeded): leave the position out to look where it is strongest."
        )
    return focus
