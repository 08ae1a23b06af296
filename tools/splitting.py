"""Which coarse features split: a feature whose firing is covered by several features of a finer dictionary.

On train tokens, with c the tokens on which the coarse feature fires and f those of a fine one: f is a candidate where it fires
mostly inside c (|c and f| / |f|, its exclusivity, at least `EXCLUSIVE`). Pieces are chosen one by one, each covering most of what
is left, until the next would add less than `GAIN` of c. Coverage is the share of c that the pieces cover together; overlap is
the share of that which more than one covers: small where the pieces are kinds, large where they are the same thing again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse

from dragoman.store.display import table_html, table_text
from dragoman.store.errors import UserError
from dragoman.store.records import DictionaryInfo

from .matching import MAX_TOKENS, Rows

EXCLUSIVE = 0.5
GAIN = 0.05
MOST = 16
"""Pieces at most."""


class Piece(NamedTuple):
    """A fine feature that covers a part of a coarse one."""

    feature: str
    """DICT/INDEX."""
    share: float
    """Share of the coarse feature's firing that it covers."""
    exclusivity: float
    """Share of its own firing that lies inside the coarse feature's."""


@dataclass(frozen=True)
class Splitting:
    """What a coarse feature falls apart into."""

    feature: str
    """DICT/INDEX of the coarse feature."""
    firing: int
    """Train tokens on which it fires, among those looked at."""
    tokens: int
    """Train tokens looked at."""
    pieces: tuple[Piece, ...]
    """The fine features, the one that covers most first; a feature that does not split has one or none."""
    coverage: float
    """Share of its firing that the pieces cover together."""
    overlap: float
    """Share of what they cover that more than one of them covers."""

    def __repr__(self) -> str:
        return f"{self.summary()}\n{table_text(*self._table())}"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return table_html(*self._table())

    def summary(self) -> str:
        """The figures in words."""
        return (
            f"{self.feature} fires on {self.firing:,} of {self.tokens:,} train tokens; {len(self.pieces)} finer features cover "
            f"{self.coverage:.1%} of them, with an overlap of {self.overlap:.1%}."
        )

    def _table(self) -> tuple[list[str], list[dict[str, object]], str]:
        rows: list[dict[str, object]] = [
            {"feature": p.feature, "covers": f"{p.share:.1%}", "exclusivity": f"{p.exclusivity:.1%}"} for p in self.pieces
        ]
        return ["feature", "covers", "exclusivity"], rows, self.summary()


class Firing(NamedTuple):
    """Where the features of a dictionary fire."""

    dictionary: DictionaryInfo
    """Which dictionary."""
    fires: scipy.sparse.csc_matrix
    """(tokens, width), 1 where a feature fires."""


def firing(rows: Rows, dictionary: DictionaryInfo, thresholds: np.ndarray, max_tokens: int = MAX_TOKENS) -> Firing:
    """Where the features of a dictionary fire on train tokens (contexts evenly spaced, at most about `max_tokens` tokens).

    thresholds: of all features of the store, by global id.
    """
    table = rows.tokens
    step = max(1, -(-len(table.ids) // max(1, max_tokens)))
    values = rows.matrix(dictionary.offset, dictionary.width, np.arange(0, table.n_contexts, step, dtype=np.int64)).tocoo()
    above = values.data > thresholds[dictionary.offset + values.col]
    ones = np.ones(int(above.sum()), np.int32)
    fires = scipy.sparse.csc_matrix((ones, (values.row[above], values.col[above])), shape=values.shape)
    return Firing(dictionary, fires)


def split(coarse: Firing, feature: int, fine: Firing) -> Splitting:
    """What a feature of the coarse dictionary falls apart into in the fine one.

    Raises:
        UserError: there is no such feature, or the two were not measured on the same tokens.
    """
    if not 0 <= feature < coarse.fires.shape[1]:
        raise UserError(f"There is no feature {coarse.dictionary.name}/{feature}.")
    if coarse.fires.shape[0] != fine.fires.shape[0]:
        raise UserError("The two dictionaries were not measured on the same tokens.")
    inside = np.unique(coarse.fires[:, [feature]].tocoo().row)
    part = fine.fires.tocsr()[inside].tocsc()
    both = np.asarray(part.sum(0)).ravel()
    alone = np.asarray(fine.fires.sum(0)).ravel()
    exclusivity = both / np.maximum(1, alone)
    candidates = np.flatnonzero((exclusivity >= EXCLUSIVE) & (both > 0))
    covered = np.zeros(len(inside), np.int64)
    chosen: list[int] = []
    table = part[:, candidates].toarray().astype(bool)
    while len(chosen) < MOST and len(candidates):
        gain = (table & (covered == 0)[:, None]).sum(0)
        best = int(gain.argmax())
        if gain[best] < max(1.0, GAIN * len(inside)):
            break
        chosen.append(int(candidates[best]))
        covered += table[:, best]
    pieces = [Piece(f"{fine.dictionary.name}/{f}", float(both[f]) / max(1, len(inside)), float(exclusivity[f])) for f in chosen]
    return Splitting(
        feature=f"{coarse.dictionary.name}/{feature}",
        firing=len(inside),
        tokens=coarse.fires.shape[0],
        pieces=tuple(sorted(pieces, key=lambda p: -p.share)),
        coverage=float((covered > 0).mean()) if len(inside) else 0.0,
        overlap=float((covered > 1).sum() / max(1, (covered > 0).sum())),
    )
