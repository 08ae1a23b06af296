"""Several texts in one question: which go together, and the form of the reply.

A text with its letter costs little more than its own tokens, where a question of its own costs about as much again. The order is
drawn from the feature alone, so that detection and fuzzing pack the same texts alike and a server remembers what it has read,
and no place belongs to one kind of text.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterable, Sequence

LINE = 8
"""Tokens of a reply's line, at most."""


def deal(costs: Sequence[int], most: int, room: int, feature: int) -> list[list[int]]:
    """Numbers of texts in packs of at most `most` and of costs of at most `room` together, about equally large, in random order.

    A text that does not fit into the room is in no pack.
    """
    order = [i for i in range(len(costs)) if costs[i] <= room]
    random.Random(f"pack {feature}").shuffle(order)
    least = max(-(-len(order) // most), -(-sum(costs[i] for i in order) // room))
    packs: list[list[int]] = [[] for _ in range(least)]
    for i in order:
        fitting = [pack for pack in packs if len(pack) < most and sum(costs[k] for k in pack) + costs[i] <= room]
        if fitting:
            min(fitting, key=len).append(i)
        else:
            packs.append([i])
    return packs


def rounds(texts: Sequence[Hashable], feature: int) -> list[list[int]]:
    """Numbers of questions in rounds that hold every text once at most, about equally large, who comes first being drawn.

    With right and with wrong highlights of one text side by side, each would tell about the other.
    """
    order = list(range(len(texts)))
    random.Random(f"round {feature}").shuffle(order)
    found: list[list[int]] = []
    for i in order:
        open_to = [one for one in found if all(texts[k] != texts[i] for k in one)]
        if open_to:
            min(open_to, key=len).append(i)
        else:
            found.append([i])
    return [sorted(one) for one in found]


def form(letters: Iterable[str]) -> str:
    """What a reply about the texts of these letters looks like, as a regular expression."""
    return "\n".join(f"{letter}: (Yes|No)" for letter in letters)
