"""Proposals without gradients: fragments of the corpus, mutated and crossed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .candidates import Candidate, Ids, Pool

_STRONG = 64
"""Fragments that end where the feature is strongest on train."""


def fragments(pool: Pool, generator: np.random.Generator, n: int) -> list[Ids]:
    """n fragments of train windows: some end where the feature is strongest, the others anywhere."""
    view = pool.gauge.train
    assert view is not None
    tokens = view.tokens
    where, values = view.activations(view.id(pool.gauge.key))
    ends = where[np.argsort(-values, kind="stable")[:_STRONG]]
    ends = np.concatenate([ends[: n // 2], generator.integers(0, len(tokens.ids), n - min(len(ends), n // 2))])
    rows = []
    for end in ends.tolist():
        length = int(generator.integers(1, pool.length + 1))
        start = max(int(tokens.starts[tokens.row[end]]), end + 1 - length)
        rows.append(tuple(tokens.ids[start : end + 1].tolist()))
    return rows


def offspring(
    pool: Pool, parents: Sequence[Candidate], donors: Sequence[Ids], generator: np.random.Generator, n: int
) -> list[list[int]]:
    """n changed copies of parents: a token replaced, inserted, deleted or moved, the prefix cut, or a piece of a donor put in."""
    rows = []
    for _ in range(n):
        row = list(parents[int(generator.integers(len(parents)))].ids)
        for _ in range(int(generator.integers(1, 4))):
            row = _mutated(row, pool, donors, generator) or row
        rows.append(row)
    return rows


def _mutated(row: list[int], pool: Pool, donors: Sequence[Ids], generator: np.random.Generator) -> list[int]:
    at = int(generator.integers(len(row)))
    token = int(generator.choice(pool.allowed))
    match int(generator.integers(7)):
        case 0 | 1:
            return [*row[:at], token, *row[at + 1 :]]
        case 2:
            return [*row[:at], token, *row[at:]]
        case 3:
            return row[:at] + row[at + 1 :]
        case 4:
            other = int(generator.integers(len(row)))
            row[at], row[other] = row[other], row[at]
            return row
        case 5:
            return row[at:]
        case _:
            donor = donors[int(generator.integers(len(donors)))]
            start = int(generator.integers(len(donor)))
            piece = donor[start : start + int(generator.integers(1, 5))]
            over = int(generator.integers(2)) * len(piece)
            return [*row[:at], *piece, *row[at + over :]]
