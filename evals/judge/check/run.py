"""Asks a judge what is known, and sums up what it answers.

Claims come from `material.py`. Each is asked about texts of which it is true and false (detection), with right and wrong
highlights (fuzzing), all tokens at once (simulation), as a choice in which every option stands at every place once (position
bias), and, where it is false, in few and in many words (length bias).
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from dragoman.evals.judge.concurrency import together
from dragoman.evals.judge.constant import constant, unreadable
from dragoman.evals.judge.reader import Answer, Chosen, Marked, Reader, Simulated, Step, Written
from dragoman.evals.statistics import (
    Interval,
    auroc,
    auroc_draws,
    calibration,
    multiplicities,
    paired,
    pearson,
    pearson_draws,
    percentile_interval,
    wilson,
)

from .findings import Bias, Findings, Packs
from .material import Known, Text

OPTIONS = 4
"""Texts of a choice."""
WRITTEN = 3
"""Texts to write from a claim."""


async def check(
    reader: Reader,
    known: Sequence[Known],
    seed: int = 0,
    told: Callable[[int], None] = lambda done: None,
    packing: Reader | None = None,
) -> Findings:
    """Ask everything at once. `told` hears how many claims are done; `packing`: the same judge, several texts a request."""
    done = 0

    async def one(place: int, claim: Known) -> _Answers:
        nonlocal done
        found = await _ask(reader, claim, place, random.Random(f"check {seed} {place}"), packing)
        done += 1
        told(done)
        return found

    answers = await together(one(i, claim) for i, claim in enumerate(known))
    return _findings(reader.name, known, answers, np.random.default_rng([seed, 77]))


def lengthened(claim: str) -> str:
    """The same claim in many words."""
    return (
        f"{claim}; in other words, every token that has to do with {claim}, wherever it stands in a text and in whatever form, "
        f"fully and reliably, in all the kinds of text in which {claim} can be expected to be found"
    )


class _Answers(NamedTuple):
    """What was answered about one claim, beside what is true."""

    detected: list[Answer]
    """About its true and then its false texts."""
    fuzzed: list[Answer]
    """About right and then wrong highlights."""
    simulated: list[Simulated]
    """Of its first true and its first false text."""
    chosen: list[Chosen]
    """The true text at the first place, then at the second …"""
    long: list[Answer]
    """About its false texts, the claim being lengthened."""
    written: Written | None
    """From the claim, where that was asked for."""
    packed: tuple[list[Answer], list[Answer]]
    """As detected and fuzzed, several texts a request; both empty where that was not asked."""


async def _ask(reader: Reader, claim: Known, place: int, rng: random.Random, packing: Reader | None) -> _Answers:
    def step(name: str) -> Step:
        return Step(-1, f"check/{name}/{place}")

    texts = [text.passage for text in (*claim.true, *claim.false)]
    order = rng.sample(range(len(texts)), len(texts))
    shown = [texts[i] for i in order]
    marked = [_marked(text, right, rng) for right in (True, False) for text in claim.true]
    mixed = rng.sample(range(len(marked)), len(marked))

    async def both(judge: Reader, prefix: str) -> tuple[list[Answer], list[Answer]]:
        detected, fuzzed = await asyncio.gather(
            judge.detect(claim.claim, shown, step(f"{prefix}detection")),
            judge.fuzz(claim.claim, [marked[i] for i in mixed], step(f"{prefix}fuzzing"), shown),
        )
        return _sorted(detected, order), _sorted(fuzzed, mixed)

    async def packed() -> tuple[list[Answer], list[Answer]]:
        return await both(packing, "packed/") if packing else ([], [])

    (detected, fuzzed), packs, long, simulated, chosen, written = await asyncio.gather(
        both(reader, ""),
        packed(),
        reader.detect(lengthened(claim.claim), [text.passage for text in claim.false], step("long")),
        reader.simulate(claim.claim, [claim.true[0].passage, claim.false[0].passage], step("simulation")),
        _choices(reader, claim, step),
        _written(reader, claim, step("writing")),
    )
    return _Answers(detected, fuzzed, simulated, chosen, long, written, packs)


async def _choices(reader: Reader, claim: Known, step: Callable[[str], Step]) -> list[Chosen]:
    """The true text among false ones, at each place once; the false ones move along."""
    options = [claim.true[0].passage.text, *(text.passage.text for text in claim.false[: OPTIONS - 1])]
    turned = [options[-place:] + options[:-place] if place else options for place in range(len(options))]
    return list(
        await asyncio.gather(*(reader.choose(claim.claim, "passage", o, step(f"choice/{i}")) for i, o in enumerate(turned)))
    )


async def _written(reader: Reader, claim: Known, step: Step) -> Written | None:
    return await reader.write(claim.claim, True, WRITTEN, step) if claim.kind == "word" else None


def _marked(text: Text, right: bool, rng: random.Random) -> Marked:
    """The tokens on which the claim says that it fires, or as many others."""
    others = [i for i in range(len(text.passage.strings)) if i not in text.where]
    n = min(len(text.where), len(others))
    return Marked(text.passage, tuple(sorted(rng.sample(text.where if right else others, n))))


def _sorted(answers: Sequence[Answer], order: Sequence[int]) -> list[Answer]:
    """Answers to questions asked in this order, in the order of the questions' numbers."""
    placed = dict(zip(order, answers, strict=True))
    return [placed[i] for i in range(len(order))]


