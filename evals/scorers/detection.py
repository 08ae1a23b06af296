"""Detection: does the feature fire anywhere in this context?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from dragoman.evals.judge.reader import Answer, Reader, Step
from dragoman.evals.statistics import (
    auroc,
    auroc_draws,
    auroc_interval,
    balanced_accuracy,
    balanced_accuracy_draws,
    mean_of_rates,
    multiplicities,
)

from .asked import checked, gather, parted, remarks, unreadable, within
from .exam import Exam
from .measure import CONSTANT, FEWEST, PREDICTS, Measure, measured, remarked, unscored
from .sample import DetectionSample, Rows

FIRES = ("detection.auroc", "detection.balanced_accuracy")
"""At the definition of firing, value > 0.2 of the train maximum."""
ACTIVE = ("detection_active.auroc", "detection_active.balanced_accuracy")
"""At > 0, the field's usual definition."""
FACETS = ("detection_facets.auroc", "detection_facets.balanced_accuracy")
"""Each facet asked for itself: a context fires where any of them says so."""
SIZE = 20
"""Contexts in a batch."""


@dataclass(frozen=True)
class Predictions:
    """What a reader said about the contexts of an exam."""

    rows: Rows
    """Contexts, firing and silent ones; empty where nothing is to be asked."""
    answers: tuple[Answer | None, ...]
    """An answer to each; None where asking ended before it."""

    @property
    def probability(self) -> Float[NDArray[np.float64], " contexts"]:
        """The answers as numbers, NaN where there is none."""
        return np.array([np.nan if a is None or a.value is None else a.value for a in self.answers], np.float64)


async def ask(
    reader: Reader, claim: str, exam: Exam, step: Step, width: float | None = None, size: int = SIZE, active: bool = True
) -> list[Measure]:
    """Detection at the definition of firing and, with `active`, at > 0; the silent contexts of both are asked about once.

    With `width`, asking ends once the 95 % interval of the AUROC is no wider. Coverage of that interval, in 600 simulated
    features each (scores normal in both classes, 40 firing and 40 silent contexts, batches of 20, width 0.2): at a true AUROC
    of .5 / .7 / .9 / .97 / .995 it holds the truth in .94 / .96 / .99 / 1.00 / 1.00 of them after 80 / 80 / 49 / 30 / 22
    questions. The bootstrap alone would have held it in .93 / .93 / .84 / .70 / .24.
    """
    return measures(exam, await collect(reader, claim, exam, step, width, size, active), active)


async def ask_facets(
    reader: Reader, facets: Sequence[str], exam: Exam, step: Step, width: float | None = None, size: int = SIZE
) -> list[Measure]:
    """Detection from a label's facets, each asked for itself: together first, then the AUROC of each alone.

    A context fires where any facet says so, 1 - (1 - p1) (1 - p2) …, as if facets erred independently. A facet alone cannot
    reach 1: the contexts of the others count as misses.
    """
    if not facets:
        return unscored(FACETS, "the label has no facets")
    parts = await collect_facets(reader, facets, exam, step, width, size)
    both = tuple(any_of(answers) for answers in zip(*(part.answers for part in parts), strict=True))
    found = _measures(exam, exam.sample.fires, Predictions(parts[0].rows, both), FACETS)
    for number, part in enumerate(parts, 1):
        name = f"detection_facet_{number}"
        found += _measures(exam, exam.sample.fires, part, (f"{name}.auroc", f"{name}.balanced_accuracy"))[:1]
    return found


def any_of(answers: Sequence[Answer | None]) -> Answer | None:
    """The answer to "does any of these facets fire" from an answer to each; unreadable where one of them is."""
    given = [answer for answer in answers if answer is not None]
    if len(given) < len(answers):
        return None
    lost = next((answer for answer in given if answer.unscored is not None), None)
    if lost is not None:
        return lost
    return Answer(1 - prod(1 - (answer.value or 0.0) for answer in given), given[0].way)


async def collect(
    reader: Reader, claim: str, exam: Exam, step: Step, width: float | None = None, size: int = SIZE, active: bool = True
) -> Predictions:
    """The answers behind `ask`."""
    rows, classes = _questions(exam, active)

    async def put(batch: Int[NDArray[np.int64], " batch"], where: Step) -> list[Answer]:
        return [checked(a) for a in await reader.detect(claim, [exam.passage(row) for row in rows[batch]], where)]

    def look(answers: Sequence[Answer | None]) -> tuple[float | None, float | None]:
        area = measures(exam, Predictions(rows, tuple(answers)), active=False)[0]
        return area.low, area.high

    return Predictions(rows, tuple(await gather(_parts(exam, classes, width, size), put, look, step, width)))


def batched(exam: Exam, width: float | None = None, size: int = SIZE, active: bool = True) -> list[Rows]:
    """The contexts that `ask` puts to a reader together, in that order."""
    rows, classes = _questions(exam, active)
    return [rows[part] for part in _parts(exam, classes, width, size)]


async def collect_facets(
    reader: Reader, facets: Sequence[str], exam: Exam, step: Step, width: float | None = None, size: int = SIZE
) -> list[Predictions]:
    """The answers behind `ask_facets`, for each facet; all facets are asked about the same contexts."""
    rows, classes = _questions(exam, active=False)
    found: list[dict[int, Answer]] = [{} for _ in facets]

    async def put(batch: Int[NDArray[np.int64], " batch"], where: Step) -> list[Answer]:
        passages = [exam.passage(row) for row in rows[batch]]
        for number, facet in enumerate(facets):
            answers = [checked(a) for a in await reader.detect(facet, passages, within(where, f"facet{number}"))]
            found[number].update(zip(batch.tolist(), answers, strict=True))
        return [answer for place in batch.tolist() if (answer := any_of([part[place] for part in found]))]

    def look(answers: Sequence[Answer | None]) -> tuple[float | None, float | None]:
        area = _measures(exam, exam.sample.fires, Predictions(rows, tuple(answers)), FACETS)[0]
        return area.low, area.high

    if len(rows):
        await gather(_parts(exam, classes, width, size), put, look, step, width)
    return [Predictions(rows, tuple(part.get(place) for place in range(len(rows)))) for part in found]


