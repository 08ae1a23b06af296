"""Calibration against scikit-learn and against a plain loop, and on judges whose calibration is known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from dragoman.evals.statistics import calibration, wilson


def test_brier_score_agrees_with_scikit_learn_and_the_parts_add_up() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(500)
    truth = rng.random(500) < p**2
    found = calibration(p, truth)
    assert found.brier == pytest.approx(brier_score_loss(truth, p), abs=1e-12)
    assert found.reliability - found.resolution + found.uncertainty + found.within == pytest.approx(found.brier, abs=1e-12)


def test_the_decomposition_equals_a_loop_and_is_exact_where_a_bin_holds_one_probability() -> None:
    rng = np.random.default_rng(1)
    p = rng.choice([0.05, 0.25, 0.65, 0.95], 300)
    truth = rng.random(300) < 0.2 + 0.5 * p
    base, reliability, resolution = truth.sum() / 300, 0.0, 0.0
    for value in set(p.tolist()):
        hits = [t for q, t in zip(p.tolist(), truth.tolist(), strict=True) if q == value]
        share = sum(hits) / len(hits)
        reliability += len(hits) / 300 * (value - share) ** 2
        resolution += len(hits) / 300 * (share - base) ** 2
    found = calibration(p, truth)
    assert (found.reliability, found.resolution) == pytest.approx((reliability, resolution), abs=1e-12)
    assert found.uncertainty == pytest.approx(base * (1 - base)) and found.within == pytest.approx(0, abs=1e-12)


def test_a_calibrated_judge_has_no_reliability_term_and_a_sure_one_that_errs_has_a_large_one() -> None:
    rng = np.random.default_rng(2)
    p = rng.random(20_000)
    truth = rng.random(20_000) < p
    honest, sure = calibration(p, truth), calibration((p > 0.5).astype(float), truth)
    assert honest.reliability < 0.001 and sure.reliability > 0.05 and honest.brier < sure.brier
    inside = [b.interval[0] <= b.predicted <= b.interval[1] for b in honest.bins]
    assert sum(inside) >= 8


def test_bins_hold_their_edges_and_empty_ones_are_kept() -> None:
    found = calibration(np.array([0.0, 0.1, 0.1, 1.0, np.nan]), np.array([False, True, False, True, True]))
    assert found.n == 4 and [b.n for b in found.bins] == [1, 2, *[0] * 7, 1]
    assert found.bins[1].observed == 0.5 and found.bins[1].interval == wilson(1, 2) and np.isnan(found.bins[5].observed)
    assert found.bins[9].observed == 1 and np.isnan(calibration(np.zeros(0), np.zeros(0, bool)).brier)
