"""Agreement between judges against scipy and scikit-learn, and on judges whose agreement is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from dragoman.evals.statistics import agreement, cohen_kappa, spearman


def test_kappa_and_rank_correlation_agree_with_the_libraries() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = np.round(rng.random(50), 1), np.round(rng.random(50), 1)
        assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
        assert cohen_kappa(x > 0.4, y > 0.6) == pytest.approx(cohen_kappa_score(x > 0.4, y > 0.6), abs=1e-12)
    assert np.isnan(cohen_kappa(np.ones(4, bool), np.ones(4, bool)))


def test_agreement_is_the_mean_over_features_with_an_interval_over_features() -> None:
    rng = np.random.default_rng(1)
    first = [rng.random(40) for _ in range(30)]
    second = [np.clip(p + rng.normal(0, 0.2, 40), 0, 1) for p in first]
    found = agreement(first, second, np.random.default_rng(0))
    each = [stats.pearsonr(a, b).statistic for a, b in zip(first, second, strict=True)]
    assert found.pearson.value == pytest.approx(np.mean(each), abs=1e-12) and found.pearson.n == 30
    half = 1.96 * np.std(each, ddof=1) / np.sqrt(30)
    assert found.pearson.high - found.pearson.low == pytest.approx(2 * half, rel=0.2)
    decided = np.mean([((a > 0.5) == (b > 0.5)).mean() for a, b in zip(first, second, strict=True)])
    assert found.same.value == pytest.approx(decided)
    assert 0.4 < found.kappa.value < 0.8 and found.spearman.low < found.spearman.value < found.spearman.high


def test_one_judge_agrees_with_itself_and_two_that_guess_do_not() -> None:
    rng = np.random.default_rng(2)
    judge, other = ([rng.random(60) for _ in range(40)] for _ in range(2))
    itself, guess = agreement(judge, judge, rng), agreement(judge, other, rng)
    assert itself.pearson.value == pytest.approx(1) and itself.kappa.value == 1 and itself.same.value == 1
    for figure in (guess.pearson, guess.spearman, guess.kappa):
        assert figure.low < 0 < figure.high
    assert guess.same.value == pytest.approx(0.5, abs=0.05)


def test_unanswered_items_and_constant_judges_are_left_out() -> None:
    nan = float("nan")
    first = [np.array([0.1, 0.9, nan, 0.4]), np.array([0.7, 0.7, 0.7, 0.7]), np.array([nan, nan, nan, 1.0])]
    second = [np.array([0.2, 0.8, 0.9, nan]), np.array([0.1, 0.9, 0.2, 0.8]), np.array([0.1, 0.2, 0.3, 1.0])]
    found = agreement(first, second, np.random.default_rng(0))
    assert found.pearson.n == 1 and found.pearson.value == pytest.approx(1)
    assert found.same.n == 2 and found.same.value == pytest.approx(0.75)
    assert agreement([], [], np.random.default_rng(0)).same.n == 0
