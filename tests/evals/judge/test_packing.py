"""Which texts go together into a question."""

from __future__ import annotations

import re

from dragoman.evals.judge.packing import deal, form, rounds


def test_packs_hold_everything_once_and_are_about_equally_large() -> None:
    packs = deal([10] * 43, 20, 1000, 3)
    assert sorted(i for pack in packs for i in pack) == list(range(43))
    assert sorted(map(len, packs)) == [14, 14, 15]
    assert packs == deal([10] * 43, 20, 1000, 3)
    assert packs != deal([10] * 43, 20, 1000, 4)


def test_every_text_comes_to_every_place() -> None:
    places = {deal([1] * 3, 3, 9, feature)[0].index(0) for feature in range(40)}
    assert places == {0, 1, 2}


def test_packs_fit_into_the_room_and_what_does_not_fit_at_all_is_left_out() -> None:
    costs = [30, 40, 99, 20, 60, 10, 101, 50]
    packs = deal(costs, 8, 100, 3)
    assert sorted(i for pack in packs for i in pack) == [0, 1, 2, 3, 4, 5, 7]
    assert all(sum(costs[i] for i in pack) <= 100 for pack in packs)
    assert deal([], 5, 100, 3) == []


def test_a_round_holds_every_text_once_and_does_not_tell_which_question_of_it_came_first() -> None:
    texts = [*range(20), *range(20), 0]
    found = rounds(texts, 3)
    assert sorted(i for one in found for i in one) == list(range(41))
    assert all(len({texts[i] for i in one}) == len(one) for one in found)
    assert sorted(map(len, found)) == [1, 20, 20] or max(map(len, found)) <= 20
    assert found == rounds(texts, 3)
    first = [sum(i < 20 for i in rounds(texts[:40], feature)[0]) for feature in range(40)]
    assert all(2 < n < 18 for n in first) and 8 < sum(first) / 40 < 12, "right and wrong ones are mixed"


def test_the_form_of_a_reply() -> None:
    assert re.fullmatch(form("ABC"), "A: Yes\nB: No\nC: Yes")
    assert not re.fullmatch(form("ABC"), "A: Yes\nB: No")
    assert re.fullmatch(form("AC"), "A: Yes\nC: No") and not re.fullmatch(form("AC"), "A: Yes\nB: No")
    assert not re.fullmatch(form("AB"), "A: Yes\nB: Maybe")
