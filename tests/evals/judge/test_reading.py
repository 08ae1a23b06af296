"""Replies turned into answers: each way, against sums written out, and every way not to be readable."""

from __future__ import annotations

import json
import math

import pytest

from dragoman.evals.gateway.calls import Reply, TokenChance
from dragoman.evals.judge.reading import (
    active,
    expected,
    letter,
    letter_share,
    packed,
    percent,
    percents,
    probability,
    share,
    slots,
    texts,
)

from .replies import reply


def test_forms_that_differ_by_case_and_space_are_summed() -> None:
    first = {"Yes": 0.3, " yes": 0.1, "YES": 0.05, "No": 0.2, " no": 0.05, "Maybe": 0.2, "Nope": 0.05, "Y": 0.05}
    answer = probability(reply("Yes", finish="length", first=first))
    assert answer.value == pytest.approx(0.45 / 0.70)
    assert answer.way == "log-probabilities" and answer.unscored is None


def test_a_candidate_that_was_not_told_is_sampled_and_never_zero() -> None:
    """With few or likely alternatives the missing one may hold anything; with unlikely ones it holds next to nothing."""
    open_ = probability(reply("Yes", first={"Yes": 0.8, "Well": 0.1, "Maybe": 0.02}))
    assert open_.value is None and open_.way == "" and "1 of 2 candidates" in str(open_.unscored)
    sure = probability(reply("Yes", first={"Yes": 0.9, "Well": 0.05, "Maybe": 1e-5}))
    assert sure.value is not None and 0.9999 < sure.value < 1
    other = probability(reply("No", first={"No": 0.9, "Well": 0.05, "Maybe": 1e-5}))
    assert other.value is not None and 0 < other.value < 1e-4
    assert sure.value + other.value == pytest.approx(1)


def test_a_first_token_that_is_something_else_is_not_read() -> None:
    thinking = probability(reply("<think>", first={"<think>": 0.999, "Yes": 0.0004, "No": 0.0001}))
    assert thinking.value is None and thinking.unscored == "the first token is neither of yes and no"
    assert probability(reply("Yes")).unscored == "the server told no log-probabilities"


def test_letters_from_log_probabilities() -> None:
    first = {"A": 0.2, " A": 0.1, "B": 0.3, "a": 0.2, "C": 0.1, "The": 1e-6}
    assert letter(reply("B", first=first), "ABC").probabilities == pytest.approx((0.3 / 0.7, 0.3 / 0.7, 0.1 / 0.7))
    missing = letter(reply("B", first=first), "ABCD").probabilities
    assert missing is not None and 0 < missing[3] < 1e-5 and sum(missing) == pytest.approx(1)
    assert letter(reply("B", first={"A": 0.5, "B": 0.3}), "ABC").probabilities is None


def test_shares_of_samples_are_drawn_to_even_odds() -> None:
    assert share([reply("Yes", "yes.", " Yes", "No")]).value == pytest.approx((3 + 2) / (4 + 4))
    assert share([reply("Yes")] * 10).value == pytest.approx(12 / 14)
    assert share([reply("No")] * 10).value == pytest.approx(2 / 14)
    assert share([reply("Yes", "Well", "No", "No")]).value == pytest.approx((1 + 2) / (3 + 4))
    assert share([reply("Yes", "No")]).way == "sampled"


def test_samples_that_say_something_else_are_not_counted_as_no() -> None:
    answer = share([reply("Perhaps", "Nothing", "I cannot say", "Yes")])
    assert answer.value is None and answer.unscored == "3 of 4 samples name no candidate"
    assert share([reply("", finish="refusal")] * 3).unscored == "the judge refused"
    assert share([]).value is None


def test_shares_of_letters() -> None:
    found = letter_share([reply("B", "B.", "A", "**B**")], "ABC").probabilities
    assert found == pytest.approx(((1 + 4 / 3) / 8, (3 + 4 / 3) / 8, (4 / 3) / 8))
    assert letter_share([reply("a text", "Because", "None")], "ABC").probabilities is None


