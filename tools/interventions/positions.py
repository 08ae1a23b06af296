"""Which tokens an edit applies to: all, a slice, or exact positions, counted from the first token of each text.

A text's first token is position 0, BOS not counted, whether the batch is padded on the left or on the right and however many
steps of generation have passed; generated tokens go on counting from the prompt's. Negative positions count back from the end of
the prompt. BOS is edited only where asked for, padding never.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from dragoman.store.errors import UserError


@dataclass(frozen=True)
class Layout:
    """Where the tokens of each text stand in a batch's columns."""

    first: Int64[np.ndarray, " batch"]
    """Column of the first token of each text (after BOS)."""
    tokens: Int64[np.ndarray, " batch"]
    """Tokens of each text or prompt, BOS not counted."""
    bos: bool
    """Whether the column before `first` holds BOS."""
    generated: int = 0
    """Tokens that may be generated after the prompts; then the padding is on the left."""


@dataclass(frozen=True)
class Positions:
    """A set of positions, the same for every text of a batch."""

    start: int | None = None
    """First position of the slice; None: 0."""
    stop: int | None = None
    """Position after the last of the slice; None: open, so that generated tokens belong to it."""
    exact: tuple[int, ...] | None = None
    """Exact positions; they stand in place of the slice."""
    bos: bool = False
    """Whether BOS belongs to it as well."""

    @classmethod
    def parse(cls, text: str) -> Positions:
        """Positions written as `all`, `3`, `-1`, `0,2,5` or `2:5` (5 left out; either side may be missing).

        Raises:
            UserError: it is none of these.
        """
        written = text.strip()
        if written == "all":
            return cls()
        sliced = re.fullmatch(r"(-?\d+)?:(-?\d+)?", written)
        if sliced:
            start, stop = (None if side is None else int(side) for side in sliced.groups())
            return cls(start, stop)
        if re.fullmatch(r"-?\d+(\s*,\s*-?\d+)*", written):
            return cls(exact=tuple(int(part) for part in written.split(",")))
        raise UserError(f"{text!r} names no positions: write all, 3, -1, 0,2,5 or 2:5 (5 left out).")

    def __str__(self) -> str:
        if self.exact is not None:
            said = ",".join(map(str, self.exact))
        elif self.start is None and self.stop is None:
            said = "all"
        else:
            said = f"{'' if self.start is None else self.start}:{'' if self.stop is None else self.stop}"
        return f"{said} and BOS" if self.bos else said

    def check(self, layout: Layout) -> None:
        """Raises `UserError` where a position lies outside a text, or the slice is empty in it."""
        for row, tokens in enumerate(layout.tokens.tolist()):
            end = tokens + layout.generated
            for position in self.exact or ():
                if not -tokens <= position < end:
                    raise UserError(f"Position {position} is out of range: text {row} has tokens 0 to {end - 1}.")
            if self.exact is None and not _slice(self, tokens, end):
                raise UserError(f"Positions {self} are out of range: text {row} has tokens 0 to {end - 1}.")

    def mask(self, layout: Layout, offset: int, columns: int) -> Bool[np.ndarray, "batch columns"]:
        """Which of the columns offset … offset + columns − 1 belong to it."""
        position = np.arange(offset, offset + columns) - layout.first[:, None]
        tokens = layout.tokens[:, None]
        inside = (position >= 0) & (position < tokens + layout.generated)
        if self.exact is not None:
            exact = np.array(self.exact)
            wanted = np.where(exact < 0, exact + tokens, exact)
            chosen = (position[:, :, None] == wanted[:, None, :]).any(-1)
        else:
            chosen = np.ones_like(inside)
            if self.start is not None:
                chosen &= position >= (self.start + tokens if self.start < 0 else self.start)
            if self.stop is not None:
                chosen &= position < (self.stop + tokens if self.stop < 0 else self.stop)
        found: Bool[np.ndarray, "batch columns"] = inside & chosen
        if self.bos and layout.bos:
            found |= position == -1
        return found


ALL = Positions()
"""Every token but BOS, generated ones included."""


def right_padded(lengths: Sequence[int], bos: bool) -> Layout:
    """Layout of texts of these lengths with the padding, if any, after them."""
    return Layout(np.full(len(lengths), int(bos), np.int64), np.array(lengths, np.int64), bos)


def left_padded(lengths: Sequence[int], bos: bool, generated: int) -> Layout:
    """Layout of prompts of these lengths with the padding before them (and before BOS)."""
    tokens = np.array(lengths, np.int64)
    return Layout(int(bos) + tokens.max(initial=0) - tokens, tokens, bos, generated)


def _slice(positions: Positions, tokens: int, end: int) -> bool:
    start = positions.start or 0
    start = max(0, start + tokens) if start < 0 else start
    stop = end if positions.stop is None else positions.stop
    stop = stop + tokens if stop < 0 else min(stop, end)
    return start < stop
