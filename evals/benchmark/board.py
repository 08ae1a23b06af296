"""From entries to a leaderboard: means with intervals, paired differences, what scores are worth, what labels cost.

Intervals resample features (units). Where the seeds of a suite ask about the same features in other texts, a feature's figures
are averaged over seeds first. A feature without a label counts as saying nothing; a label that could not be executed is unscored.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from dragoman.evals.statistics import DRAWS, Interval, Pairing, multiplicities, paired, percentile_interval, spearman

from .examine import PREDICTIVE
from .reading import DETECTED, RECOVERED
from .recovery import NAMES
from .running import Result, Row

SHOWN = ("recovery.mcc", "recovery.balanced_accuracy", "recovery.context", "simulation.r", "detection.balanced_accuracy")
"""Figures of the main table; the first is the headline where there is a truth, simulation where there is none."""
REFERENCE = "induction"
"""What the others are compared with, where it takes part; else the first."""
UPPER = "oracle"
"""The truth itself is no label: it takes no part in what is said about scores."""
Keep = Callable[[Row], bool]


@dataclass(frozen=True)
class Line:
    """One contestant in one suite."""

    contestant: str
    """Its name."""
    n: int
    """Features."""
    labeled: float
    """Share of them with a label."""
    unscored: Mapping[str, int]
    """Labels that could not be executed, by reason."""
    figures: Mapping[str, Interval]
    """Means over features."""
    against: Mapping[str, Pairing]
    """Its figures minus the reference's on the same features; empty for the reference."""
    cost: Mapping[str, float]
    """For one feature: seconds, and the fields of `Spent`."""
    judged: Mapping[str, float]
    """The fields of `Spent` that reading its labels took, over all trials; empty without a judge that reads words."""
    whole: bool
    """Whether the seconds are those of all of it."""
    command: str
    """What makes this line again."""


@dataclass(frozen=True)
class Part:
    """Some of a suite's features, reported apart."""

    name: str
    """Which."""
    n: int
    """How many features."""
    figures: Mapping[str, Interval]
    """The headline by contestant."""
    against: Mapping[str, Pairing]
    """The same minus the reference's."""


@dataclass(frozen=True)
class Worth:
    """How far a predictive score tells which labels hold the truth."""

    score: str
    """Its name."""
    rho: Interval
    """Spearman correlation with recovery over all labels of all contestants; n counts features."""
    labels: int
    """Labels behind it."""
    chooses: Interval
    """Of two labels of the same feature that recover unlike much: how often the better has the higher score (ties are halves)."""


@dataclass(frozen=True)
class Belief:
    """Whether a contestant knows how good its labels are."""

    contestant: str
    """Its name."""
    n: int
    """Labels with a confidence."""
    expected: float
    """Mean confidence."""
    reached: Interval
    """Mean simulation r on test, none below 0: what confidence is about where patterns are the judge."""
    off: float
    """Mean absolute difference of the two."""
    rho: float
    """Spearman correlation of confidence with recovery (with simulation, where there is no truth)."""


@dataclass(frozen=True)
class Board:
    """One suite."""

    suite: str
    """Its name."""
    seeds: tuple[int, ...]
    """Its seeds."""
    headline: str
    """The figure that contestants are ranked by."""
    reference: str
    """The contestant that others are compared with."""
    lines: Sequence[Line]
    """The best first."""
    parts: Sequence[Part]
    """Hard cases, levels, truths that cannot be written as patterns."""
    worth: Sequence[Worth]
    """Predictive scores beside recovery."""
    beliefs: Sequence[Belief]
    """Calibration."""
    judge: str | None = None
    """The model that read the words of labels; None where none did."""
    read: Sequence[Part] = ()
    """Recovery as that judge reads it, text by text: of all features that it read, and in parts."""


def board(results: Sequence[Result], seed: int = 0) -> list[Board]:
    """A leaderboard for each suite, in the order of the results. seed: of the bootstraps."""
    return [_board([one for one in results if one.suite == suite], seed) for suite in dict.fromkeys(r.suite for r in results)]


def values(results: Sequence[Result], contestant: str, figure: str, keep: Keep = lambda row: True) -> dict[str, float]:
    """A figure of a contestant by unit, averaged over seeds."""
    found: dict[str, list[float]] = {}
    for result in results:
        if result.contestant == contestant:
            for row in result.rows:
                if figure in row.figures and keep(row):
                    found.setdefault(result.unit(row), []).append(row.figures[figure])
    return {unit: fmean(figures) for unit, figures in found.items()}