def test_percent() -> None:
    assert percent(reply('{"yes": 73}')) == (0.73, "schema", None, 0)
    assert percent(reply('```json\n{"yes": 0}\n```')).value == 0


@pytest.mark.parametrize(
    ("said", "finish", "reason"),
    [
        ("", "stop", "the reply is empty"),
        ("I can't help with that", "refusal", "the judge refused"),
        ('{"yes": 73', "stop", "broken JSON"),
        ('{"yes": 7', "length", "the reply was cut off at its longest"),
        ("73", "stop", "broken JSON"),
        ("[" * 100_000, "stop", "broken JSON"),
        ('{"yes": 101}', "stop", "no number from 0 to 100 under yes"),
        ('{"yes": true}', "stop", "no number from 0 to 100 under yes"),
        ('{"yes": NaN}', "stop", "no number from 0 to 100 under yes"),
        ('{"no": 3}', "stop", "no number from 0 to 100 under yes"),
    ],
)
def test_a_number_that_cannot_be_read_says_why(said: str, finish: str, reason: str) -> None:
    answer = percent(reply(said, finish=finish))
    assert answer.value is None and answer.way == "" and answer.unscored == reason


def test_percents() -> None:
    assert percents(reply('{"A": 60, "B": 20, "C": 0}'), "ABC").probabilities == pytest.approx((0.75, 0.25, 0))
    assert percents(reply('{"A": 60, "B": 20}'), "ABC").unscored == "no number from 0 to 100 for 1 of 3 options"
    assert percents(reply('{"A": 0, "B": 0}'), "AB").unscored == "all options got 0"


def test_expected_digit() -> None:
    import math

    told = {"?": math.log(0.5), "0": math.log(0.1), "9": math.log(0.2), " 3": math.log(0.1), "10": math.log(0.1)}
    assert expected(told) == pytest.approx((0.1 * 0 + 0.2 * 9 + 0.1 * 3) / 0.4 / 9)
    assert expected({"?": -0.1, "unknown": -3.0}) is None
    assert expected({"?": -0.1, "²": -3.0}) is None


def listed(*values: int | None) -> list[dict[str, float]]:
    """Tokens of a listing: a tab before each slot, and at the slot a sure digit or none."""
    places: list[dict[str, float]] = [{}, {"head": 0.5}]
    for value in values:
        places += [{"word": 0.9, "0": 0.1}, {"\t": 1.0}, {"?\n": 0.7} if value is None else {"?\n": 0.7, str(value): 0.2}]
    return places


def test_slots_are_read_text_by_text() -> None:
    found = slots(reply(prompt=listed(5, 0, 9, 3)), [1, 2], skip=1)
    assert [one.values for one in found] == [(0.0,), pytest.approx((1.0, 1 / 3))]
    assert {one.way for one in found} == {"log-probabilities"}


def test_a_text_with_an_unread_slot_has_no_values_and_its_neighbour_has() -> None:
    found = slots(reply(prompt=listed(1, None, 2)), [2, 1], skip=0)
    assert found[0].values is None and found[0].unscored == "no digit among the alternatives at 1 of 2 tokens"
    assert found[1].values == pytest.approx((2 / 9,))


def test_tokens_that_do_not_line_up_are_not_read() -> None:
    found = slots(reply(prompt=listed(1, 2, 3)), [2, 2], skip=0)
    assert [one.values for one in found] == [None, None]
    assert "3 slots for 4 tokens" in str(found[0].unscored)
    assert slots(reply(), [1], skip=0)[0].unscored == "the server told no log-probabilities of the prompt"


