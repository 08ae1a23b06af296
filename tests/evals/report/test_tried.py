"""Experiments of a trail in words: every kind has its own, and what came out is told whoever predicted what."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.evals.report.tried import Texts, told_of
from dragoman.store.features import Store
from dragoman.store.findings import Experiment, Hypothesis, Outcome, Prediction, Verdict
from dragoman.store.trail import Trial

ONE = Hypothesis(
    id="1", run="r", feature=2, round=0, ordinal=1, side="input", name="birds", description="Birds.", author="somebody"
)


def trial(said: tuple[tuple[Outcome, Verdict, str], ...] = (), **fields: Any) -> Trial:
    """An experiment and what hypotheses H1, H2 … said of it."""
    known: dict[str, Any] = {"run": "r", "feature": 2, "round": 1, "ordinal": 1, "kind": "write", "tool": "activate"}
    given = {"id": "e", "arguments": {"texts": ["A park."]}, "author": "somebody", "result": {"value": 4.0, "threshold": 2.0}}
    told = [
        (
            ONE.model_copy(update={"id": str(n), "ordinal": n}),
            Prediction(experiment="e", hypothesis=str(n), outcome=outcome, verdict=verdict, because=because),
        )
        for n, (outcome, verdict, because) in enumerate(said, 1)
    ]
    return Trial(Experiment(**{**known, **given, **fields}), tuple(told))


@pytest.mark.parametrize(
    ("fields", "what", "text"),
    [
        ({}, "write", "A park."),
        ({"focus": "park"}, "write, looking at 'park'", "A park."),
        ({"kind": "edit", "arguments": {"texts": ["one", "two"]}}, "edit", "'one' becomes 'two'"),
        ({"kind": "steer", "tool": "steer", "arguments": {"prompts": ["The"], "watch": [" park"]}}, "steer", "The"),
        ({"kind": "ablate", "tool": "ablate", "arguments": {"texts": ["The"], "watch": [" park"]}}, "ablate", "The"),
        ({"kind": "look", "tool": "feature_stats", "arguments": {}}, "look at feature_stats", "{}"),
        ({"kind": "steer", "tool": "steer", "arguments": {"strange": 1}}, "steer: steer", '{"strange": 1}'),
    ],
)
def test_every_kind_of_experiment_is_told_in_words(fields: dict[str, Any], what: str, text: str, synthetic_store: Store) -> None:
    told = told_of(trial(**fields), Texts(synthetic_store))
    assert (told.what, told.text) == (what, text)


def test_an_edit_of_an_example_shows_what_becomes_of_what(synthetic_store: Store) -> None:
    (context,) = {example.context.id for example in synthetic_store.examples(2, split="train", stratum="top", n=1)}
    strings = synthetic_store.contexts([context])[0].strings
    edit = {"kind": "substitute", "start": 1, "stop": 2, "text": " new"}
    told = told_of(trial(kind="edit", arguments={"context": context, "edits": [edit]}), Texts(synthetic_store))
    assert told.what == f"edit of context {context}" and told.text.startswith(f"{strings[1]!r} becomes ' new' in: …{strings[0]}")


def test_who_predicted_nothing_has_no_verdict_and_what_came_out_is_told_all_the_same(synthetic_store: Store) -> None:
    texts = Texts(synthetic_store)
    both = told_of(trial((("unsure", "inconclusive", "fires: 4"), ("silent", "failed", "fires: 4"))), texts)
    assert both.predicted == (("unsure", "H1"), ("silent", "H2"))
    assert both.verdicts == (("failed", "H2"),) and both.came == ("fires: 4",)
    nobody = told_of(trial((("unsure", "inconclusive", "weak: 1.99 does not reach 2"),)), texts)
    assert nobody.verdicts == () and nobody.came == ("weak: 1.99 does not reach 2",)
    assert told_of(trial(), texts).came == ("fires: 4",)
    assert told_of(trial(result=None, reason="no such token"), texts).came == ("it could not be run: no such token",)
    assert told_of(trial(result=None), texts).came == ("it was not run",)
