"""Claims of which the truth is known."""

from __future__ import annotations

import pytest

from dragoman.evals.judge.check.material import Known, known_claims


@pytest.fixture(scope="module")
def known() -> list[Known]:
    return known_claims(12, 5, seed=3)


def test_half_of_the_claims_name_a_word_and_all_have_texts_of_both_sorts(known: list[Known]) -> None:
    assert [claim.kind for claim in known].count("word") == 6 == [claim.kind for claim in known].count("concept")
    assert len({claim.claim for claim in known}) == 12
    for claim in known:
        assert [len(claim.true), len(claim.false)] == [5, 5]
        assert all(text.where for text in claim.true) and not any(text.where for text in claim.false)


def test_a_word_is_where_it_is_said_to_be(known: list[Known]) -> None:
    for claim in known:
        if claim.kind == "word":
            word = claim.claim.removeprefix('the word "').removesuffix('"')
            for text in claim.true:
                assert {text.passage.strings[i].strip() for i in text.where} == {word}
            assert not any(word in text.passage.text.split() for text in claim.false)


def test_a_concept_is_missing_in_false_texts_in_every_form_that_ever_expresses_it(known: list[Known]) -> None:
    for claim in known:
        said = {text.passage.strings[i].strip() for text in claim.true for i in text.where}
        for text in claim.false:
            assert not said & {token.strip() for token in text.passage.strings}


def test_another_seed_draws_other_claims(known: list[Known]) -> None:
    assert known == known_claims(12, 5, seed=3)
    assert [claim.claim for claim in known] != [claim.claim for claim in known_claims(12, 5, seed=4)]
