"""Intervention: which of several steered continuations belongs to this label?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from dragoman.evals.judge.concurrency import together
from dragoman.evals.judge.reader import Chosen, Passage, Reader, Step
from dragoman.evals.statistics import wilson
from dragoman.store.errors import UserError
from dragoman.store.records import Label
from dragoman.store.tokens import TokenTable

from .asked import gather, parted, remarks, unreadable, within
from .collision import checked, credit
from .exam import Exam
from .laboratory import Laboratory, Steer
from .measure import CONSTANT, FEWEST, Measure, unscored

NAMES = ("intervention.accuracy", "intervention.control")
"""The score, and the same question where a random direction of equal norm stands in the feature's place."""
Claim = Literal["output claim", "description"]
"""What a judge was given to read."""
SIZE = 8
"""Questions in a batch."""


@dataclass(frozen=True)
class Sizes:
    """How much is asked."""

    questions: int = 16
    """Questions, each with prompts of its own."""
    texts: int = 3
    """Continuations in an option; all options of a question continue the same prompts."""
    options: int = 4
    """Options of a question: the feature, a random direction, and other live features."""
    prefix: int = 12
    """Tokens of a prompt: the beginning of a context of the split."""
    tokens: int = 16
    """Tokens of a continuation."""
    kl: float = 1.0
    """Mean KL(clean || steered) of the next token after a prompt to which every option's strength is tuned, in nats."""
    rivals: int = 12
    """Other features that stand beside any feature of the store; one seed draws the same ones for all."""
    directions: int = 4
    """Random directions of each sort."""


class Question(NamedTuple):
    """Options in the order in which they are shown."""

    options: tuple[str, ...]
    """Continuations, one a line."""
    right: int
    """Which one belongs to the target."""


def ask_about(label: Label) -> tuple[str, Claim]:
    """What a label says that its feature makes the model say; its description where it says nothing of that."""
    return (label.output_claim, "output claim") if label.output_claim else (label.description, "description")


async def ask(
    reader: Reader,
    claim: str,
    exam: Exam,
    laboratory: Laboratory,
    step: Step,
    read: Claim = "description",
    sizes: Sizes | None = None,
    width: float | None = None,
    size: int = SIZE,
) -> list[Measure]:
    """Accuracy of a judge that is shown continuations of the same prompts and chooses those that fit the claim.

    A question holds `options` sets of continuations of the same prompts, which are beginnings of contexts of the split: one
    steered by the feature, one by a random direction, the others by live features that are no near neighbours. All are tuned
    to the same KL, so that none stands out by being broken more than the others. Their order is permuted from the seed.
    Accuracy is the share of right choices, a tie counting in parts, with Wilson's interval; chance is 1 / options. The control
    asks the same questions with a random direction of the feature's norm as the target: a judge that reads the claim has
    nothing to find there, and whoever is above chance in it chose by something else than what the feature says. With `width`,
    asking ends once Wilson's interval is no wider.

    Source: the output side of Gur-Arieh et al., Enhancing Automated Interpretability with Output-Centric Feature Descriptions
    (2025), with a random direction among the options, every option at one KL, and a control.
    """
    sizes = sizes or Sizes()
    prompts = draw_prompts(exam.tokens, sizes, exam.seed)
    rivals = draw_rivals(exam, laboratory.rivals, sizes)
    if len(prompts) < FEWEST * sizes.texts:
        return unscored(NAMES, f"too few contexts to begin from ({len(prompts)}, at least {FEWEST * sizes.texts} are needed)")
    if len(rivals) < sizes.options - 2:
        return unscored(NAMES, f"too few other live features ({len(rivals)}, at least {sizes.options - 2} are needed)")
    try:
        tuned = await laboratory.tune(exam.feature, prompts, sizes.kl)
        if tuned.kl < sizes.kl / 2:
            return unscored(NAMES, f"steering changes too little (KL {tuned.kl:.2g} nats at strength {tuned.strength:.3g})")
        wrote = _Continued(laboratory, prompts, sizes, exam.seed)
        main, control = await _questions(exam, wrote, rivals, tuned.strength, sizes)
    except UserError as error:  # about this feature or its rivals: the others may well be steered
        return unscored(NAMES, f"not to be steered: {error}")
    flags = [f"read from the {read}", f"chance 1/{sizes.options}", f"KL {tuned.kl:.2g} nats at strength {tuned.strength:.2g}"]
    rng = np.random.default_rng([exam.seed, exam.feature, 14])
    measures = []
    for name, questions in zip(NAMES, (main, control), strict=True):
        where = within(step, name.rpartition(".")[2])
        answers = await _answers(reader, claim, questions, where, rng, width, size)
        measures.append(score(name, questions, answers, tuple(flags)))
    return measures


