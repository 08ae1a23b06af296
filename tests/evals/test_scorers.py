"""Samples and scores on a planted feature whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import stats

from dragoman.evals.scorers import detection, simulation
from dragoman.evals.scorers.evaluate import evaluate
from dragoman.evals.scorers.exam import Exam
from dragoman.evals.scorers.sample import Rows, Sample, Sizes, context_peaks, draw, token_index
from dragoman.store.tokens import TokenTable

from .tables import table

LENGTH, CONTEXTS = 16, 600
TRIGGER, DECOY = 3, 4


class Planted:
    """Token 3 fires the feature after token 5 only; elsewhere it is silent. Token 4 is weak now and then."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.windows = rng.integers(6, 50, (CONTEXTS, LENGTH))
        fires = rng.random(CONTEXTS) < 0.2
        at = rng.integers(1, LENGTH, CONTEXTS)
        for row in range(CONTEXTS):
            if fires[row]:
                self.windows[row, at[row] - 1 : at[row] + 1] = 5, TRIGGER
            elif row % 3 == 0:
                self.windows[row, at[row]] = TRIGGER
            elif row % 7 == 0:
                self.windows[row, at[row]] = DECOY
        self.values = np.zeros((CONTEXTS, LENGTH), np.float32)
        self.values[fires, at[fires]] = rng.uniform(3, 10, fires.sum())
        self.values[self.windows == DECOY] = 0.5
        self.tokens = table(self.windows.tolist(), sorted(rng.integers(0, 150, CONTEXTS)), [f"t{i} " for i in range(50)])
        self.flat = np.flatnonzero(self.values.ravel())
        self.threshold = 2.0

    def sample(self, seed: int = 0, feature: int = 9, sizes: Sizes | None = None) -> Sample:
        near = np.arange(0, CONTEXTS, 5)
        return draw(self.tokens, self.flat, self.values.ravel()[self.flat], self.threshold, [TRIGGER], near, seed, feature, sizes)

    def exam(self, sample: Sample, dense: bool = False, seed: int = 0) -> Exam:
        return Exam(9, self.tokens, self.values.ravel(), sample, self.threshold, 10.0, dense, (), seed)


@pytest.fixture(scope="module")
def planted() -> Planted:
    return Planted()


class Rule:
    """Predicts the planted rule, or with `context` off the trigger token alone."""

    def __init__(self, context: bool = True, constant: float | None = None) -> None:
        self.context, self.constant = context, constant

    def simulate(self, tokens: TokenTable, rows: Rows) -> Float[NDArray[np.float32], " tokens"]:
        index = token_index(tokens, rows)
        if self.constant is not None:
            return np.full(len(index), self.constant, np.float32)
        before = tokens.ids[np.maximum(index - 1, 0)]
        hits = (tokens.ids[index] == TRIGGER) & ((before == 5) | (not self.context))
        return np.asarray(hits, np.float32)

    def detect(self, tokens: TokenTable, rows: Rows) -> Float[NDArray[np.float32], " contexts"]:
        return np.array([self.simulate(tokens, np.array([row])).max() for row in rows], np.float32)


def test_peaks_equal_a_loop(planted: Planted) -> None:
    peaks = context_peaks(planted.tokens, planted.flat, planted.values.ravel()[planted.flat])
    assert np.array_equal(peaks, planted.values.max(1))
    assert not context_peaks(planted.tokens, planted.flat[:0], planted.values.ravel()[:0]).any()


def test_token_index_follows_the_order_of_the_rows(planted: Planted) -> None:
    rows = np.array([5, 2, 9])
    wanted = np.concatenate([np.arange(LENGTH) + row * LENGTH for row in rows])
    assert np.array_equal(token_index(planted.tokens, rows), wanted)
    assert len(token_index(planted.tokens, rows[:0])) == 0


def test_detection_sample_keeps_the_definitions(planted: Planted) -> None:
    sample, peak = planted.sample(), planted.values.max(1)
    for part, least in ((sample.fires, planted.threshold), (sample.active, 0.0)):
        assert (peak[part.rows[part.truth]] > least).all() and (peak[part.rows[~part.truth]] == 0).all()
        assert len(np.unique(part.rows)) == len(part.rows) and part.truth.sum() == 40 and (~part.truth).sum() == 40
    near = sample.fires.rows[~sample.fires.truth][: sample.fires.near_misses]
    assert sample.fires.near_misses == 20
    holding = (planted.windows[near] == TRIGGER).any(1)
    assert holding[:10].all() and (near[10:] % 5 == 0).all()
    assert sample.weak == pytest.approx(((peak > 0) & (peak <= 2)).mean())
    positives = np.sort(peak[sample.fires.rows[sample.fires.truth]])
    firing = np.sort(peak[peak > planted.threshold])
    edges = [part[0] for part in np.array_split(firing, 4)][1:]
    assert np.histogram(positives, [0, *edges, 99])[0].tolist() == [10, 10, 10, 10]


def test_simulation_weights_restore_the_split(planted: Planted) -> None:
    part, peak = planted.sample().simulation, planted.values.max(1)
    assert part.weight.sum() == pytest.approx(CONTEXTS)
    assert part.weight[peak[part.rows] == 0].sum() == pytest.approx((peak == 0).sum())
    top, random = np.split(part.top_random, 2)
    assert set(peak[top]) == set(np.sort(peak)[-10:]) and len(random) == 10


