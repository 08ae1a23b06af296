"""Batches that are all alike."""

from __future__ import annotations

import numpy as np

from dragoman.evals.statistics import batches, narrow


def test_every_item_is_asked_once_and_every_batch_holds_each_class_in_its_share() -> None:
    classes = np.array([0] * 40 + [1] * 40 + [2] * 20)
    parts = batches(classes, np.random.default_rng(0), 20)
    assert sorted(np.concatenate(parts).tolist()) == list(range(100))
    for part in parts:
        assert len(part) == 20
        assert np.abs(np.bincount(classes[part], minlength=3) - [8, 8, 4]).max() <= 1


def test_two_equal_classes_are_balanced_exactly_and_leftovers_join_the_last_batch() -> None:
    classes = np.arange(70) % 2
    parts = batches(classes, np.random.default_rng(1), 20)
    assert [len(part) for part in parts] == [20, 20, 20, 10] or [len(part) for part in parts] == [20, 20, 30]
    assert all(classes[part].sum() * 2 == len(part) for part in parts)
    assert [len(part) for part in batches(classes, np.random.default_rng(1), 70)] == [70]
    assert [len(part) for part in batches(classes[:3], np.random.default_rng(1), 20)] == [3]


def test_the_order_is_seeded_and_tells_nothing_about_the_class() -> None:
    classes = np.array([1] * 30 + [0] * 30)
    one, two = (np.concatenate(batches(classes, np.random.default_rng(5), 20)) for _ in range(2))
    assert np.array_equal(one, two)
    place_of_class, first = [], []
    for seed in range(400):
        order = np.concatenate(batches(classes, np.random.default_rng(seed), 20))
        place_of_class.append(np.corrcoef(np.arange(60), classes[order])[0, 1])
        first.append(classes[order[0]])
    assert abs(np.mean(place_of_class)) < 0.02 and 0.4 < np.mean(first) < 0.6


def test_narrow_needs_an_interval_and_a_width() -> None:
    assert narrow((0.4, 0.5), 0.1001) and not narrow((0.4, 0.51), 0.1)
    assert not narrow((None, None), 1.0) and not narrow((0.4, 0.4), None)
