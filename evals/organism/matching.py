"""Finds the concept that each unit of a model matches best, and how well."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix

LEVELS = 32
"""Thresholds tried for each unit: evenly spaced quantiles of its values that are kept."""


@dataclass(frozen=True, slots=True)
class Matches:
    """The best concept of each unit; all arrays are [units]."""

    concept: NDArray[np.int64]
    """Column of the concept in the label matrix; -1 where no concept was met."""
    threshold: NDArray[np.float32]
    """The unit says yes at values of at least this."""
    validation_f1: NDArray[np.float64]
    """F1 on the tokens on which concept and threshold were chosen."""
    f1: NDArray[np.float64]
    """F1 on test tokens."""
    mcc: NDArray[np.float64]
    """Matthews correlation on test tokens."""
    precision: NDArray[np.float64]
    """Precision on test tokens."""
    recall: NDArray[np.float64]
    """Recall on test tokens."""
    positives: NDArray[np.int64]
    """Test tokens that carry the concept."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What every unit catches of every concept at every threshold."""

    thresholds: NDArray[np.float32]
    """Ascending thresholds [units, levels]."""
    predicted: NDArray[np.int32]
    """Tokens at or above each threshold [units, levels]."""
    caught: NDArray[np.int32]
    """Of these, the ones that carry each concept [units, levels, concepts]."""
    positives: NDArray[np.int64]
    """Tokens that carry each concept [concepts]."""

    def f1(self) -> NDArray[np.float32]:
        """F1 of every combination [units, levels, concepts]."""
        total = self.predicted[:, :, None] + self.positives
        f1: NDArray[np.float32] = (2 * self.caught / np.maximum(total, 1)).astype(np.float32)
        return f1


def sweep(values: csc_matrix, labels: csr_matrix) -> Sweep:
    """Try the quantiles of each unit's stored values [tokens, units] as thresholds against labels [tokens, concepts]."""
    units = values.shape[1]
    counts = np.diff(values.indptr)
    thresholds = np.full((units, LEVELS), np.inf, dtype=np.float32)
    bins = np.empty(values.nnz, dtype=np.int32)
    for unit in np.flatnonzero(counts):
        part = slice(values.indptr[unit], values.indptr[unit + 1])
        data = values.data[part]
        picks = (np.arange(LEVELS) * len(data)) // LEVELS
        thresholds[unit] = np.partition(data, np.unique(picks))[picks]
        bins[part] = np.searchsorted(thresholds[unit], data, side="right") - 1
    rows = np.repeat(np.arange(units, dtype=np.int64), counts) * LEVELS + bins
    pool = csr_matrix((np.ones(values.nnz, dtype=np.int32), (rows, values.indices)), shape=(units * LEVELS, values.shape[0]))
    caught = (pool @ labels.astype(np.int32)).toarray().reshape(units, LEVELS, labels.shape[1])
    predicted = np.asarray(pool.sum(axis=1)).reshape(units, LEVELS)
    return Sweep(thresholds, _from_above(predicted), _from_above(caught), _column_sums(labels))


def best_matches(
    validation: csc_matrix, validation_labels: csr_matrix, test: csc_matrix, test_labels: csr_matrix, allowed: NDArray[np.bool_]
) -> Matches:
    """Choose each unit's concept, among those `allowed` [concepts], and its threshold on validation; score both on test.

    Values are [tokens, units]; what is not stored never says yes.
    """
    return score(choose(sweep(validation, validation_labels), allowed), test, test_labels)


@dataclass(frozen=True, slots=True)
class Choice:
    """A concept and a threshold for each unit; all arrays are [units]."""

    concept: NDArray[np.int64]
    """Column of the label matrix; -1 where no concept was met."""
    threshold: NDArray[np.float32]
    """The unit says yes at values of at least this."""
    f1: NDArray[np.float64]
    """F1 on the tokens on which both were chosen."""


def choose(found: Sweep, allowed: NDArray[np.bool_]) -> Choice:
    """The concept and threshold with the highest F1 for each unit."""
    f1 = np.where(allowed, found.f1(), -1.0)
    units, _, concepts = f1.shape
    flat = f1.reshape(units, -1)
    best = flat.argmax(1)
    value = flat[np.arange(units), best]
    level, concept = np.divmod(best, concepts)
    threshold = found.thresholds[np.arange(units), level]
    return Choice(np.where(value > 0, concept, -1), threshold, np.maximum(value, 0).astype(np.float64))


