"""The judge that executes patterns: it predicts what the label's rule says, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from dragoman.evals.judge import CannotJudge
from dragoman.evals.judge.pattern import PROBABILITY, PatternJudge
from dragoman.store.features import Store
from dragoman.store.records import Label
from dragoman.tools.patterns import LEVELS, Usage, learn_usage


@pytest.fixture
def usage(synthetic_store: Store) -> Usage:
    train = synthetic_store.tokens("train")
    return learn_usage(train.ids, train.row, train.vocabulary)


def label(pattern: str | None) -> Label:
    return Label(id="a", feature=0, run="r", name="park", description="The word park.", pattern=pattern, agent="test")


def test_simulation_follows_the_rows_asked_for(synthetic_store: Store, usage: Usage) -> None:
    tokens = synthetic_store.tokens("test")
    rows = np.array([5, 2, 2], np.int64)
    predicted = PatternJudge(usage).simulate(label('strongly: "park"; weakly: "robin"'), tokens, rows)
    expected = []
    for row in rows:
        for token in tokens.ids[tokens.starts[row] : tokens.starts[row + 1]]:
            expected.append({"park": 0.7, "robin": 0.3}.get(tokens.vocabulary[token].strip(), 0.0))
    np.testing.assert_allclose(predicted, expected, atol=1e-6)
    assert predicted.dtype == np.float32
    assert len(set(predicted.tolist())) > 1


def test_detection_is_the_probability_that_a_matching_token_fires(synthetic_store: Store, usage: Usage) -> None:
    tokens = synthetic_store.tokens("test")
    rows = np.arange(tokens.n_contexts, dtype=np.int64)
    count = np.array([sum(text.strip() == "park" for text in tokens.strings(int(row))) for row in rows])
    assert {0, 1, 2} <= set(count.tolist())
    judge = PatternJudge(usage)
    for level, probability in PROBABILITY.items():
        found = judge.detect(label(f'{level}: "park"'), tokens, rows[::-1])[::-1]
        np.testing.assert_allclose(found, 1 - (1 - probability) ** count, atol=1e-6)
        assert ((found > 0.5) == (count >= 1)).all()
    assert list(PROBABILITY) == list(LEVELS)


def test_a_label_in_words_only_is_refused_with_the_reason(synthetic_store: Store, usage: Usage) -> None:
    judge = PatternJudge(usage)
    tokens = synthetic_store.tokens("test")
    with pytest.raises(CannotJudge, match="no pattern"):
        judge.simulate(label(None), tokens, np.array([0]))
    with pytest.raises(CannotJudge, match="cannot be read"):
        judge.detect(label("birds"), tokens, np.array([0]))
    assert len(judge.simulate(label("weakly: any"), tokens, np.zeros(0, np.int64))) == 0
