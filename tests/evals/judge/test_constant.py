"""A judge that answers the same to everything is told from one that does not."""

from __future__ import annotations

import pytest

from dragoman.evals.judge.constant import constant, unreadable


def test_a_constant_judge_is_named_in_one_sentence() -> None:
    sentence = constant([0.95] * 98 + [0.1, 0.2])
    assert sentence == "The judge answers yes (probability 0.95) to 98 of 100 questions: its scores say nothing."
    assert "answers no (probability 0.30)" in str(constant([0.3 + i * 1e-4 for i in range(50)]))


@pytest.mark.parametrize(
    "values",
    [
        [0.95] * 97 + [0.1, 0.2, 0.3],
        [0.5 + i * 0.002 for i in range(100)],
        [0.95] * 19,
        [0.95] * 10 + [None] * 50,
        [],
    ],
)
def test_others_are_not(values: list[float | None]) -> None:
    assert constant(values) is None


def test_unread_answers_do_not_count_as_answers() -> None:
    assert constant([0.95] * 30 + [None] * 70) is not None


def test_reasons_are_counted() -> None:
    assert unreadable([None, None]) is None
    said = unreadable(["broken JSON", None, "the reply is empty", "broken JSON"])
    assert said == "3 of 4 answers could not be read: 2 times broken JSON, 1 times the reply is empty."


def test_long_reasons_are_cut() -> None:
    said = unreadable(["the server says " + "so " * 100, "the server says " + "so " * 101])
    assert (
        said is not None and said.startswith("2 of 2 answers could not be read: 2 times the server says so") and len(said) < 200
    )
