"""When to stop asking: batches that are all alike, and an end once the interval is narrow enough.

The questions of a feature are put into an order in which every class keeps its share, cut into batches of a fixed size and
asked batch by batch. After each batch the interval that will be reported is computed, and asking ends when it is narrower than
the width wanted, or when everything is asked.

Stopping at a width looks at the data on the way, and an interval may be narrow only because the few answers so far happen to
agree: ten right answers in a row have a bootstrap interval of width 0. So the interval looked at is the one of
`scorers.measure`, the wider of the bootstrap by document and of the score interval (`rates`), which is wide for few answers
whatever they are.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

SIZE = 20
"""Questions in a batch."""


def batches(
    classes: Int[NDArray[np.integer], " items"], rng: np.random.Generator, size: int = SIZE
) -> list[Int[NDArray[np.int64], " batch"]]:
    """Items in batches of `size`, each with about the same share of every class; within a batch the order is random.

    Each class is shuffled and spread evenly over the whole order, so that the answers to the first batches are a fair sample of
    each class, and a reader that goes by the order of the questions learns nothing. The last batch may be half a batch larger or
    smaller than the others.
    """
    place = np.empty(len(classes))
    for name in np.unique(classes):
        items = np.flatnonzero(classes == name)
        place[rng.permutation(items)] = (np.arange(len(items)) + 0.5) / len(items)
    order = np.lexsort((rng.random(len(classes)), place))
    count = max(1, round(len(order) / size))
    parts = np.split(order, [size * part for part in range(1, count)])
    return [np.asarray(rng.permutation(part), np.int64) for part in parts]


def narrow(interval: tuple[float | None, float | None], width: float | None) -> bool:
    """Whether an interval is at most as wide as wanted. Never where there is no interval or no width is wanted."""
    low, high = interval
    return width is not None and low is not None and high is not None and high - low <= width
