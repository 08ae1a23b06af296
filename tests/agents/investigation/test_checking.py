"""What is conjecture is decided by code."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from dragoman.agents.investigation.answering import drafted, drafted_from, partial
from dragoman.agents.investigation.checking import CONCLUDES, Drafted, check, sentences
from dragoman.agents.structured import NotReadable
from dragoman.store.chats import ChatStep, step_id

RESULT = (
    "sae/88 set to zero: mean KL 0.0457 nats over 12 tokens of 1 texts, largest 1.24.\n"
    "Watched: ' Austin' -2.31 (p 0.812 → 0.034). It fires on 45% of 1,155 tokens of context 77."
)


def step(number: int, result: str = RESULT, tool: str = "ablate", failed: bool = False) -> ChatStep:
    return ChatStep(step_id("t", number), "t", number, tool, {"feature": "sae/88"}, result, None if failed else {}, failed)


STEPS = {
    one.name: one
    for one in (step(1), step(2, "There is no feature.", failed=True), step(3, "Noted 0.9.", "record_note"), step(4, "9 texts."))
}


@pytest.mark.parametrize(
    ("text", "cites"),
    [
        ("Without sae/88 Austin falls from 0.812 to 0.034.", "E1"),
        ("It falls from 0.81 to 0.03, so by 2.3 in the logit.", "E1"),
        ("It falls to 3.4%, and it fires on 45% of about 1155 tokens, a share of 0.45.", "E1"),
        ("The change is 4.6e-2 nats and it is the feature sae/88.", "E1"),
        ("1. Nine texts were run, 9 of them with layer4 and a 2x step.", "E4"),
        ("No number here.", "E1 E4"),
        ("Both say so: 9 and 0.812.", "E1 E4"),
        ("The mark is in the text [E1], and also here (E4).", ""),
        ("So far 9 texts were run, so that 9 are known, and it did so in all of them.", "E4"),
    ],
)
def test_a_statement_stands_where_what_it_cites_holds_its_figures(text: str, cites: str) -> None:
    checked = check([Drafted(text, tuple(cites.split()))], STEPS)
    (one,) = checked.statements
    assert not one.conjecture and one.because == "" and checked.wrong == ()
    assert {cited.id for cited in one.citations} <= {step_id("t", 1), step_id("t", 4)} and one.citations
    assert "[E" not in one.text and "(E" not in one.text


@pytest.mark.parametrize(
    ("text", "cites", "because"),
    [
        ("It is so.", "", "it cites nothing"),
        ("It is not tested whether it is so.", "", "it cites nothing"),
        ("Austin falls to 0.034, so it is the feature for Austin.", "E1", CONCLUDES),
        ("So sae/88 is the feature for Austin.", "E1", CONCLUDES),
        ("It fires on 45% of tokens and is therefore dense.", "E1", CONCLUDES),
        ("It is so.", "E9", "there is no E9 in this thread"),
        ("It is so.", "E1 E9", "there is no E9 in this thread"),
        ("It is so.", "e1f", "there is no e1f in this thread"),
        ("There is none.", "E2", "E2 was not run"),
        ("It is 0.9.", "E3", "E3 is a note, no experiment"),
        ("It falls to 0.06.", "E1", "0.06 does not occur in E1"),
        ("It falls by 0.778.", "E1", "0.778 does not occur in E1"),
        ("It falls to 35%.", "E1", "35% does not occur in E1"),
        ("It fires on 1,156 tokens.", "E1", "1,156 does not occur in E1"),
        ("It fires on 2 texts.", "E1", "2 does not occur in E1"),
        ("It is sae/8.", "E1", "sae/8 does not occur in E1"),
        ("It is sae/880.", "E1", "sae/880 does not occur in E1"),
        ("It is sae/88 and 9.", "E1", "9 does not occur in E1"),
        ("It is 8 and 9.", "E1 E4", "8 does not occur in E1 and E4"),
    ],
)
def test_everything_else_is_conjecture_and_says_why(text: str, cites: str, because: str) -> None:
    checked = check([Drafted(text, tuple(cites.split()))], STEPS)
    assert checked.statements[0].conjecture and checked.statements[0].because == because
    assert checked.wrong == ((f"Statement 1: {because}.",) if cites else ())


def test_a_question_back_is_no_conjecture() -> None:
    (one,) = check([Drafted("Which of the two do you mean?")], STEPS).statements
    assert not one.conjecture and one.citations == ()


def test_what_was_not_tested_is_no_conjecture() -> None:
    said = ("Not tested: whether sae/88 fires in German.", "What was not tested is any other prompt.")
    assert not any(one.conjecture or one.because for one in check([Drafted(text) for text in said], STEPS).statements)


def test_plain_text_is_cut_into_sentences_with_their_marks() -> None:
    text = "It fires on months [E1]. It falls to 0.034. [E1, E4]\n- Perhaps it is e.g. a date.\n\nWhy? [E4] I do not know."
    checked = check(sentences(text), STEPS)
    said = [(one.text, [cited.name for cited in one.citations], one.conjecture) for one in checked.statements]
    assert said == [
        ("It fires on months.", ["E1"], False),
        ("It falls to 0.034.", ["E1", "E4"], False),
        ("- Perhaps it is e.g. a date.", [], True),
        ("Why?", ["E4"], False),
        ("I do not know.", [], True),
    ]


def test_an_answer_may_be_an_object_in_the_text() -> None:
    said = 'Here: {"statements": [{"text": "A.", "cites": ["E1"]}, {"text": " "}, {"text": "B."}]}'
    assert drafted_from(said) == [Drafted("A.", ("E1",)), Drafted("B.")]
    assert drafted_from('{"statements": []} is all.') == [Drafted('{"statements": []} is all.')]
    wrong: Any
    for wrong in (None, {}, {"statements": "A"}, {"statements": [{"cites": []}]}, {"statements": []}):
        with pytest.raises(NotReadable):
            drafted(wrong)


def test_texts_come_out_of_arguments_that_are_still_being_written() -> None:
    whole = '{"statements": [{"text": "It says \\"text\\": a \\u00e4\\ud83d\\ude00.", "cites": ["E1"]}, {"text": "B\\n."}]}'
    assert partial(whole) == 'It says "text": a ä😀.\n\nB\n.'
    shown = [partial(whole[:end]) for end in range(len(whole) + 1)]
    assert shown[0] == "" and shown[-1] == partial(whole)
    for before, after in itertools.pairwise(shown):
        assert after.startswith(before), (before, after)
