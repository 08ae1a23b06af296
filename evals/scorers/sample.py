"""Which held-out contexts a feature is scored on: the same for every judge and every contestant.

A sample depends on the store, the seed and the feature only. Its parts:

1. detection, at the definition of firing: positives are contexts in which the feature fires, an equal number from each quarter
   of their peak activations; negatives are silent contexts, half of them random and half near misses (half of these hold the
   feature's trigger tokens, learned on train; half are contexts in which its nearest features by decoder cosine fire).
   Weak contexts, active but below the threshold, are neither; their share is reported.
2. detection at > 0: the same negatives, positives from each quarter of all active contexts.
3. simulation: contexts stratified by peak activation (top, four quarters of the rest, silent). Each carries the weight
   N / n of its stratum, so that weighted figures estimate those of the whole split at its natural frequency.
4. the same number of top contexts and of contexts drawn uniformly, unweighted: the field's 1 : 1 top : random sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from dragoman.store.tokens import TokenTable

Rows = Int[NDArray[np.int64], " contexts"]

QUARTERS = 4


@dataclass(frozen=True)
class Sizes:
    """How many contexts each part of a sample holds at most."""

    positives: int = 40
    """Detection positives, a quarter from each quarter of the peak activations."""
    negatives: int = 40
    """Detection negatives, half random and half near misses."""
    top: int = 10
    """Contexts of highest peak, for simulation."""
    quarter: int = 6
    """Simulation contexts from each quarter of the active contexts below the top."""
    silent: int = 40
    """Silent simulation contexts."""


@dataclass(frozen=True)
class DetectionSample:
    """Contexts to tell apart."""

    rows: Rows
    """Context rows of the token table."""
    truth: Bool[NDArray[np.bool_], " contexts"]
    """Whether the feature fires there."""
    near_misses: int
    """How many of the negatives are near misses; fewer than half where the split holds no more."""


@dataclass(frozen=True)
class SimulationSample:
    """Contexts to predict token by token."""

    rows: Rows
    """Context rows of the token table."""
    weight: Float[NDArray[np.float64], " contexts"]
    """N / n of the context's stratum."""
    top_random: Rows
    """The 1 : 1 sample: the top contexts, then as many drawn uniformly (they may repeat)."""


@dataclass(frozen=True)
class Sample:
    """Everything a feature is scored on."""

    fires: DetectionSample
    """Detection where firing means value > threshold."""
    active: DetectionSample
    """Detection where it means value > 0."""
    simulation: SimulationSample
    """Simulation."""
    weak: float
    """Share of the split's contexts that are active but do not fire."""