def compare(
    results: Sequence[Result], first: str, second: str, figure: str, keep: Keep = lambda row: True, seed: int = 0
) -> Pairing:
    """First contestant minus second on the same features, with bootstrap intervals."""
    ours, theirs = (values(results, name, figure, keep) for name in (first, second))
    both = sorted(ours.keys() & theirs.keys())
    one, two = (np.array([side[unit] for unit in both], np.float64) for side in (ours, theirs))
    return paired(one, two, np.random.default_rng([seed, len(both), 31]))


def mean_interval(found: Mapping[str, float], seed: int) -> Interval:
    """Mean over features with its bootstrap interval; NaN where there is nothing."""
    column = np.array([found[unit] for unit in sorted(found)], np.float64)
    nothing = Interval(float("nan"), float("nan"), float("nan"), 0)
    return paired(column, np.zeros(len(column)), np.random.default_rng([seed, len(column), 32])).mean if len(column) else nothing


def usual(row: Row) -> bool:
    """Whether a row counts in the main table."""
    return not row.hard


def _board(results: Sequence[Result], seed: int) -> Board:
    names = list(dict.fromkeys(one.contestant for one in results))
    reference = REFERENCE if REFERENCE in names else names[0]
    headline = SHOWN[0] if any(SHOWN[0] in row.figures for one in results for row in one.rows) else "simulation.r"
    lines = [_line(results, name, reference, seed) for name in names]
    rank = {line.contestant: line.figures[headline].value if headline in line.figures else -np.inf for line in lines}
    lines.sort(key=lambda line: -np.nan_to_num(rank[line.contestant], nan=-np.inf))
    truth = headline == SHOWN[0]
    ranked = [line.contestant for line in lines]
    parts = _parts(results)
    judged = any(RECOVERED[0] in row.figures for one in results for row in one.rows)
    read: list[tuple[str, Keep]] = [("all that were read", lambda row: True), *parts] if judged else []
    return Board(
        suite=results[0].suite,
        seeds=tuple(sorted({one.seed for one in results})),
        headline=headline,
        reference=reference,
        lines=lines,
        parts=[_part(results, part, keep, headline, ranked, reference, seed) for part, keep in parts],
        worth=[_worth(results, score, headline, seed) for score in _scores(results)] if truth else [],
        beliefs=[found for name in names if (found := _belief(results, name, headline, seed))],
        judge=next((str(one.config["judge"]) for one in results if one.config.get("judge")), None),
        read=[part for name, keep in read if (part := _part(results, name, keep, RECOVERED[0], ranked, reference, seed)).n],
    )


def _line(results: Sequence[Result], name: str, reference: str, seed: int) -> Line:
    own = [one for one in results if one.contestant == name]
    rows = [row for one in own for row in one.rows]
    counted = [row for row in rows if usual(row)]
    figures = {
        figure: mean_interval(found, seed)
        for figure in (*NAMES, *PREDICTIVE, *RECOVERED, *DETECTED.values(), "collision", "collision.sibling")
        if (found := values(own, name, figure, usual))
    }
    against = {} if name == reference else {f: compare(results, name, reference, f, usual, seed) for f in figures}
    names = [part.name for part in fields(own[0].spent)]
    spent = {part: sum(getattr(one.spent, part) for one in own) / len(rows) for part in names}
    bills = [one.judged for one in own if one.judged is not None]
    return Line(
        contestant=name,
        n=len({one.unit(row) for one in own for row in one.rows if usual(row)}),
        labeled=fmean(row.labeled for row in counted) if counted else 0.0,
        unscored=dict(Counter(row.unscored.partition(":")[0] for row in counted if row.labeled and row.unscored)),
        figures=figures,
        against={figure: pairing for figure, pairing in against.items() if pairing.mean.n},
        cost={"seconds": sum(one.seconds for one in own) / len(rows), **spent},
        judged={part: float(sum(getattr(bill, part) for bill in bills)) for part in names} if bills else {},
        whole=all(one.whole for one in own),
        command=command(own),
    )


def command(results: Sequence[Result]) -> str:
    """The command that makes these entries of one suite and contestant again, in a folder of its own."""
    first = min(results, key=lambda one: one.seed)
    config = first.config
    words = ["dragoman", "bench", "labels", "--suite", first.suite, "--contestants", first.contestant]
    words += ["--seed", str(first.seed), "--seeds", str(len(results)), "--features", str(config["features"])]
    words += ["--texts", str(config["texts"])]
    if config.get("judge"):
        words += ["--judge", str(config["judge"])]
    words += [str(word) for word in config.get("flags", ())]
    return shlex.join([*words, "--out", "AGAIN"])