def measures(exam: Exam, predictions: Predictions, active: bool = True) -> list[Measure]:
    """AUROC and balanced accuracy from a reader's answers, at firing and with `active` at > 0."""
    found = _measures(exam, exam.sample.fires, predictions, FIRES)
    return found + _measures(exam, exam.sample.active, predictions, ACTIVE) if active else found


def score(
    sample: DetectionSample,
    probability: Float[NDArray[np.floating], " contexts"],
    document: Int[NDArray[np.int64], " contexts"],
    names: tuple[str, str],
    seed: int,
    feature: int,
) -> list[Measure]:
    """AUROC and balanced accuracy of a judge's probabilities over the sampled contexts.

    AUROC is the chance that a firing context gets a higher probability than a silent one, ties counting half. Balanced accuracy
    is the mean of the two classes' hit rates, a probability above 0.5 counting as "fires". Intervals resample documents, and
    reach at least as far as the score intervals of `statistics.rates`. Source: the detection score of Paulo et al.,
    Automatically Interpreting Millions of Features (2024), with negatives that were checked to be silent and half of them near
    misses.
    """
    refused = too_few(sample)
    if refused:
        return unscored(names, refused)
    flags: tuple[str, ...] = () if sample.near_misses else ("no near misses",)
    return two_classes(sample.truth, probability, document, names, seed, feature, flags)


def two_classes(
    truth: Bool[NDArray[np.bool_], " items"],
    probability: Float[NDArray[np.floating], " items"],
    document: Int[NDArray[np.int64], " items"],
    names: tuple[str, str],
    seed: int,
    feature: int,
    flags: tuple[str, ...] = (),
) -> list[Measure]:
    """AUROC and balanced accuracy of probabilities against a truth of yes and no, with their intervals."""
    _, cluster = np.unique(document, return_inverse=True)
    documents = int(cluster.max()) + 1
    drawn = multiplicities(documents, np.random.default_rng([seed, feature, 1]))
    if np.ptp(probability) == 0:
        flags = (*flags, CONSTANT)
    predicted = probability > PREDICTS
    n, positives, negatives = len(truth), int(truth.sum()), int((~truth).sum())
    area = auroc(truth, probability)
    return [
        measured(
            names[0],
            area,
            auroc_draws(truth, probability, cluster, drawn),
            n,
            documents,
            flags,
            auroc_interval(area, positives, negatives),
        ),
        measured(
            names[1],
            balanced_accuracy(truth, predicted),
            balanced_accuracy_draws(truth, predicted, cluster, drawn),
            n,
            documents,
            flags,
            mean_of_rates((predicted[truth].sum(), positives), ((~predicted[~truth]).sum(), negatives)),
        ),
    ]


def too_few(sample: DetectionSample) -> str | None:
    """Why this sample cannot be scored, or None."""
    positives, negatives = int(sample.truth.sum()), int((~sample.truth).sum())
    if positives < FEWEST:
        return f"too few contexts in which it fires ({positives}, at least {FEWEST} are needed)"
    if negatives < FEWEST:
        return f"too few silent contexts ({negatives}, at least {FEWEST} are needed)"
    return None


def _questions(exam: Exam, active: bool) -> tuple[Rows, Int[NDArray[np.int64], " contexts"]]:
    """Contexts to ask about, none twice, and their classes: silent, firing, active in the sample at > 0 only."""
    kinds: dict[int, int] = {}
    for part, kind in ((exam.sample.fires, 1), (exam.sample.active, 2)):
        if exam.dense or too_few(part) or (kind == 2 and not active):
            continue
        for row, true in zip(part.rows.tolist(), part.truth.tolist(), strict=True):
            kinds.setdefault(row, kind if true else 0)
    return np.array(list(kinds), np.int64), np.array(list(kinds.values()), np.int64)


def _parts(
    exam: Exam, classes: Int[NDArray[np.int64], " contexts"], width: float | None, size: int
) -> list[Int[NDArray[np.int64], " batch"]]:
    return parted(classes, np.random.default_rng([exam.seed, exam.feature, 3]), width, size) if len(classes) else []


def _measures(exam: Exam, sample: DetectionSample, predictions: Predictions, names: tuple[str, str]) -> list[Measure]:
    """One definition's figures from the answers to its contexts."""
    refused = "dense" if exam.dense else too_few(sample)
    if refused:
        return unscored(names, refused)
    place: Mapping[int, int] = {row: number for number, row in enumerate(predictions.rows.tolist())}
    at = np.array([place[row] for row in sample.rows.tolist()])
    probability = predictions.probability[at]
    answers = [predictions.answers[i] for i in at]
    read = ~np.isnan(probability)
    kept = DetectionSample(sample.rows[read], sample.truth[read], sample.near_misses)
    refused = too_few(kept)
    if refused:
        return unscored(names, f"too few readable answers: {unreadable(answers)}")
    found = score(kept, probability[read], exam.tokens.document[kept.rows], names, exam.seed, exam.feature)
    return remarked(found, remarks(answers))