def _findings(judge: str, known: Sequence[Known], answers: Sequence[_Answers], rng: np.random.Generator) -> Findings:
    truth = [[True] * len(claim.true) + [False] * len(claim.false) for claim in known]
    detected = [found.detected for found in answers]
    values = np.array([np.nan if a.value is None else a.value for found in detected for a in found])
    every = _flat([row for a in answers for row in (a.detected, a.fuzzed, a.long)])
    others: list[Simulated | Chosen | Written] = []
    for found in answers:
        others += [*found.simulated, *found.chosen, *([found.written] if found.written else [])]
    kinds = {"all": list(range(len(known)))} | {
        kind: [i for i, claim in enumerate(known) if claim.kind == kind] for kind in ("word", "concept")
    }
    halves = [[True] * (len(a.fuzzed) // 2) + [False] * (len(a.fuzzed) // 2) for a in answers]
    ways = Counter(one.way for one in (*every, *(o for o in others if not isinstance(o, Written))) if one.way)
    return Findings(
        judge=judge,
        questions=len(every) + len(others),
        detection={kind: _area([truth[i] for i in of], [detected[i] for i in of], rng) for kind, of in kinds.items()},
        calibration=calibration(values, np.array([t for row in truth for t in row])),
        fuzzing=_area(halves, [a.fuzzed for a in answers], rng),
        simulation=_correlation(known, answers, rng),
        position=_bias([a.chosen for a in answers]),
        length=_length(known, answers, rng),
        written=_occurs(known, answers),
        ways=dict(ways.most_common()),
        unreadable=unreadable(one.unscored for one in (*every, *others)),
        constant=constant([a.value for a in _flat(detected)]),
        packs=_packs(truth, halves, answers, rng) if any(a.packed[0] for a in answers) else None,
    )


def _packs(
    truth: Sequence[Sequence[bool]], halves: Sequence[Sequence[bool]], answers: Sequence[_Answers], rng: np.random.Generator
) -> Packs:
    """What became of the answers in packs; places are compared within each claim's requests."""
    detected, fuzzed = [a.packed[0] for a in answers], [a.packed[1] for a in answers]
    rows = [*zip(truth, detected, strict=True), *zip(halves, fuzzed, strict=True)]
    later, earlier = [], []
    for right, found in rows:
        placed = sorted((a.place, a.value - t) for a, t in zip(found, right, strict=True) if a.place and a.value is not None)
        if len(placed) > 1:
            middle = len(placed) // 2
            earlier.append(float(np.mean([error for _, error in placed[:middle]])))
            later.append(float(np.mean([error for _, error in placed[-middle:]])))
    return Packs(
        detection=_area(truth, detected, rng),
        fuzzing=_area(halves, fuzzed, rng),
        place=paired(np.array(later), np.array(earlier), rng).mean,
        alone=sum(a.place == 0 for a in _flat([*detected, *fuzzed])),
    )


def _flat(rows: Sequence[Sequence[Answer]]) -> list[Answer]:
    return [answer for row in rows for answer in row]


def _area(truth: Sequence[Sequence[bool]], answers: Sequence[Sequence[Answer]], rng: np.random.Generator) -> Interval:
    """AUROC with an interval that resamples claims; n counts answers."""
    read = [
        (t, a.value, i)
        for i, (row, found) in enumerate(zip(truth, answers, strict=True))
        for t, a in zip(row, found, strict=True)
        if a.value is not None
    ]
    if len({t for t, _, _ in read}) < 2:
        return _NOTHING
    true, value, claim = np.array([r[0] for r in read]), np.array([r[1] for r in read]), np.array([r[2] for r in read])
    drawn = multiplicities(len(truth), rng)
    return Interval(auroc(true, value), *percentile_interval(auroc_draws(true, value, claim, drawn)), len(read))


def _correlation(known: Sequence[Known], answers: Sequence[_Answers], rng: np.random.Generator) -> Interval:
    """Over all tokens of all texts simulated, with an interval that resamples claims; n counts texts."""
    said: list[float] = []
    real: list[float] = []
    owner: list[int] = []
    n = 0
    for i, (claim, found) in enumerate(zip(known, answers, strict=True)):
        for text, one in zip((claim.true[0], claim.false[0]), found.simulated, strict=True):
            if one.values is not None:
                n += 1
                said += one.values
                real += [float(k in text.where) for k in range(len(text.passage.strings))]
                owner += [i] * len(one.values)
    if not n:
        return _NOTHING
    x, y, whose = np.array(said), np.array(real), np.array(owner)
    draws = pearson_draws(x, y, np.ones(len(x)), whose, multiplicities(len(known), rng))
    value = pearson(x, y)
    return Interval(0.0 if np.isnan(value) else value, *percentile_interval(draws), n)


def _bias(chosen: Sequence[Sequence[Chosen]]) -> Bias:
    """Only claims of which every turn could be read count, so that every option has stood at every place."""
    whole = [[c.probabilities for c in row if c.probabilities is not None] for row in chosen]
    tables = [np.array(row) for row, asked in zip(whole, chosen, strict=True) if len(row) == len(asked) == OPTIONS]
    if not tables:
        return Bias((), _NOTHING)
    right = sum(float(table[i].argmax() == i) for table in tables for i in range(OPTIONS))
    n = OPTIONS * len(tables)
    return Bias(tuple(np.mean(np.concatenate(tables), 0).tolist()), Interval(right / n, *wilson(right, n), n))


def _length(known: Sequence[Known], answers: Sequence[_Answers], rng: np.random.Generator) -> Interval:
    """Mean difference over texts of which both forms of the claim could be read."""
    pairs = [
        (long.value, short.value)
        for claim, found in zip(known, answers, strict=True)
        for long, short in zip(found.long, found.detected[len(claim.true) :], strict=True)
        if long.value is not None and short.value is not None
    ]
    return paired(np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs]), rng).mean


def _occurs(known: Sequence[Known], answers: Sequence[_Answers]) -> Interval:
    texts = [
        (claim.claim.split('"')[1], text)
        for claim, found in zip(known, answers, strict=True)
        if found.written
        for text in found.written.texts
    ]
    hits = sum(word in text.casefold() for word, text in texts)
    return Interval(hits / len(texts), *wilson(hits, len(texts)), len(texts)) if texts else _NOTHING


_NOTHING = Interval(float("nan"), float("nan"), float("nan"), 0)
