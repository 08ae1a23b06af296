"""Closed intervals against their definitions, solved another way, and against what they claim."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from dragoman.evals.statistics import auroc, auroc_interval, correlation_interval, mean_of_rates, wilson

Z = 1.959963984540054


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (1, 10), (7, 20), (39, 40), (40, 40), (12.5, 30)])
def test_wilson_limits_are_the_rates_at_the_edge_of_a_score_test(successes: float, n: int) -> None:
    """Roots of |s/n - p| = z sqrt(p (1 - p) / n), found by a solver."""
    rate = successes / n

    def beyond(p: float) -> float:
        return (rate - p) ** 2 - Z**2 * p * (1 - p) / n

    low, high = wilson(successes, n)
    assert low == pytest.approx(0.0 if rate == 0 else optimize.brentq(beyond, 1e-12, rate - 1e-9, xtol=1e-14), abs=1e-9)
    assert high == pytest.approx(1.0 if rate == 1 else optimize.brentq(beyond, rate + 1e-9, 1 - 1e-12, xtol=1e-14), abs=1e-9)


def test_wilson_agrees_with_scipy() -> None:
    for k in range(21):
        known = stats.binomtest(k, 20).proportion_ci(method="wilson")
        assert wilson(k, 20) == pytest.approx((known.low, known.high), abs=1e-12)
    assert wilson(0, 0) == (0, 1)
    assert wilson(2, 10)[0] < wilson(2.5, 10)[0] < 0.25 < wilson(2.5, 10)[1] < wilson(3, 10)[1]


@pytest.mark.parametrize(("k", "n", "low", "high"), [(9, 10, 0.5958, 0.9821), (0, 20, 0.0, 0.1611), (50, 50, 0.9287, 1.0)])
def test_wilson_agrees_with_published_values(k: int, n: int, low: float, high: float) -> None:
    assert wilson(k, n) == pytest.approx((low, high), abs=2e-4)


def test_the_mean_of_two_rates_has_the_width_of_newcombe_s_difference() -> None:
    """Published example: 56/70 - 48/80 = .2, 95 % interval .0524 to .3339 (Newcombe 1998, table II, method 10).

    The rate 48/80 turned round, 32/80, makes the difference a sum: p - q = (p + (1 - q)) - 1, of which the mean is half.
    """
    low, high = mean_of_rates((56, 70), (32, 80))
    assert (2 * low - 1, 2 * high - 1) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert mean_of_rates((0, 0), (5, 5))[1] == 1


@pytest.mark.parametrize(("area", "m", "n"), [(0.5, 40, 40), (0.83, 12, 31), (1.0, 10, 10), (0.02, 9, 40), (0.0, 5, 6)])
def test_auroc_limits_satisfy_hanley_and_mcneil_s_variance(area: float, m: int, n: int) -> None:
    """Roots of (A - a)^2 = z^2 V(a) with V from Q1 = a / (2 - a) and Q2 = 2 a^2 / (1 + a), both sample sizes averaged."""

    def beyond(a: float) -> float:
        q1, q2, each = a / (2 - a), 2 * a * a / (1 + a), (m + n) / 2 - 1
        variance = (a * (1 - a) + each * (q1 - a * a) + each * (q2 - a * a)) / (m * n)
        return (area - a) ** 2 - Z**2 * variance

    low, high = auroc_interval(area, m, n)
    assert low == pytest.approx(0.0 if area == 0 else optimize.brentq(beyond, 1e-9, area - 1e-9), abs=1e-6)
    assert high == pytest.approx(1.0 if area == 1 else optimize.brentq(beyond, area + 1e-9, 1 - 1e-9), abs=1e-6)
    assert auroc_interval(0.7, 0, 5) == (0, 1)


def test_the_interval_of_a_correlation_agrees_with_scipy() -> None:
    rng = np.random.default_rng(3)
    for n in (5, 20, 300):
        x = rng.normal(size=n)
        known = stats.pearsonr(x, x + rng.normal(size=n))
        expected = known.confidence_interval()
        assert correlation_interval(known.statistic, n) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert correlation_interval(0.9, 3) == (-1, 1) and correlation_interval(1.0, 9) == (1, 1)


def test_the_auroc_interval_holds_the_truth_where_a_bootstrap_would_have_no_width() -> None:
    """Ten against ten at a true AUROC of .97: often perfect by luck, and then a bootstrap says [1, 1]."""
    rng = np.random.default_rng(0)
    shift = np.sqrt(2) * stats.norm.ppf(0.97)
    truth = np.arange(20) < 10
    held, perfect = 0, 0
    for _ in range(500):
        area = auroc(truth, rng.normal(size=20) + shift * truth)
        low, high = auroc_interval(area, 10, 10)
        held += low <= 0.97 <= high
        perfect += area == 1
    assert perfect > 100 and held / 500 >= 0.94
