"""Passages cut to a model's context."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dragoman.evals.judge.cutting import OVERLAP, around, estimate, pieces


def test_an_estimate_is_generous_for_prose_and_for_other_scripts() -> None:
    assert estimate("The old robin sang all day in the park.") == 13
    assert estimate("鳥") == 1 and estimate("") == 0


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(10, 40))
def test_every_token_is_asked_about_once_and_every_piece_fits(costs: list[int], room: int) -> None:
    strings = ["x" * cost for cost in costs]
    cut = pieces(strings, room, len)
    assert cut is not None
    assert [i for piece in cut for i in range(piece.first, piece.end)] == list(range(len(strings)))
    for piece in cut:
        assert piece.shown <= piece.first < piece.end
        assert sum(costs[piece.shown : piece.end]) <= room
        assert sum(costs[piece.shown : piece.first]) <= room // OVERLAP
    if sum(costs) <= room:
        assert len(cut) == 1


def test_later_pieces_begin_with_what_stands_before_them() -> None:
    cut = pieces(["x"] * 20, 8, len)
    assert cut is not None and [tuple(piece) for piece in cut] == [(0, 0, 8), (6, 8, 14), (12, 14, 20)]


def test_what_cannot_fit_is_not_cut() -> None:
    assert pieces(["x" * 50], 20, len) is None
    assert pieces([], 20, len) == [(0, 0, 0)]


def test_a_window_holds_all_highlights() -> None:
    strings = ["x"] * 100
    assert around(strings, (50, 55), 20, len) == (36, 56)
    assert around(strings, (2, 5), 20, len) == (0, 20)
    assert around(strings, (2, 50), 20, len) is None
    assert around(strings, (), 200, len) == (0, 100)
