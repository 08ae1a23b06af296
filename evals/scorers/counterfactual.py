"""Counterfactual: small edits of a text on which the feature fires; which of them silence it?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from dragoman.evals.judge.reader import Answer, Passage, Reader, Step
from dragoman.evals.statistics import (
    auroc,
    auroc_draws,
    auroc_interval,
    balanced_accuracy,
    balanced_accuracy_draws,
    mean_of_rates,
    multiplicities,
)

from .asked import checked, remarks, unreadable
from .exam import Exam
from .laboratory import Laboratory
from .measure import CONSTANT, FEWEST, PREDICTS, Measure, measured, unscored
from .sample import Rows

NAMES = ("counterfactual.auroc", "counterfactual.balanced_accuracy")
_RUN = 8
"""Tokens of a run of firing ones that a passage may end with."""


@dataclass(frozen=True)
class Sizes:
    """How much is tried and asked."""

    contexts: int = 16
    """Contexts in which the feature fires, no two of one document."""
    before: int = 32
    """Tokens of a passage up to the firing one, with it."""
    edits: int = 16
    """Edits tried of each passage; what they do decides only which of them are asked about."""
    asked: int = 20
    """Edits of each sort, silencing and harmless, that a judge is asked about."""


class Pair(NamedTuple):
    """A passage on which the feature fires, and the same after one edit."""

    original: int
    """Which original, by its place among them."""
    edited: Passage
    """What stands there after the edit."""
    done: str
    """The edit in words."""
    silenced: bool
    """Whether the feature no longer fires on it."""
    weak: bool
    """Whether it is silenced and yet active, below the threshold."""


class Questions(NamedTuple):
    """What is asked about one feature."""

    originals: list[Passage]
    """Passages that end with the first word of a context on which the feature fires, or where it takes more to make it fire,
    with the first run of firing tokens."""
    documents: list[int]
    """Document of each of them."""
    pairs: list[Pair]
    """As many silencing edits as harmless ones."""
    unscored: str | None = None
    """Why nothing can be asked."""


async def ask(
    reader: Reader, claim: str, exam: Exam, laboratory: Laboratory, step: Step, sizes: Sizes | None = None
) -> list[Measure]:
    """AUROC and balanced accuracy of a judge that says, of passages and of the same passages after an edit, whether they fire.

    Passages run up to the first word of a context on which the feature fires; code makes small edits of their last tokens (see
    `tools/pairs.py`), and the model says which silence it: a peak above the threshold before, none after. Of both sorts equally
    many are asked about, spread over the contexts. The judge reads every passage by itself, in a shuffled order, and is told
    neither what was edited nor what came of it. AUROC is about the fall of its probability from original to edit, silencing
    against harmless edits, so that what it thinks of a passage as such does not count; balanced accuracy is about its
    yes or no on the edited passages. Intervals resample documents, and are no narrower than those in closed form.

    Source: the counterfactual simulatability of explanations (Doshi-Velez and Kim 2017; Chen et al. 2023), for features.
    """
    questions = await draw_pairs(exam, laboratory, sizes or Sizes())
    if questions.unscored:
        return unscored(NAMES, questions.unscored)
    originals, pairs = questions.originals, questions.pairs
    passages = [*originals, *(pair.edited for pair in pairs)]
    order = np.random.default_rng([exam.seed, exam.feature, 12]).permutation(len(passages))
    replies = await reader.detect(claim, [passages[i] for i in order], step)
    answers = [checked(replies[i]) for i in np.argsort(order)]
    return score(questions, answers, exam.seed, exam.feature)


def score(questions: Questions, answers: Sequence[Answer], seed: int, feature: int) -> list[Measure]:
    """Both figures from the answers about the originals, then the edited passages. A pair with an unread answer is left out."""
    first = len(questions.originals)
    before = [answers[pair.original].value for pair in questions.pairs]
    after = [answer.value for answer in answers[first:]]
    read = [i for i, both in enumerate(zip(before, after, strict=True)) if None not in both]
    silenced = np.array([questions.pairs[i].silenced for i in read], bool)
    if min(silenced.sum(), (~silenced).sum()) < FEWEST:
        return unscored(NAMES, f"too few readable answers: {unreadable(answers)}")
    was = np.array([before[i] for i in read], np.float64)
    now = np.array([after[i] for i in read], np.float64)
    document = np.array([questions.documents[questions.pairs[i].original] for i in read])
    weak = sum(questions.pairs[i].weak for i in read)
    flags = remarks(answers)
    if weak:
        flags += (f"{weak} of {int(silenced.sum())} silencing edits leave it weakly active",)
    return figures(silenced, was, now, document, seed, feature, flags)


def figures(
    silenced: Bool[NDArray[np.bool_], " edits"],
    before: Float[NDArray[np.float64], " edits"],
    after: Float[NDArray[np.float64], " edits"],
    document: Int[NDArray[np.int64], " edits"],
    seed: int,
    feature: int,
    flags: tuple[str, ...] = (),
) -> list[Measure]:
    """AUROC of the fall `before - after`, and balanced accuracy of `after` > 0.5, from probabilities of firing."""
    _, cluster = np.unique(document, return_inverse=True)
    documents = int(cluster.max()) + 1
    drawn = multiplicities(documents, np.random.default_rng([seed, feature, 11]))
    if np.ptp(after) == 0:
        flags = (CONSTANT, *flags)
    fall, fires = before - after, after > PREDICTS
    n = len(silenced)
    positives, negatives = int(silenced.sum()), int((~silenced).sum())
    value = auroc(silenced, fall)
    rates = mean_of_rates((float(fires[~silenced].sum()), negatives), (float((~fires[silenced]).sum()), positives))
    return [
        measured(
            NAMES[0],
            value,
            auroc_draws(silenced, fall, cluster, drawn),
            n,
            documents,
            flags,
            auroc_interval(value, positives, negatives),
        ),
        measured(
            NAMES[1],
            balanced_accuracy(~silenced, fires),
            balanced_accuracy_draws(~silenced, fires, cluster, drawn),
            n,
            documents,
            flags,
            rates,
        ),
    ]


async def draw_pairs(exam: Exam, laboratory: Laboratory, sizes: Sizes) -> Questions:
    """The passages and edits of a feature: the same for every judge and contestant."""
    rows = _contexts(exam, sizes.contexts)
    to_word = [_passage(exam, int(row), sizes.before, False) for row in rows]
    to_end = [_passage(exam, int(row), sizes.before, True) for row in rows]
    peaks = np.array(await _peaks(exam, laboratory, [*to_word, *to_end])).reshape(2, -1)
    which = np.flatnonzero(peaks.max(0) > exam.threshold).tolist()
    originals = [to_word[i] if peaks[0, i] > exam.threshold else to_end[i] for i in which]
    documents = exam.tokens.document[rows[which]].tolist()
    tried = []
    for number, original in enumerate(originals):
        altered = await laboratory.alter(exam.feature, original, sizes.edits, exam.seed)
        tried += [(number, edit) for edit in altered]
    after = await _peaks(exam, laboratory, [edit.passage for _, edit in tried])
    pairs = [
        Pair(number, edit.passage, edit.done, bool(peak <= exam.threshold), bool(0 < peak <= exam.threshold))
        for (number, edit), peak in zip(tried, after, strict=True)
    ]
    silencing, harmless = ([pair for pair in pairs if pair.silenced is sort] for sort in (True, False))
    for sort, found in (("silencing", silencing), ("harmless", harmless)):
        if len(found) < FEWEST:
            return Questions([], [], [], f"too few {sort} edits ({len(found)}, at least {FEWEST} are needed)")
    each = min(len(silencing), len(harmless), sizes.asked)
    return _used(originals, documents, [*_spread(silencing, each), *_spread(harmless, each)])


def _contexts(exam: Exam, most: int) -> Rows:
    """Contexts in which the feature fires, of every strength, no two of one document."""
    rows = exam.sample.fires.rows[exam.sample.fires.truth]
    rows = np.random.default_rng([exam.seed, exam.feature, 13]).permutation(rows)
    _, first = np.unique(exam.tokens.document[rows], return_index=True)
    return np.asarray(rows[np.sort(first)][:most], np.int64)


def _passage(exam: Exam, row: int, before: int, run: bool) -> Passage:
    """The context up to the end of the word that holds its first firing token, or to that of the run of firing tokens."""
    at = slice(int(exam.tokens.starts[row]), int(exam.tokens.starts[row + 1]))
    whole, fires = exam.passage(row), exam.real[at] > exam.threshold
    place = int(fires.argmax())
    end = place + 1
    while run and end < min(len(fires), place + _RUN) and fires[end]:
        end += 1
    while end < len(fires) and whole.strings[end][:1].isalnum() and whole.strings[end - 1][-1:].isalnum():
        end += 1
    start = max(0, place + 1 - before)
    while start and start < place and whole.strings[start][:1].isalnum():
        start += 1  # a word cut in two would be another text to the tokenizer
    return Passage(whole.strings[start:end], whole.ids[start:end])


async def _peaks(exam: Exam, laboratory: Laboratory, passages: Sequence[Passage]) -> list[float]:
    values = await laboratory.activations(exam.feature, passages)
    return [float(row.max(initial=0)) for row in values]


def _spread(pairs: Sequence[Pair], n: int) -> list[Pair]:
    """n of the pairs, one of each original in turn."""
    queues: dict[int, list[Pair]] = defaultdict(list)
    for pair in pairs:
        queues[pair.original].append(pair)
    turns = sorted((turn, number, pair) for number, queue in queues.items() for turn, pair in enumerate(queue))
    return [pair for _, _, pair in turns[:n]]


def _used(originals: Sequence[Passage], documents: Sequence[int], pairs: Sequence[Pair]) -> Questions:
    """Without the originals that no pair needs."""
    needed = sorted({pair.original for pair in pairs})
    place = {old: new for new, old in enumerate(needed)}
    return Questions(
        [originals[i] for i in needed],
        [documents[i] for i in needed],
        [pair._replace(original=place[pair.original]) for pair in pairs],
    )
