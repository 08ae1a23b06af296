"""Recovery figures against formulas written out, on small arrays."""

from __future__ import annotations

import numpy as np
import pytest

from dragoman.evals.benchmark.records import FreshText
from dragoman.evals.benchmark.recovery import Fresh, matthews, recovery, within
from dragoman.tools.patterns import learn_usage


def test_matthews_is_the_pearson_correlation_of_the_two_answers() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(200) < 0.3
    says = truth ^ (rng.random(200) < 0.2)
    assert matthews(truth, says) == pytest.approx(np.corrcoef(truth.astype(float), says.astype(float))[0, 1], abs=1e-12)
    assert matthews(truth, np.ones(200, bool)) == 0.0
    assert np.isnan(matthews(np.ones(3, bool), np.ones(3, bool)))


def test_among_equal_tokens_pairs_are_counted_one_by_one() -> None:
    rng = np.random.default_rng(1)
    ids, truth, strength = rng.integers(0, 4, 60), rng.random(60) < 0.4, rng.integers(0, 3, 60).astype(float)
    total = weight = 0.0
    for token in range(4):
        yes = [strength[i] for i in range(60) if ids[i] == token and truth[i]]
        no = [strength[i] for i in range(60) if ids[i] == token and not truth[i]]
        if yes and no:
            wins = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a in yes for b in no)
            total, weight = total + len(yes) * wins / (len(yes) * len(no)), weight + len(yes)
    assert within(truth, strength, ids) == pytest.approx(total / weight, abs=1e-12)


def test_a_list_of_tokens_is_at_chance_among_equal_tokens() -> None:
    rng = np.random.default_rng(2)
    ids = rng.integers(0, 5, 500)
    truth = (rng.random(500) < 0.2) | ((ids == 3) & (rng.random(500) < 0.7))
    assert within(truth, np.array([0.0, 0.1, 0.0, 0.9, 0.2])[ids], ids) == 0.5


def test_figures_of_a_prediction() -> None:
    vocabulary = ["the", " cat", " dog", " sat"]
    usage = learn_usage(np.zeros(4, np.int32), np.zeros(4, np.int32), vocabulary)
    spans = ((0, 3), (3, 7), (7, 11))
    texts = [
        FreshText((0, 1, 3), "the cat sat", (False, True, False), "true", spans),
        FreshText((0, 2, 3), "the dog sat", (False, False, False), "near", spans),
    ]
    fresh = Fresh(texts, vocabulary, usage)
    right = recovery(fresh, np.array([0, 0.9, 0, 0, 0, 0]))
    assert right == {
        "recovery.mcc": 1.0,
        "recovery.balanced_accuracy": 1.0,
        "recovery.auroc": 1.0,
        "recovery.text_balanced_accuracy": 1.0,
        "recovery.text_auroc": 1.0,
    }
    vague = recovery(fresh, np.full(6, 0.5))
    assert vague["recovery.mcc"] == 0.0
    assert vague["recovery.balanced_accuracy"] == vague["recovery.text_auroc"] == 0.5
    assert [passage.text for passage in fresh.passages()] == ["the cat sat", "the dog sat"]