def test_active_lines() -> None:
    said = json.dumps({"active": [{"line": 3, "value": 9}, {"line": 1, "value": 3}]})
    assert active(reply(said), 4).values == pytest.approx((1 / 3, 0, 1, 0))
    assert active(reply('{"active": []}'), 2).values == (0, 0)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ('{"active": [{"line": 5, "value": 9}]}', "line 5 of a text of 4 tokens"),
        ('{"active": [{"line": 0, "value": 9}]}', "line 0 of a text of 4 tokens"),
        ('{"active": [{"line": 1, "value": 9}, {"line": 1, "value": 2}]}', "line 1 is named twice"),
        ('{"active": [{"line": 1, "value": 10}]}', "an item without a line and a value from 0 to 9"),
        ('{"active": [3]}', "an item without a line and a value from 0 to 9"),
        ('{"active": [{"value": 3}]}', "an item without a line and a value from 0 to 9"),
        ('{"tokens": []}', "no list under active"),
        ("none", "broken JSON"),
    ],
)
def test_active_lines_that_cannot_be_read_are_not_zeros(said: str, reason: str) -> None:
    found = active(reply(said), 4)
    assert found.values is None and found.unscored == reason


def test_texts() -> None:
    assert texts(reply('{"texts": ["a", " ", "b", "a", "c"]}'), 2) == (("a", "b"), None)
    assert texts(reply('{"texts": []}'), 2).unscored == "no text was written"
    assert texts(reply('{"texts": [1]}'), 2).unscored == "no list of texts under texts"
    assert texts(reply('{"texts": ["a"', finish="length"), 2) == ((), "the reply was cut off at its longest")


def told(*places: dict[str, float]) -> Reply:
    """A reply of which every token's alternatives are told, the likeliest first."""
    chances = tuple(tuple(TokenChance(t, math.log(c)) for t, c in place.items()) for place in places)
    text = "".join(place[0].token for place in chances)
    return Reply((text,), ("stop",), chances, None, 10, 0, len(places), 0.0, 0.0, False, "call")


def test_a_line_for_each_text() -> None:
    answers = (
        ({"A": 1.0}, {":": 1.0}, {" Yes": 0.8, " No": 0.2}, {"\n": 1.0}),
        (
            {"**": 1.0},
            {"C": 1.0},
            {"**": 1.0},
            {": ": 1.0},
            {"no": 0.6, "No": 0.3, "yes": 0.1},
            {", it does not. No": 1.0},
            {"\n": 1.0},
        ),
        ({"B": 0.9, "D": 0.1}, {":": 1.0}, {"Yes": 0.5, "No": 0.5}),
    )
    found = packed(told(*(place for line in answers for place in line)), "ABCD")
    assert [a.value for a in found] == [pytest.approx(0.8), pytest.approx(0.5), pytest.approx(0.1), None]
    assert [a.place for a in found] == [1, 2, 3, 0]
    assert found[3].unscored == "the text has no answer"
    some = packed(told(*(place for line in answers for place in line)), ["C", "B"])
    assert some == [found[2], found[1]] and [a.place for a in some] == [3, 2]


def test_what_a_reply_about_several_texts_leaves_open() -> None:
    line = ({"A": 1.0}, {":": 1.0}, {" Yes": 0.8, " No": 0.2}, {"\n": 1.0})
    twice = packed(told(*line, *line), "AB")
    assert [a.unscored for a in twice] == ["the text has two answers", "the text has no answer"]
    assert [a.value for a in packed(told({"Yes": 0.9, "No": 0.1}), "AB")] == [None, None]
    assert "neither" not in str(packed(reply("A: Yes\nB: No"), "AB")) and packed(reply("A: Yes"), "A")[0].value is None
    assert {a.unscored for a in packed(reply("", finish="content_filter"), "ABC")} == {"the judge refused"}
    vague = ({"A": 1.0}, {":": 1.0}, {" Yes": 0.5, " Perhaps": 0.3, " It": 0.2})
    assert packed(told(*vague), "A")[0].value is None