def draw(
    tokens: TokenTable,
    flat: Int[NDArray[np.int64], " active"],
    values: Float[NDArray[np.float32], " active"],
    threshold: float,
    triggers: Sequence[int],
    neighbour_rows: Rows,
    seed: int,
    feature: int,
    sizes: Sizes | None = None,
    unknown: Rows | None = None,
) -> Sample:
    """Sample the contexts of one feature.

    `flat` are ascending token indices into `tokens` at which the feature is active, `values` its activations there, `triggers`
    token ids it fires on in train, `neighbour_rows` contexts in which its nearest features fire. In a store that keeps a sample
    only, `unknown` are contexts that are active but not kept: they are neither drawn nor taken for silent.
    """
    sizes = sizes or Sizes()
    rng = np.random.default_rng([seed, feature])
    peak = context_peaks(tokens, flat, values)
    if unknown is not None:
        peak[unknown] = np.nan  # neither silent nor active nor firing
    silent = np.flatnonzero(peak == 0)
    firing, active = np.flatnonzero(peak > threshold), np.flatnonzero(peak > 0)
    negatives, near = _negatives(tokens, silent, triggers, neighbour_rows, sizes.negatives, rng)
    fires = _detection(by_quarter(firing, peak, sizes.positives // QUARTERS, rng), negatives, near)
    anywhere = _detection(by_quarter(active, peak, sizes.positives // QUARTERS, rng), negatives, near)
    weak = (len(active) - len(firing)) / max(1, len(peak))
    return Sample(fires, anywhere, _simulation(peak, sizes, rng), weak)


def context_peaks(
    tokens: TokenTable, flat: Int[NDArray[np.int64], " active"], values: Float[NDArray[np.float32], " active"]
) -> Float[NDArray[np.float32], " contexts"]:
    """Largest activation in every context, 0 where the feature is silent."""
    peak = np.zeros(len(tokens.context_ids), np.float32)
    rows = tokens.row[flat]
    if len(rows):
        first = np.flatnonzero(np.diff(rows, prepend=-1))
        peak[rows[first]] = np.maximum.reduceat(values, first)
    return peak


def by_quarter(rows: Rows, peak: Float[NDArray[np.float32], " contexts"], each: int, rng: np.random.Generator) -> Rows:
    """At most `each` rows from every quarter of the given rows ordered by peak; what one quarter lacks the others do not fill."""
    ordered = rows[np.argsort(peak[rows], kind="stable")]
    parts = [pick(part, each, rng) for part in np.array_split(ordered, QUARTERS)]
    return np.concatenate(parts)


def pick(rows: Rows, n: int, rng: np.random.Generator) -> Rows:
    """At most n of the rows without replacement, in ascending order."""
    if len(rows) <= n:
        return np.sort(rows)
    return np.sort(rng.choice(rows, n, replace=False))


def token_index(tokens: TokenTable, rows: Rows) -> Int[NDArray[np.int64], " tokens"]:
    """Token indices of the given contexts, concatenated in the order of `rows`."""
    starts, lengths = tokens.starts[rows], tokens.starts[rows + 1] - tokens.starts[rows]
    ends = np.cumsum(lengths)
    return np.asarray(np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths))


def _detection(positives: Rows, negatives: Rows, near: int) -> DetectionSample:
    rows = np.concatenate([positives, negatives])
    return DetectionSample(rows, np.arange(len(rows)) < len(positives), near)


def _negatives(
    tokens: TokenTable, silent: Rows, triggers: Sequence[int], neighbour_rows: Rows, n: int, rng: np.random.Generator
) -> tuple[Rows, int]:
    """Silent contexts: near misses up to half of n, the rest random; the second value counts the near misses."""
    table = np.zeros(len(tokens.vocabulary), bool)
    table[list(triggers)] = True
    holding = np.unique(tokens.row[table[tokens.ids]])
    by_token = pick(np.intersect1d(holding, silent), n // 4, rng)
    by_neighbour = pick(np.setdiff1d(np.intersect1d(neighbour_rows, silent), by_token), n // 2 - len(by_token), rng)
    missing = n // 2 - len(by_token) - len(by_neighbour)
    spare = np.setdiff1d(np.intersect1d(holding, silent), np.concatenate([by_token, by_neighbour]))
    near = np.concatenate([by_token, by_neighbour, pick(spare, missing, rng)])
    rest = pick(np.setdiff1d(silent, near), n - len(near), rng)
    return np.concatenate([near, rest]), len(near)


def _simulation(peak: Float[NDArray[np.float32], " contexts"], sizes: Sizes, rng: np.random.Generator) -> SimulationSample:
    active = np.flatnonzero(peak > 0)
    ordered = active[np.argsort(-peak[active], kind="stable")]
    strata = [(ordered[: sizes.top], sizes.top)]
    strata += [(part, sizes.quarter) for part in np.array_split(ordered[sizes.top :], QUARTERS)]
    strata += [(np.flatnonzero(peak == 0), sizes.silent)]
    picked = [pick(part, n, rng) for part, n in strata]
    weights = [np.full(len(rows), len(part) / max(1, len(rows))) for rows, (part, _) in zip(picked, strata, strict=True)]
    top = picked[0]
    uniform = pick(np.flatnonzero(~np.isnan(peak)), len(top), rng)
    return SimulationSample(np.concatenate(picked), np.concatenate(weights), np.concatenate([top, uniform]))
