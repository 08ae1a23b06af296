"""All figures of one contestant on one feature's sample."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from dragoman.store.tokens import TokenTable

from . import detection, simulation
from .exam import Exam
from .measure import Measure, unscored
from .sample import Rows, token_index


class Contestant(Protocol):
    """Whoever predicts a feature: a judge that reads a label, or a control."""

    def simulate(self, tokens: TokenTable, rows: Rows) -> Float[NDArray[np.float32], " tokens"]:
        """Predicted activation at every token of the contexts, concatenated, as a share of the train maximum."""
        ...

    def detect(self, tokens: TokenTable, rows: Rows) -> Float[NDArray[np.float32], " contexts"]:
        """Probability that the feature fires somewhere in each context."""
        ...


def evaluate(contestant: Contestant, exam: Exam) -> list[Measure]:
    """Simulation and detection of one contestant."""
    measures = simulate(contestant, exam)
    for part, names in ((exam.sample.fires, detection.FIRES), (exam.sample.active, detection.ACTIVE)):
        if exam.dense:
            measures += unscored(names, "dense")
            continue
        refused = detection.too_few(part) is not None
        probability = np.zeros(len(part.rows), np.float32) if refused else contestant.detect(exam.tokens, part.rows)
        measures += detection.score(part, probability, exam.tokens.document[part.rows], names, exam.seed, exam.feature)
    return measures


def simulate(contestant: Contestant, exam: Exam) -> list[Measure]:
    """The weighted headline and the 1 : 1 figure, from one prediction of all contexts that either needs."""
    tokens, part = exam.tokens, exam.sample.simulation
    every = np.unique(np.concatenate([part.rows, part.top_random]))
    predicted = np.zeros(len(tokens.ids), np.float32)
    predicted[token_index(tokens, every)] = contestant.simulate(tokens, every)
    measures = []
    for name, rows, weight in (
        (simulation.NAMES[0], part.rows, part.weight),
        (simulation.NAMES[1], part.top_random, np.ones(len(part.top_random))),
    ):
        index = token_index(tokens, rows)
        lengths = tokens.starts[rows + 1] - tokens.starts[rows]
        measures.append(
            simulation.score(
                name,
                predicted[index],
                exam.real[index],
                np.repeat(weight, lengths),
                np.repeat(tokens.document[rows], lengths),
                len(rows),
                exam.seed,
                exam.feature,
            )
        )
    return measures