def score(name: str, questions: Sequence[Question], answers: Sequence[Chosen | None], flags: tuple[str, ...] = ()) -> Measure:
    """Share of questions whose likeliest option is the right one; where m options tie with it, 1 / m."""
    read = [(q.right, a.probabilities) for q, a in zip(questions, answers, strict=True) if a is not None and a.probabilities]
    if len(read) < FEWEST:
        return unscored((name,), f"too few readable answers: {unreadable(answers)}")[0]
    table = np.array([probabilities for _, probabilities in read], np.float64)
    hits = credit(table, table[np.arange(len(read)), [right for right, _ in read]])
    if np.ptp(table, axis=0).max() == 0:
        flags = (*flags, CONSTANT)
    low, high = wilson(float(hits.sum()), len(hits))
    return Measure(name, float(hits.mean()), low, high, len(hits), None, (*flags, *remarks(answers)))


async def _answers(
    reader: Reader,
    claim: str,
    questions: Sequence[Question],
    step: Step,
    rng: np.random.Generator,
    width: float | None,
    size: int,
) -> list[Chosen | None]:
    async def put(batch: Int[NDArray[np.int64], " batch"], where: Step) -> list[Chosen]:
        asking = (reader.choose(claim, "continuations", questions[i].options, within(where, int(i))) for i in batch)
        found = await together(asking)
        return [checked(chosen, len(questions[i].options)) for chosen, i in zip(found, batch, strict=True)]

    def look(answers: Sequence[Chosen | None]) -> tuple[float | None, float | None]:
        so_far = score("", questions, answers)
        return so_far.low, so_far.high

    return await gather(parted(np.zeros(len(questions), np.int64), rng, width, size), put, look, step, width)


def draw_prompts(tokens: TokenTable, sizes: Sizes, seed: int) -> list[Passage]:
    """Beginnings of contexts of the split, no two of one document, the same for every feature."""
    random = np.random.default_rng([seed, 7])
    lengths = np.diff(tokens.starts)
    rows = random.permutation(np.flatnonzero(lengths > sizes.prefix))
    _, first = np.unique(tokens.document[rows], return_index=True)
    found = []
    for row in rows[np.sort(first)][: sizes.questions * sizes.texts]:
        at = int(tokens.starts[row])
        strings = tokens.strings(int(row))[: sizes.prefix]
        found.append(Passage(tuple(strings), tuple(int(i) for i in tokens.ids[at : at + sizes.prefix])))
    return found


def draw_rivals(exam: Exam, live: Sequence[int], sizes: Sizes) -> list[int]:
    """The store's rivals, without the feature itself and its neighbours."""
    pool = np.random.default_rng([exam.seed, 8]).permutation(np.asarray(live, np.int64))[: sizes.rivals]
    near = {exam.feature, *(neighbour.feature for neighbour in exam.neighbours)}
    return [int(feature) for feature in pool if int(feature) not in near]


async def _questions(
    exam: Exam, wrote: _Continued, rivals: Sequence[int], strength: float, sizes: Sizes
) -> tuple[list[Question], list[Question]]:
    """The questions about the feature, and those about a random direction of its norm; both have the same distractors."""
    random = np.random.default_rng([exam.seed, exam.feature, 9])
    main, control = [], []
    for number in range(wrote.blocks):
        seed = 2 * (number % sizes.directions)
        others = random.choice(rivals, sizes.options - 2, replace=False)
        beside = [await wrote.tuned(int(rival), None, number) for rival in others]
        beside.append(await wrote.tuned(rivals[0], seed, number))
        target = await wrote.steered(Steer(exam.feature, strength), number)
        instead = await wrote.steered(Steer(exam.feature, strength, seed + 1), number)
        main.append(_permuted(target, beside, random))
        control.append(_permuted(instead, beside, random))
    return main, control


def _permuted(target: str, others: Sequence[str], random: np.random.Generator) -> Question:
    options = [target, *others]
    order = random.permutation(len(options))
    return Question(tuple(options[i] for i in order), int(np.flatnonzero(order == 0)[0]))


class _Continued:
    """What the model writes after the prompts of each question."""

    def __init__(self, laboratory: Laboratory, prompts: Sequence[Passage], sizes: Sizes, seed: int) -> None:
        self.laboratory, self.prompts, self.sizes, self.seed = laboratory, prompts, sizes, seed
        self.blocks = len(prompts) // sizes.texts
        self._texts: dict[Steer, list[str]] = {}

    async def tuned(self, feature: int, random: int | None, block: int) -> str:
        """An option steered to the KL that all share."""
        tuned = await self.laboratory.tune(feature, self.prompts, self.sizes.kl, random)
        return await self.steered(Steer(feature, tuned.strength, random), block)

    async def steered(self, steer: Steer, block: int) -> str:
        """An option: the continuations of one question's prompts, one a line."""
        if steer not in self._texts:
            self._texts[steer] = await self.laboratory.continuations(self.prompts, steer, self.sizes.tokens, self.seed)
        first = block * self.sizes.texts
        return "\n".join(_line(text) for text in self._texts[steer][first : first + self.sizes.texts])


def _line(text: str) -> str:
    return "…" + (" ".join(text.split()) or "(nothing)")
