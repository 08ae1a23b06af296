"""Several texts in one question: which go together, and the form of the reply.

A text with its letter costs little more than its own tokens, where a question of its own costs about as much again. The order is
drawn from the step's name, so that a run that goes on packs as it did, and no place belongs to one kind of text.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Sequence

from .reader import LETTERS, Step

LINE = 8
"""Tokens of a reply's line, at most."""


def deal(texts: Sequence[Hashable], costs: Sequence[int], most: int, room: int, step: Step) -> list[list[int]]:
    """Numbers of texts in packs of at most `most` and of costs of at most `room` together, about equally large, in random order.

    The same text stands in a pack once: with right and with wrong highlights side by side, each would tell about the other. A
    text that does not fit into the room is in no pack.
    """
    order = [i for i in range(len(texts)) if costs[i] <= room]
    random.Random(f"pack {step.feature} {step.name}").shuffle(order)
    alike = max(Counter(texts[i] for i in order).values(), default=0)
    least = max(-(-len(order) // most), -(-sum(costs[i] for i in order) // room), alike)
    packs: list[list[int]] = [[] for _ in range(least)]
    for i in order:
        fitting = [
            pack
            for pack in packs
            if len(pack) < most and sum(costs[k] for k in pack) + costs[i] <= room and all(texts[k] != texts[i] for k in pack)
        ]
        if fitting:
            min(fitting, key=len).append(i)
        else:
            packs.append([i])
    return packs


def form(n: int) -> str:
    """What a reply about n texts looks like, as a regular expression."""
    return "\n".join(f"{letter}: (Yes|No)" for letter in LETTERS[:n])