def score(choice: Choice, values: csc_matrix, labels: csr_matrix) -> Matches:
    """F1, MCC, precision and recall of each unit's choice on other tokens."""
    units = values.shape[1]
    owner = np.repeat(np.arange(units), np.diff(values.indptr))
    says = values.data >= choice.threshold[owner]
    predicted = np.bincount(owner[says], minlength=units).astype(np.float64)
    caught = np.zeros(units)
    columns = labels.tocsc()
    marked = np.zeros(labels.shape[0], dtype=bool)
    for unit in np.flatnonzero(choice.concept >= 0):
        carrying = columns.indices[columns.indptr[choice.concept[unit]] : columns.indptr[choice.concept[unit] + 1]]
        marked[carrying] = True
        part = slice(values.indptr[unit], values.indptr[unit + 1])
        caught[unit] = marked[values.indices[part][says[part]]].sum()
        marked[carrying] = False
    positives = np.where(choice.concept >= 0, _column_sums(labels)[choice.concept], 0)
    f1, mcc = agreement(caught, predicted, positives.astype(np.float64), labels.shape[0])
    return Matches(
        choice.concept,
        choice.threshold,
        choice.f1,
        f1,
        mcc,
        caught / np.maximum(predicted, 1),
        caught / np.maximum(positives, 1),
        positives,
    )


def agreement(
    caught: NDArray[np.float64], predicted: NDArray[np.float64], positives: NDArray[np.float64], tokens: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """F1 and Matthews correlation from true positives, predicted and actual positives; 0 where undefined."""
    f1 = 2 * caught / np.maximum(predicted + positives, 1)
    below = np.sqrt(predicted * positives * (tokens - predicted) * (tokens - positives))
    mcc = np.where(below > 0, (caught * tokens - predicted * positives) / np.where(below > 0, below, 1), 0.0)
    return f1, mcc


def greedy_union(
    found: Sweep, concept: int, validation: csc_matrix, carries: NDArray[np.bool_], units: Iterable[int], most: int = 8
) -> list[tuple[int, float]]:
    """Units and thresholds whose union matches one concept best on validation: greedily, while the F1 of the union grows.

    `carries` [tokens] says which tokens carry the concept. Candidates are the 40 of `units` that match best alone, and the 40
    that catch most at a precision of at least one half.
    """
    among = np.fromiter(units, dtype=np.int64)
    predicted, caught = found.predicted[among], found.caught[among, :, concept]
    alone = 2 * caught / np.maximum(predicted + found.positives[concept], 1)
    sharp = np.where(caught * 2 >= np.maximum(predicted, 1), caught, 0)
    candidates: dict[tuple[int, float], NDArray[np.bool_]] = {}
    for measure in (alone, sharp):
        level = measure.argmax(1)
        for i in np.argsort(-measure.max(1))[:40]:
            if measure[i, level[i]] > 0:
                unit, threshold = int(among[i]), float(found.thresholds[among[i], level[i]])
                candidates[unit, threshold] = fires(validation, unit, threshold)
    union, reached = np.zeros(len(carries), dtype=bool), 0.0
    chosen: list[tuple[int, float]] = []
    while candidates and len(chosen) < most:
        key, value = max(((k, f1_of(union | v, carries)) for k, v in candidates.items()), key=lambda pair: pair[1])
        if value <= reached:
            break
        union |= candidates.pop(key)
        chosen.append(key)
        reached = value
    return chosen


def fires(values: csc_matrix, unit: int, threshold: float) -> NDArray[np.bool_]:
    """Where a unit of values [tokens, units] is at or above a threshold [tokens]."""
    part = slice(values.indptr[unit], values.indptr[unit + 1])
    out = np.zeros(values.shape[0], dtype=bool)
    out[values.indices[part][values.data[part] >= threshold]] = True
    return out


def f1_of(says: NDArray[np.bool_], carries: NDArray[np.bool_]) -> float:
    """F1 of one boolean array [tokens] against another; 0 where neither has a positive."""
    total = int(says.sum()) + int(carries.sum())
    return 2 * int((says & carries).sum()) / total if total else 0.0


def _from_above(counts: NDArray[np.int32]) -> NDArray[np.int32]:
    """Counts in bins along axis 1 to counts at or above the bin's lower end."""
    return np.ascontiguousarray(counts[:, ::-1].cumsum(axis=1, dtype=counts.dtype)[:, ::-1])


def _column_sums(labels: csr_matrix) -> NDArray[np.int64]:
    return np.bincount(labels.indices, minlength=labels.shape[1]).astype(np.int64)
