"""Passages that are longer than a model's context, in pieces that overlap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

OVERLAP = 4
"""A piece is preceded by a part of the text before it, one in so many of the room."""


class Piece(NamedTuple):
    """A part of a passage."""

    shown: int
    """First token shown."""
    first: int
    """First token that is asked about; those before it are there to be read."""
    end: int
    """One past the last."""


def estimate(text: str) -> int:
    """About how many tokens a model reads in a text: a third of its bytes, which is generous for prose."""
    return -(-len(text.encode()) // 3)


def pieces(strings: Sequence[str], room: int, cost: Callable[[str], int]) -> list[Piece] | None:
    """The passage in as few pieces as fit into `room`, by the cost of each token; None where a single token does not fit.

    Every token is asked about in one piece. A passage that fits is one piece.
    """
    costs = [cost(text) for text in strings]
    if max(costs, default=0) * 2 > room:
        return None
    found: list[Piece] = []
    first = 0
    while first < len(costs) or not found:
        shown, spent = first, 0
        while first and shown and spent + costs[shown - 1] <= room // OVERLAP:
            shown -= 1
            spent += costs[shown]
        end = first
        while end < len(costs) and spent + costs[end] <= room:
            spent += costs[end]
            end += 1
        found.append(Piece(shown, first, end))
        first = end
    return found


def around(strings: Sequence[str], highlights: Sequence[int], room: int, cost: Callable[[str], int]) -> tuple[int, int] | None:
    """First token and the one after the last of a window that holds all highlights; None where it does not fit into `room`."""
    costs = [cost(text) for text in strings]
    start, end = (min(highlights), max(highlights) + 1) if highlights else (0, 0)
    spent = sum(costs[start:end])
    if spent > room:
        return None
    while start and spent + costs[start - 1] <= room:
        start -= 1
        spent += costs[start]
    while end < len(costs) and spent + costs[end] <= room:
        spent += costs[end]
        end += 1
    return start, end
