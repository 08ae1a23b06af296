"""Intervals in closed form, which stay honest where a bootstrap has little to resample: at 0, at 1, and in small samples.

Those of rates and AUROC are score intervals: they hold every true value that the figure seen would not contradict, so a perfect
AUROC of ten texts gets an interval that begins well below 1, where every bootstrap draw is 1. They take items as independent;
where texts share documents, the bootstrap by document stands beside them and the wider of the two is reported
(`scorers.measure`).
"""

from __future__ import annotations

from collections.abc import Callable
from math import atanh, sqrt, tanh
from statistics import NormalDist

from .bootstrap import LEVEL

Z = NormalDist().inv_cdf((1 + LEVEL) / 2)
"""Normal quantile of a two-sided interval: 1.96."""


def wilson(successes: float, n: float) -> tuple[float, float]:
    """95 % interval of a rate of `successes` among n: the rates p with |s/n - p| <= z sqrt(p (1 - p) / n).

    Successes may be fractional (a tie counts for a part). Everything is possible, (0, 1), where n is 0. Source: Wilson, Probable
    inference, the law of succession, and statistical inference (1927).
    """
    if n <= 0:
        return 0.0, 1.0
    rate, z2 = successes / n, Z * Z
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = Z / (1 + z2 / n) * sqrt(max(0.0, rate * (1 - rate)) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def mean_of_rates(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    """95 % interval of the mean of two independent rates, such as balanced accuracy; each is given as (successes, n).

    The distances of each rate from its Wilson limits are combined as standard errors are: half the root of their summed squares.
    Source: Newcombe, Interval estimation for the difference between independent proportions, method 10 (1998); for sums, Zou and
    Donner, Construction of confidence limits about effect measures (2008).
    """
    rates = [successes / n if n > 0 else 0.5 for successes, n in (first, second)]
    limits = [wilson(*first), wilson(*second)]
    down = sqrt(sum((rate - low) ** 2 for rate, (low, _) in zip(rates, limits, strict=True)))
    up = sqrt(sum((high - rate) ** 2 for rate, (_, high) in zip(rates, limits, strict=True)))
    mean = sum(rates) / 2
    return max(0.0, mean - down / 2), min(1.0, mean + up / 2)


def auroc_interval(area: float, positives: int, negatives: int) -> tuple[float, float]:
    """95 % interval of an AUROC: the areas a with |area - a| <= z sqrt(V(a)), V being Hanley and McNeil's variance.

    V(a) = a (1 - a) (1 + N ((1 - a) / (2 - a) + a / (1 + a))) / (positives negatives), with N = (positives + negatives) / 2 - 1.
    Everything is possible, (0, 1), where a class is missing. Source: Newcombe, Confidence intervals for an effect size measure
    based on the Mann-Whitney statistic, part 2, method 5 (2006).
    """
    if positives < 1 or negatives < 1:
        return 0.0, 1.0
    average = (positives + negatives) / 2 - 1

    def possible(a: float) -> bool:
        spread = a * (1 - a) * (1 + average * ((1 - a) / (2 - a) + a / (1 + a))) / (positives * negatives)
        return (area - a) ** 2 <= Z * Z * spread

    return _furthest(possible, area, 0.0), _furthest(possible, area, 1.0)


def correlation_interval(r: float, n: float) -> tuple[float, float]:
    """95 % interval of a correlation of n independent pairs: tanh(atanh r ± z / sqrt(n - 3)).

    Everything is possible, (-1, 1), for three pairs or fewer; r = ±1 has no width. Source: Fisher, On the probable error of a
    coefficient of correlation deduced from a small sample (1921).
    """
    if n <= 3:
        return -1.0, 1.0
    if abs(r) >= 1:
        return r, r
    half = Z / sqrt(n - 3)
    return tanh(atanh(r) - half), tanh(atanh(r) + half)


def _furthest(possible: Callable[[float], bool], start: float, end: float) -> float:
    """The last possible value on the way from `start`, which is possible, to `end`, by halving."""
    if possible(end):
        return end
    near, far = start, end
    for _ in range(50):
        middle = (near + far) / 2
        near, far = (middle, far) if possible(middle) else (near, middle)
    return near