def test_samples_depend_on_seed_and_feature_only(planted: Planted) -> None:
    one, two = planted.sample(), planted.sample()
    assert np.array_equal(one.fires.rows, two.fires.rows) and np.array_equal(one.simulation.rows, two.simulation.rows)
    assert not np.array_equal(one.fires.rows, planted.sample(seed=1).fires.rows)
    assert not np.array_equal(one.simulation.rows, planted.sample(feature=8).simulation.rows)


def test_contexts_that_a_sampled_store_does_not_keep_are_never_drawn(planted: Planted) -> None:
    unknown = np.flatnonzero(planted.values.max(1) == 0)[::2]
    flat, values = planted.flat, planted.values.ravel()[planted.flat]
    sample = draw(planted.tokens, flat, values, 2.0, [TRIGGER], unknown, 0, 9, None, unknown)
    for rows in (sample.fires.rows, sample.active.rows, sample.simulation.rows, sample.simulation.top_random):
        assert len(np.intersect1d(rows, unknown)) == 0
    assert sample.simulation.weight.sum() == pytest.approx(CONTEXTS - len(unknown))


def test_the_right_rule_beats_the_token_alone_and_a_constant_scores_zero(planted: Planted) -> None:
    sample = planted.sample()
    right, token, silent = (
        {m.scorer: m for m in evaluate(rule, planted.exam(sample))} for rule in (Rule(), Rule(context=False), Rule(constant=0.0))
    )
    assert right["detection.auroc"].value == right["detection.balanced_accuracy"].value == 1
    assert right["simulation.r"].value is not None and token["simulation.r"].value is not None
    assert right["simulation.r"].value > 0.9 and right["simulation.r"].value > token["simulation.r"].value + 0.15
    assert right["simulation.r"].low is not None and right["simulation.r"].high is not None
    assert right["simulation.r"].low < right["simulation.r"].value < right["simulation.r"].high
    assert token["detection.balanced_accuracy"].value is not None and token["detection.balanced_accuracy"].value < 0.9
    assert right["detection_active.balanced_accuracy"].value is not None and right["detection_active.balanced_accuracy"].value < 1
    assert silent["simulation.r"].value == 0 and silent["simulation.r"].flags == ("constant prediction",)
    assert silent["detection.auroc"].value == 0.5 and silent["detection.balanced_accuracy"].value == 0.5


def test_the_weighted_correlation_estimates_that_of_the_whole_split(planted: Planted) -> None:
    rule, real = Rule(context=False), planted.values.ravel()
    whole = stats.pearsonr(rule.simulate(planted.tokens, np.arange(CONTEXTS)), real).statistic
    found = [evaluate(rule, planted.exam(planted.sample(seed=s), seed=s))[:2] for s in range(40)]
    weighted = np.mean([measures[0].value for measures in found])
    plain = np.mean([measures[1].value for measures in found])
    assert weighted == pytest.approx(whole, abs=0.03)
    assert abs(plain - whole) > 0.1


def test_reasons_instead_of_figures(planted: Planted) -> None:
    dense = {m.scorer: m for m in evaluate(Rule(), planted.exam(planted.sample(), dense=True))}
    assert dense["detection.auroc"].value is None and dense["detection.auroc"].unscored == "dense"
    assert dense["simulation.r"].value is not None
    silent = simulation.score("r", np.ones(4, np.float32), np.zeros(4, np.float32), np.ones(4), np.arange(4), 1, 0, 0)
    assert silent.value is None and silent.unscored == "constant truth"
    few = planted.sample(sizes=Sizes(positives=4, negatives=40))
    reason = detection.score(few.fires, np.zeros(44, np.float32), np.zeros(44, np.int64), detection.FIRES, 0, 0)
    assert [m.unscored for m in reason] == ["too few contexts in which it fires (4, at least 5 are needed)"] * 2


def test_everything_active_leaves_detection_unscored_and_simulation_scored() -> None:
    """A character-level neuron is active somewhere in every context: there is no silent one."""
    rng = np.random.default_rng(1)
    values = rng.random((40, 8)).astype(np.float32) + 0.01
    tokens = table(rng.integers(0, 9, (40, 8)).tolist(), list(range(40)), list("abcdefghi"))
    sample = draw(tokens, np.arange(320), values.ravel(), 0.2, [1], np.zeros(0, np.int64), 0, 0)
    exam = Exam(0, tokens, values.ravel(), sample, 0.2, 1.0, False, (), 0)
    measures = {m.scorer: m for m in evaluate(Rule(context=False), exam)}
    assert measures["detection.auroc"].unscored == "too few silent contexts (0, at least 5 are needed)"
    assert measures["simulation.r"].value is not None


def test_one_document_has_a_value_and_no_interval(planted: Planted) -> None:
    sample = planted.sample()
    one = detection.score(sample.fires, np.linspace(0, 1, 80, dtype=np.float32), np.zeros(80, np.int64), detection.FIRES, 0, 0)[0]
    assert one.value is not None and one.low is None and one.flags == ("too few documents for an interval",)
