"""What a scorer returns: a figure with its interval and remarks, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from dragoman.evals.statistics import percentile_interval

PREDICTS = 0.5
"""A judge's probability above this counts as the prediction that the feature fires."""
FEWEST = 5
"""Detection needs at least this many contexts of each class."""
CONSTANT = "constant prediction"
"""Flag of a judge that says the same to everything."""


@dataclass(frozen=True)
class Measure:
    """One figure of one contestant on one feature."""

    scorer: str
    """Name, for example `detection.auroc`."""
    value: float | None
    """The figure; None when unscored."""
    low: float | None = None
    """Lower end of the 95 % interval."""
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
    scorer: str,
    value: float,
    draws: Float[NDArray[np.float64], " draws"],
    n: int,
    documents: int,
    flags: tuple[str, ...],
    least: tuple[float, float] | None = None,
) -> Measure:
    """A figure with the interval of its bootstrap draws, which is left out where all documents but one were without use.

    `least` is an interval in closed form (`statistics.rates`): what is reported reaches at least as far. The bootstrap knows that
    texts of one document go together, and the closed form that few answers say little even where all of them agree.
    """
    low, high = percentile_interval(draws)
    if documents < 2 or np.isnan(low):
        return Measure(scorer, value, None, None, n, None, (*flags, "too few documents for an interval"))
    if least is not None:
        low, high = min(low, least[0]), max(high, least[1])
    return Measure(scorer, value, low, high, n, None, flags)


def remarked(measures: list[Measure], flags: tuple[str, ...]) -> list[Measure]:
    """The same measures with further remarks on those that have a figure."""
    return [m if m.value is None else replace(m, flags=(*m.flags, *flags)) for m in measures]
