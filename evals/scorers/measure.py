"""What a scorer returns: a figure with its interval and remarks, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dragoman.evals.statistics import percentile_interval

PREDICTS = 0.5
"""A judge's probability above this counts as the prediction that the feature fires."""
FEWEST = 5
"""Detection needs at least this many contexts of each class."""


@dataclass(frozen=True)
class Measure:
    """One figure of one contestant on one feature."""

    scorer: str
    """Name, for example `detection.auroc`."""
    value: float | None
    """The figure; None when unscored."""
    low: float | None = None
    """Lower end of the 95 % bootstrap interval over documents."""
    high: float | None = None
    """Upper end."""
    n: int = 0
    """Contexts behind it."""
    unscored: str | None = None
    """Why there is no figure."""
    flags: tuple[str, ...] = ()
    """Remarks."""


def unscored(scorers: tuple[str, ...], reason: str) -> list[Measure]:
    """The same reason for several scorers."""
    return [Measure(name, None, unscored=reason) for name in scorers]


def measured(
    scorer: str, value: float, draws: np.ndarray[tuple[int], np.dtype[np.float64]], n: int, documents: int, flags: tuple[str, ...]
) -> Measure:
    """A figure with the interval of its bootstrap draws, which is left out where all documents but one were without use."""
    low, high = percentile_interval(draws)
    if documents < 2 or np.isnan(low):
        return Measure(scorer, value, None, None, n, None, (*flags, "too few documents for an interval"))
    return Measure(scorer, value, low, high, n, None, flags)
