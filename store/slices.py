"""Many short arrays that lie one after the other, worked on together.

Sorting slices by themselves takes a quarter of the time of sorting everything with the slice's number as the first key.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64, Integer, Shaped

_SHORT = (4, 16, 64)
"""Slices up to these lengths are sorted side by side as rows of a table, longer ones one by one."""


def sort_slices(values: Shaped[np.ndarray, " n"], lengths: Integer[np.ndarray, " slices"]) -> None:
    """Sort each slice of an array of unsigned integers in place."""
    begins = starts(lengths)
    for shortest, longest in zip((2, *(length + 1 for length in _SHORT)), _SHORT, strict=False):
        which = np.flatnonzero((lengths >= shortest) & (lengths <= longest))
        if len(which):
            at = begins[which, None] + np.arange(longest)
            there = np.arange(longest) < lengths[which, None]
            table = np.where(there, values[np.minimum(at, len(values) - 1)], np.iinfo(values.dtype).max)
            table.sort(axis=1)
            values[at[there]] = table[there]
    for long in np.flatnonzero(lengths > _SHORT[-1]).tolist():
        begin = int(begins[long])
        values[begin : begin + int(lengths[long])].sort()


def starts(lengths: Integer[np.ndarray, " slices"]) -> Int64[np.ndarray, " slices"]:
    """Where each slice begins."""
    return np.asarray(np.cumsum(lengths, dtype=np.int64) - lengths)


def sums(values: Shaped[np.ndarray, " n"], lengths: Integer[np.ndarray, " slices"]) -> Int64[np.ndarray, " slices"]:
    """The sum of each slice of booleans or whole numbers; 0 of an empty one."""
    out = np.zeros(len(lengths), np.int64)
    there = np.flatnonzero(lengths)
    if len(there):
        out[there] = np.add.reduceat(values, starts(lengths)[there], dtype=np.int64)
    return out
