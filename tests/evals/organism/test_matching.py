"""Matching of units with concepts against scikit-learn's scores and a search without tricks."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix
from sklearn.metrics import f1_score, matthews_corrcoef

from dragoman.evals.organism.matching import best_matches, f1_of, fires, greedy_union, sweep


def _planted(seed: int, tokens: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """Values [tokens, 5] and labels [tokens, 4]: units 0 and 1 follow concepts 0 and 1, the others nothing."""
    rng = np.random.default_rng(seed)
    labels = rng.random((tokens, 4)) < (0.05, 0.1, 0.02, 0.3)
    values = np.where(rng.random((tokens, 5)) < 0.05, rng.random((tokens, 5)), 0)
    values[:, 0] += labels[:, 0] * rng.uniform(2, 4, tokens)
    values[:, 1] += labels[:, 1] * rng.uniform(1, 3, tokens)
    return values.astype(np.float32), labels


def test_planted_concepts_are_found_and_scored_as_scikit_learn_does() -> None:
    (v, lv), (t, lt) = _planted(0), _planted(1)
    allowed = np.ones(4, dtype=bool)
    found = best_matches(csc_matrix(v), csr_matrix(lv.astype(np.uint8)), csc_matrix(t), csr_matrix(lt.astype(np.uint8)), allowed)
    assert found.concept[:2].tolist() == [0, 1]
    assert (found.f1[:2] > 0.9).all()
    for unit in range(5):
        says = t[:, unit] >= found.threshold[unit]
        truth = lt[:, found.concept[unit]]
        assert np.isclose(found.f1[unit], f1_score(truth, says))
        assert np.isclose(found.mcc[unit], matthews_corrcoef(truth, says))


def test_no_threshold_that_was_tried_beats_the_chosen_one() -> None:
    v, lv = _planted(2)
    swept = sweep(csc_matrix(v), csr_matrix(lv.astype(np.uint8)))
    f1 = swept.f1()
    for unit in range(5):
        for level in range(0, 32, 5):
            for concept in range(4):
                assert np.isclose(f1[unit, level, concept], f1_score(lv[:, concept], v[:, unit] >= swept.thresholds[unit, level]))


def test_a_concept_that_is_not_allowed_is_not_matched() -> None:
    v, lv = _planted(3)
    args = (csc_matrix(v), csr_matrix(lv.astype(np.uint8)))
    found = best_matches(*args, *args, np.array([False, True, True, True]))
    assert found.concept[0] != 0


def test_silent_units_match_nothing() -> None:
    v, lv = _planted(4)
    v[:, 2] = 0
    args = (csc_matrix(v), csr_matrix(lv.astype(np.uint8)))
    found = best_matches(*args, *args, np.ones(4, dtype=bool))
    assert found.concept[2] == -1
    assert found.f1[2] == 0


def test_a_union_finds_a_concept_that_is_split_over_units() -> None:
    rng = np.random.default_rng(5)
    carries = rng.random(4000) < 0.2
    part = rng.integers(0, 3, 4000)
    values = np.zeros((4000, 6), dtype=np.float32)
    for unit in range(3):
        values[carries & (part == unit), unit] = 1 + rng.random(int((carries & (part == unit)).sum()))
    values[:, 3:] = rng.random((4000, 3)) * (rng.random((4000, 3)) < 0.05)
    v = csc_matrix(values)
    swept = sweep(v, csr_matrix(carries[:, None].astype(np.uint8)))
    chosen = greedy_union(swept, 0, v, carries, range(6))
    assert {unit for unit, _ in chosen} == {0, 1, 2}
    assert f1_of(np.logical_or.reduce([fires(v, u, t) for u, t in chosen]), carries) == 1.0
