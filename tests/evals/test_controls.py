"""The controls: learned on train, and shuffled for certain."""

from __future__ import annotations

import numpy as np

from dragoman.evals.controls import derangement, token_lookup

from .tables import table


def test_lookup_is_the_mean_train_activation_of_every_token() -> None:
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 7, (30, 10))
    values = np.where(ids == 2, rng.uniform(1, 3, ids.shape), 0.0).astype(np.float32)
    values[rng.random(ids.shape) < 0.5] = 0
    vocabulary = [str(i) for i in range(8)]
    train = table(ids.tolist(), list(range(30)), vocabulary, "train")
    flat = np.flatnonzero(values.ravel())
    lookup = token_lookup(train, flat, values.ravel()[flat], train, flat, values.ravel()[flat], 0.2 * values.max())
    for token in range(7):
        mean = values[ids == token].mean() / values.max()
        assert np.isclose(lookup.share[token], mean, atol=1e-6)
    assert lookup.share[7] == 0, "a token that train does not hold"
    test = table([[2, 3], [7, 1]], [0, 1], vocabulary)
    rows = np.array([1, 0])
    assert np.array_equal(lookup.simulate(test, rows), lookup.share[[7, 1, 2, 3]])
    assert (lookup.detect(test, rows) > 0.5).tolist() == [False, True]


def test_the_decision_is_chosen_on_validation() -> None:
    """Token 1 has a small share but fires for certain on validation; token 2 has a larger one and never does."""
    vocabulary = ["a", "b", "c"]
    train = table([[1, 0]] * 10 + [[2, 0]] * 10, list(range(20)), vocabulary, "train")
    values = np.zeros(40, np.float32)
    values[0], values[20:40:2] = 3.0, 1.0
    flat = np.flatnonzero(values)
    validation = table([[1, 0], [0, 0], [2, 0]] * 5, list(range(15)), vocabulary, "validation")
    fires = np.flatnonzero(validation.ids == 2)
    lookup = token_lookup(train, flat, values[flat], validation, fires, np.full(len(fires), 3.0, np.float32), 0.6)
    guess = lookup.detect(validation, np.arange(3)) > 0.5
    assert guess.tolist() == [False, False, True]


def test_a_derangement_moves_everything_and_repeats() -> None:
    items = [3, 8, 1, 99, 42, 7]
    for seed in range(30):
        found = derangement(items, seed)
        assert sorted(found) == sorted(found.values()) == sorted(items)
        assert all(a != b for a, b in found.items())
        assert found == derangement(items[::-1], seed)
    assert len({tuple(derangement(items, seed).items()) for seed in range(30)}) > 10
    assert derangement([4], 0) == {} and derangement([], 0) == {}