def _parts(results: Sequence[Result]) -> list[tuple[str, Keep]]:
    rows = [row for one in results for row in one.rows]
    found: list[tuple[str, Keep]] = []
    for level in sorted({row.level for row in rows if row.level is not None and usual(row)}):
        found.append((f"level {level}", lambda row, level=level: usual(row) and row.level == level))  # type: ignore[misc]
    if found:
        found.append(("level 3 and above", lambda row: usual(row) and (row.level or 0) >= 3))
    if any(row.hard for row in rows):
        named = "the truth is no pattern" if found else "hard cases"
        found.append((named, lambda row: row.hard))
    if found and any(row.level for row in rows):
        found.append(("level 3 and above, with and without a pattern", lambda row: (row.level or 0) >= 3))
    return found


def _part(
    results: Sequence[Result], name: str, keep: Keep, headline: str, names: Sequence[str], reference: str, seed: int
) -> Part:
    figures = {one: mean_interval(values(results, one, headline, keep), seed) for one in names}
    against = {one: compare(results, one, reference, headline, keep, seed) for one in names if one != reference}
    n = len({result.unit(row) for result in results for row in result.rows if keep(row) and headline in row.figures})
    return Part(name, n, figures, {one: pairing for one, pairing in against.items() if pairing.mean.n})


def _scores(results: Sequence[Result]) -> list[str]:
    held = {name for one in results for row in one.rows for name in row.figures}
    return [name for name in (*PREDICTIVE, *DETECTED.values(), "confidence") if name in held]


def _worth(results: Sequence[Result], score: str, headline: str, seed: int) -> Worth:
    units: dict[str, list[tuple[float, float]]] = {}
    for one in results:
        for row in one.rows if one.contestant != UPPER else ():
            if row.labeled and score in row.figures and headline in row.figures:
                units.setdefault(f"{one.unit(row)}/{one.seed}", []).append((row.figures[score], row.figures[headline]))
    clusters: dict[str, list[tuple[float, float]]] = {}
    for key, pairs in units.items():
        clusters.setdefault(key.rpartition("/")[0], []).extend(pairs)
    rng = np.random.default_rng([seed, len(clusters), 33])
    chosen = {key: share for key, pairs in units.items() if (share := _chooses(pairs)) is not None}
    return Worth(
        score, _rank_interval(list(clusters.values()), rng), sum(map(len, clusters.values())), mean_interval(chosen, seed)
    )


def _chooses(pairs: Sequence[tuple[float, float]], least: float = 0.05) -> float | None:
    """Of pairs of labels whose recovery differs by at least `least`: how often the score agrees; None where there are none."""
    said = [
        1.0 if (a - c) * (b - d) > 0 else 0.5 if a == c else 0.0
        for n, (a, b) in enumerate(pairs)
        for c, d in pairs[:n]
        if abs(b - d) >= least
    ]
    return fmean(said) if said else None


def _rank_interval(clusters: Sequence[Sequence[tuple[float, float]]], rng: np.random.Generator) -> Interval:
    """Spearman correlation with an interval that resamples features, all labels of a feature together."""
    pairs = np.array([pair for cluster in clusters for pair in cluster], np.float64).reshape(-1, 2)
    if len(clusters) < 3:
        return Interval(float("nan"), float("nan"), float("nan"), len(clusters))
    owner = np.repeat(np.arange(len(clusters)), [len(cluster) for cluster in clusters])
    drawn = multiplicities(len(clusters), rng, DRAWS).astype(np.int64)
    draws = np.array([_spearman(np.repeat(pairs, times[owner], axis=0)) for times in drawn])
    return Interval(_spearman(pairs), *percentile_interval(draws), len(clusters))


def _spearman(pairs: NDArray[np.float64]) -> float:
    return spearman(pairs[:, 0], pairs[:, 1])


def _belief(results: Sequence[Result], name: str, headline: str, seed: int) -> Belief | None:
    if name == UPPER:
        return None
    own = [one for one in results if one.contestant == name]
    rows = [
        (one.unit(row), row) for one in own for row in one.rows if "confidence" in row.figures and "simulation.r" in row.figures
    ]
    if not rows:
        return None
    said = np.array([row.figures["confidence"] for _, row in rows])
    got = np.array([max(0.0, row.figures["simulation.r"]) for _, row in rows])
    truth = np.array([row.figures.get(headline, np.nan) for _, row in rows])
    kept = ~np.isnan(truth)
    by_unit: dict[str, list[float]] = {}
    for (unit, _), figure in zip(rows, got, strict=True):
        by_unit.setdefault(unit, []).append(float(figure))
    reached = mean_interval({unit: fmean(figures) for unit, figures in by_unit.items()}, seed)
    return Belief(
        name, len(rows), float(said.mean()), reached, float(np.abs(said - got).mean()), spearman(said[kept], truth[kept])
    )
