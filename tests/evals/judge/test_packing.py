"""Which texts go together into a question."""

from __future__ import annotations

import re

from dragoman.evals.judge.packing import deal, form
from dragoman.evals.judge.reader import Step

STEP = Step(3, "score/label/detection")


def test_packs_hold_everything_once_and_are_about_equally_large() -> None:
    packs = deal([str(i) for i in range(43)], [10] * 43, 20, 1000, STEP)
    assert sorted(i for pack in packs for i in pack) == list(range(43))
    assert sorted(map(len, packs)) == [14, 14, 15]
    assert packs == deal([str(i) for i in range(43)], [10] * 43, 20, 1000, STEP)
    assert packs != deal([str(i) for i in range(43)], [10] * 43, 20, 1000, Step(4, STEP.name))


def test_every_text_comes_to_every_place() -> None:
    places = {deal([0, 1, 2], [1] * 3, 3, 9, Step(feature, "x"))[0].index(0) for feature in range(40)}
    assert places == {0, 1, 2}


def test_the_same_text_stands_in_a_pack_once() -> None:
    texts = [i // 2 for i in range(16)] + [0]
    packs = deal(texts, [1] * len(texts), 10, 100, STEP)
    assert sorted(i for pack in packs for i in pack) == list(range(17))
    assert all(len({texts[i] for i in pack}) == len(pack) for pack in packs)
    assert len(packs) == 3


def test_packs_fit_into_the_room_and_what_does_not_fit_at_all_is_left_out() -> None:
    costs = [30, 40, 99, 20, 60, 10, 101, 50]
    packs = deal(list("abcdefgh"), costs, 8, 100, STEP)
    assert sorted(i for pack in packs for i in pack) == [0, 1, 2, 3, 4, 5, 7]
    assert all(sum(costs[i] for i in pack) <= 100 for pack in packs)
    assert deal([], [], 5, 100, STEP) == []


def test_the_form_of_a_reply() -> None:
    assert re.fullmatch(form(3), "A: Yes\nB: No\nC: Yes")
    assert not re.fullmatch(form(3), "A: Yes\nB: No")
    assert not re.fullmatch(form(2), "A: Yes\nB: Maybe")
