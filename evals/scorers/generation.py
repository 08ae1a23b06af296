"""Generation: do texts written from the label alone make the feature fire, and do texts near to those leave it silent?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from dragoman.evals.judge.concurrency import together
from dragoman.evals.judge.reader import Reader, Step, Written
from dragoman.evals.statistics import auroc, auroc_draws, auroc_interval, multiplicities, wilson

from .asked import within
from .exam import Exam
from .laboratory import Laboratory
from .measure import FEWEST, Measure, measured, unscored

NAMES = ("generation.trigger_rate", "generation.auroc", "generation.specificity")
"""Share of the texts meant to fire that do; peaks of the two sets told apart; share of the others that stay silent."""
TEXTS = 10
"""Texts of each sort that a judge is asked for."""
_COPY = 3
"""Words of the claim that, standing in a text all together, make it a copy."""

Peaks = Float[NDArray[np.float32], " texts"]


class Kept(NamedTuple):
    """The texts that are used."""

    texts: list[str]
    """In the order in which they were written."""
    duplicates: int
    """Left out because the same text came before, in either set."""
    copies: int
    """Left out because they repeat the claim."""
    empty: int
    """Left out because they hold nothing."""


async def ask(reader: Reader, claim: str, exam: Exam, laboratory: Laboratory, step: Step, texts: int = TEXTS) -> list[Measure]:
    """Trigger rate, AUROC and specificity of texts that the judge writes from the claim alone.

    It writes `texts` texts on which a feature so described fires, and as many that are near to such texts and on which it does
    not. They run through the model as windows of the store do, longer ones cut to one window, so that length buys nothing. A
    text fires where the feature's peak on it exceeds the threshold of the harvest. Trigger rate and specificity are shares with
    Wilson's interval, AUROC compares the peaks of the two sets. Texts that repeat another or the claim are left out and
    counted. Trigger rate alone rewards a vague claim; specificity and AUROC stand beside it for that reason.

    Sources: the trigger rate of SAGE and the responsiveness of FADE (2025), with near misses written by the same judge.
    """
    sorts = ((True, "fires"), (False, "silent"))
    wrote = await together(reader.write(claim, fires, texts, within(step, name)) for fires, name in sorts)
    on = kept(wrote[0].texts, claim)
    off = kept(wrote[1].texts, claim, on.texts)
    passages = await laboratory.passages([*on.texts, *off.texts])
    values = await laboratory.activations(exam.feature, passages)
    peaks = np.array([row.max(initial=0) for row in values], np.float32)
    flags = _remarks(on, off)
    cut = sum(len(passage.text) < len(text.rstrip()) for passage, text in zip(passages, [*on.texts, *off.texts], strict=True))
    if cut:
        flags += (f"{cut} texts cut to a window",)
    short = (_short(wrote[0], on, "should fire"), _short(wrote[1], off, "should not fire"))
    return score(peaks[: len(on.texts)], peaks[len(on.texts) :], exam.threshold, exam.seed, exam.feature, short, flags)


def score(
    on: Peaks,
    off: Peaks,
    threshold: float,
    seed: int,
    feature: int,
    short: tuple[str | None, str | None] = (None, None),
    flags: tuple[str, ...] = (),
) -> list[Measure]:
    """The three figures from the peaks on texts that should and should not fire; `short` says of each set why it is too small."""
    rate, area, specificity = NAMES
    lacking = short[0] or short[1]
    return [
        unscored((rate,), short[0])[0] if short[0] else _share(rate, on > threshold, flags),
        unscored((area,), lacking)[0] if lacking else _area(area, on, off, seed, feature, flags),
        unscored((specificity,), short[1])[0] if short[1] else _share(specificity, off <= threshold, flags),
    ]


def kept(texts: Sequence[str], claim: str, taken: Sequence[str] = ()) -> Kept:
    """The texts without empty ones, copies of the claim, and those that stood before or in `taken`, case and spacing apart."""
    own = _plain(claim)
    seen = {_plain(text) for text in taken}
    found, counts = [], {"duplicates": 0, "copies": 0, "empty": 0}
    for text in texts:
        plain = _plain(text)
        copied = plain == own or (len(own.split()) >= _COPY and own in plain)
        reason = "empty" if not plain else "copies" if copied else "duplicates" if plain in seen else None
        seen.add(plain)
        if reason:
            counts[reason] += 1
        else:
            found.append(text)
    return Kept(found, **counts)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .\"'")


def _short(wrote: Written, held: Kept, what: str) -> str | None:
    if len(held.texts) >= FEWEST:
        return None
    why = wrote.unscored or ", ".join(_counted(held))
    return f"too few texts that {what} ({len(held.texts)}, at least {FEWEST} are needed)" + (f": {why}" if why else "")


def _counted(held: Kept) -> list[str]:
    counts = {"duplicates": held.duplicates, "copies of the claim": held.copies, "empty texts": held.empty}
    return [f"{count} {what}" for what, count in counts.items() if count]


def _remarks(on: Kept, off: Kept) -> tuple[str, ...]:
    both = Kept([], on.duplicates + off.duplicates, on.copies + off.copies, on.empty + off.empty)
    return tuple(f"{said} left out" for said in _counted(both))


def _share(name: str, hits: NDArray[np.bool_], flags: tuple[str, ...]) -> Measure:
    low, high = wilson(float(hits.sum()), len(hits))
    return Measure(name, float(hits.mean()), low, high, len(hits), None, flags)


def _area(name: str, on: Peaks, off: Peaks, seed: int, feature: int, flags: tuple[str, ...]) -> Measure:
    """Every text is a document of its own."""
    truth = np.arange(len(on) + len(off)) < len(on)
    peaks = np.concatenate([on, off])
    drawn = multiplicities(len(peaks), np.random.default_rng([seed, feature, 10]))
    value, cluster = auroc(truth, peaks), np.arange(len(peaks))
    least = auroc_interval(value, len(on), len(off))
    return measured(name, value, auroc_draws(truth, peaks, cluster, drawn), len(peaks), len(peaks), flags, least)
