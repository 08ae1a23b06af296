"""Every formula against an independent float64 implementation, and the intervals against what they claim."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from dragoman.evals import statistics as s


def auroc_by_mann_whitney(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """scipy's U statistic over the number of pairs."""
    return float(stats.mannwhitneyu(score[truth], score[~truth], method="asymptotic").statistic / (truth.sum() * (~truth).sum()))


def balanced_accuracy_by_counting(truth: NDArray[np.bool_], guess: NDArray[np.bool_]) -> float:
    """Mean of two shares, counted one item at a time."""
    right = {True: 0, False: 0}
    seen = {True: 0, False: 0}
    for real, guessed in zip(truth.tolist(), guess.tolist(), strict=True):
        seen[real] += 1
        right[real] += real == guessed
    return (right[True] / seen[True] + right[False] / seen[False]) / 2


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_auroc_agrees_with_scipy_ties_included(rng: np.random.Generator, levels: int) -> None:
    for _ in range(20):
        truth = rng.random(60) < 0.4
        score = rng.integers(0, levels, 60) / levels + 0.3 * truth * (rng.random(60) < 0.5)
        assert s.auroc(truth, score) == pytest.approx(auroc_by_mann_whitney(truth, score), abs=1e-12)


def test_auroc_without_negatives_does_not_exist() -> None:
    assert np.isnan(s.auroc(np.ones(3, bool), np.arange(3.0)))


def test_balanced_accuracy_agrees_with_counting(rng: np.random.Generator) -> None:
    truth, guess = rng.random(80) < 0.3, rng.random(80) < 0.5
    assert s.balanced_accuracy(truth, guess) == pytest.approx(balanced_accuracy_by_counting(truth, guess), abs=1e-12)


def test_pearson_agrees_with_scipy_and_weights_repeat_items(rng: np.random.Generator) -> None:
    x = rng.normal(size=200) + 1e4
    y = 0.3 * x + rng.normal(size=200) - 5e3
    assert s.pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)
    weight = rng.integers(1, 5, 200)
    repeated = stats.pearsonr(np.repeat(x, weight), np.repeat(y, weight)).statistic
    assert s.pearson(x, y, weight.astype(float)) == pytest.approx(repeated, abs=1e-9)


def test_pearson_of_a_constant_does_not_exist() -> None:
    assert np.isnan(s.pearson(np.full(10, 0.1), np.arange(10.0)))
    assert np.isnan(s.pearson(np.arange(10.0), np.full(10, 3.3), np.linspace(1, 2, 10)))


def test_draws_equal_the_statistic_of_the_resampled_items(rng: np.random.Generator) -> None:
    """Multiplicities and per-document sums against literally repeating the items of the drawn documents."""
    n, documents = 60, 9
    cluster = rng.integers(0, documents, n)
    truth = rng.random(n) < 0.5
    x, y, w = rng.integers(0, 6, n) / 6, rng.normal(size=n), rng.random(n) + 0.1
    drawn = s.multiplicities(documents, rng, draws=40)
    assert (drawn.sum(1) == documents).all()
    auc = s.auroc_draws(truth, x, cluster, drawn)
    accuracy = s.balanced_accuracy_draws(truth, x > 0.5, cluster, drawn)
    r = s.pearson_draws(x, y, w, cluster, drawn)
    for draw in range(40):
        items = np.repeat(np.arange(n), drawn[draw][cluster].astype(int))
        assert auc[draw] == pytest.approx(auroc_by_mann_whitney(truth[items], x[items]), abs=1e-12)
        assert accuracy[draw] == pytest.approx(balanced_accuracy_by_counting(truth[items], x[items] > 0.5), abs=1e-12)
        covariance = np.cov(x[items], y[items], aweights=w[items])
        assert r[draw] == pytest.approx(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]), abs=1e-9)


def test_a_draw_with_a_constant_prediction_counts_zero_and_one_with_a_constant_truth_nothing() -> None:
    drawn = np.array([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    cluster = np.array([0, 0, 1, 1])
    x, y = np.array([0.0, 0.0, 1.0, 0.5]), np.array([1.0, 2.0, 3.0, 3.0])
    r = s.pearson_draws(x, y, np.ones(4), cluster, drawn)
    assert r[0] == 0 and np.isnan(r[1]) and 0 < r[2] < 1


def test_document_bootstrap_is_wider_than_a_token_bootstrap_when_documents_differ(rng: np.random.Generator) -> None:
    documents, each = 20, 50
    cluster = np.repeat(np.arange(documents), each)
    noise = np.repeat(rng.normal(size=documents), each)
    x = rng.normal(size=documents * each) * 0.1 + noise
    y = rng.normal(size=documents * each) * 0.1 + np.repeat(rng.normal(size=documents), each)
    ones = np.ones(len(x))
    by_document = s.percentile_interval(s.pearson_draws(x, y, ones, cluster, s.multiplicities(documents, rng)))
    by_token = s.percentile_interval(s.pearson_draws(x, y, ones, np.arange(len(x)), s.multiplicities(len(x), rng, 300)))
    assert by_document[1] - by_document[0] > 3 * (by_token[1] - by_token[0])


@pytest.mark.slow
def test_intervals_cover_the_truth_about_as_often_as_they_say(rng: np.random.Generator) -> None:
    hits = 0
    for _ in range(300):
        first = rng.normal(size=80) + 0.5
        interval = s.paired(first, np.zeros(80), rng, draws=400).mean
        hits += interval.low <= 0.5 <= interval.high
    assert 0.90 <= hits / 300 <= 0.985


def test_the_same_seed_gives_the_same_interval(rng: np.random.Generator) -> None:
    values = rng.normal(size=50)
    one = s.median_interval(values, np.random.default_rng(3))
    two = s.median_interval(values, np.random.default_rng(3))
    assert one == two and one.low < one.value < one.high and one.n == 50


def test_pairing_says_how_often_the_first_is_better() -> None:
    pairing = s.paired(np.array([1.0, 2.0, 3.0, 1.0]), np.array([0.0, 0.0, 0.0, 1.0]), np.random.default_rng(0))
    assert pairing.better == 0.75 and pairing.median.value == 1.5 and pairing.mean.n == 4


def test_nothing_gives_nan_not_an_exception() -> None:
    assert s.median_interval(np.zeros(0), np.random.default_rng(0)).n == 0
    assert np.isnan(s.paired(np.zeros(0), np.zeros(0), np.random.default_rng(0)).better)


def test_figures_for_people_are_never_minus_zero() -> None:
    assert [s.plain(v, ".2f") for v in (-0.001, 0.001, -0.5, 1.0)] == ["0.00", "0.00", "-0.50", "1.00"]
    assert s.plain(-0.0001, "+.3f") == "+0.000"
    assert s.Interval(0.1, -0.001, 0.25, 9).text(".2f") == "[0.00, 0.25]"
