"""All activations of one split in memory, where they are few enough: a feature's are there in microseconds, and those that fire
with it in milliseconds.
"""

from __future__ import annotations

import threading
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float32, Int32, Int64

from .tokens import ContextIndex

MOST = 20_000_000
"""Activations that are held, at 8 bytes each."""
_BLOCK = 2_000_000
"""Activations that are read at a time."""


class Columns(Protocol):
    """What is read of the database."""

    def columns(self, query: str, parameters: list[int] = ...) -> dict[str, np.ndarray]:
        """All columns of a query."""
        ...


class HeldActivations:
    """Activations of one split, feature after feature."""

    def __init__(
        self, starts: Int64[np.ndarray, " width_plus_1"], flat: Int32[np.ndarray, " n"], values: Float32[np.ndarray, " n"]
    ) -> None:
        """starts: where each feature's begin; flat: their places among the split's tokens, ascending; values: there."""
        self._starts, self._flat, self._values = starts, flat, values
        self._lock = threading.Lock()
        self._fired: _Fired | None = None
        for array in (starts, flat, values):
            array.setflags(write=False)

    @classmethod
    def read(cls, database: Columns, index: ContextIndex, code: int, width: int, most: int = MOST) -> HeldActivations | None:
        """Those of a split; None where there are too many. `code` is the split's number, `width` that of features."""
        counted = database.columns(
            "SELECT feature, count(*) AS n FROM activation WHERE split = ? GROUP BY feature ORDER BY feature", [code]
        )
        counts = np.zeros(width, np.int64)
        counts[counted["feature"]] = counted["n"]
        starts = np.concatenate([[0], np.cumsum(counts)])
        total = int(starts[-1])
        if total > most or int(index.starts[-1]) >= 2**31:
            return None
        flat, values = np.zeros(total, np.int32), np.zeros(total, np.float32)
        first = 0
        while first < width:
            end = max(first + 1, int(np.searchsorted(starts, starts[first] + _BLOCK, side="right")) - 1)
            here = slice(int(starts[first]), int(starts[end]))
            if here.start < here.stop:
                read = database.columns(
                    "SELECT feature, context, position, value FROM activation WHERE feature >= ? AND feature < ? AND split = ?",
                    [first, end, code],
                )
                place = index.starts[index.rows_of(read["context"])] + read["position"]
                order = np.lexsort((place, read["feature"]))
                flat[here], values[here] = place[order], read["value"][order]
            first = end
        return cls(starts, flat, values)

    def of(self, feature: int) -> tuple[Int64[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
        """Places and values of a feature."""
        here = slice(int(self._starts[feature]), int(self._starts[feature + 1]))
        return self._flat[here].astype(np.int64), self._values[here].copy()

    def together(
        self, feature: int, thresholds: Float32[np.ndarray, " width"], index: ContextIndex
    ) -> tuple[Int64[np.ndarray, " width"], Int64[np.ndarray, " width"]]:
        """On how many tokens each feature fires together with one, and in how many contexts in which that one fires.

        Args:
            feature: the one.
            thresholds: each feature fires above its own; the same in every call.
            index: the split's contexts.
        """
        with self._lock:
            if self._fired is None:
                self._fired = self._sorted_by_token(thresholds, int(index.starts[-1]))
        fired, width = self._fired, len(self._starts) - 1
        flat, values = self.of(feature)
        mine = flat[values > thresholds[feature]]
        tokens = np.bincount(fired.feature[_ranges(fired.starts[mine], fired.starts[mine + 1])], minlength=width)
        rows = np.unique(index.row_of_token(mine))
        first, end = fired.starts[index.starts[rows]], fired.starts[index.starts[rows + 1]]
        owner = np.repeat(np.arange(len(rows)), end - first)
        pairs = np.unique(owner * width + fired.feature[_ranges(first, end)])
        return tokens.astype(np.int64), np.bincount(pairs % width, minlength=width).astype(np.int64)

    def _sorted_by_token(self, thresholds: Float32[np.ndarray, " width"], tokens: int) -> _Fired:
        """Which features fire on each token."""
        feature = np.repeat(np.arange(len(thresholds), dtype=np.int32), np.diff(self._starts))
        fires = self._values > thresholds[feature]
        flat, feature = self._flat[fires], feature[fires]
        order = np.argsort(flat, kind="stable")
        counts = np.bincount(flat, minlength=tokens)
        return _Fired(np.concatenate([[0], np.cumsum(counts)]), feature[order])


class _Fired(NamedTuple):
    """The features that fire, token after token."""

    starts: Int64[np.ndarray, " tokens_plus_1"]
    """Where each token's begin."""
    feature: Int32[np.ndarray, " n"]
    """The features."""


def _ranges(first: Int64[np.ndarray, " n"], end: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " m"]:
    """The numbers of several ranges, one range after the other."""
    lengths = end - first
    return np.repeat(first - np.cumsum(lengths) + lengths, lengths) + np.arange(int(lengths.sum()))
