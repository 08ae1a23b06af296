"""How far a judge can come that knows the truth: features named by the organism's own concepts, judged by their spans.

On a feature that is a concept such a judge scores 1 (tests/evals/scorers). A dictionary's features are not concepts, so that even
a perfect name and a perfect judge miss what the feature does besides. `DRAGOMAN_BENCH=full` measures 500 live features and writes
docs/benchmarks/ceiling.md; nothing about the height of the ceiling is asserted.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from dragoman.evals.controls import derangement
from dragoman.evals.exams import Examiner
from dragoman.evals.judge.reader import Chosen, Passage, Step
from dragoman.evals.judge.scripted import Knowing
from dragoman.evals.organism.load import corpus_documents, organism_paths
from dragoman.evals.scorers import collision, detection, fuzzing, simulation
from dragoman.evals.scorers.exam import Exam
from dragoman.evals.scorers.measure import Measure
from dragoman.evals.scorers.sample import Sizes
from dragoman.evals.statistics import median_interval
from dragoman.store.tokens import TokenTable
from dragoman.tools.harvest import harvest
from tests.support.concepts import NAMES, Named, carried, names_of

FULL = os.environ.get("DRAGOMAN_BENCH") == "full"
DOCUMENTS, FEATURES = (3000, 500) if FULL else (400, 12)
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks" / "ceiling.md"
SHOWN = ("detection.auroc", "detection.balanced_accuracy", "fuzzing.auroc", "simulation.r", "collision.accuracy")
Rows = list[tuple[Named, str, Measure]]
"""Every figure of every feature, with the contestant's name."""
BANDS = ((0.8, 1.01), (0.5, 0.8), (0.0, 0.5))


@pytest.mark.benchmark
@pytest.mark.slow
def test_the_ceiling_of_a_judge_that_knows_the_concepts(tmp_path: Path) -> None:
    documents = corpus_documents(DOCUMENTS)
    text = tmp_path / "corpus.jsonl"
    text.write_text("".join(json.dumps({"text": document.text}) + "\n" for document in documents))
    paths = organism_paths()
    by_text = {document.text: document for document in documents}
    with harvest(tmp_path / "store", str(paths.model), [str(paths.sae)], str(text), progress=False) as store:
        named = names_of(store, by_text)
        best = sorted(named, key=lambda one: -one.f1)[:FEATURES]
        chosen = [named[i] for i in np.random.default_rng(0).permutation(len(named))[:FEATURES]] if FULL else best
        reader = Oracle(store.tokens("test"), carried(store, "test", by_text))
        examiner = Examiner(store, 0, Sizes(), rivals=8)
        other = derangement([one.feature for one in named], 0)
        concept = {one.feature: one.concept for one in named}
        rows: Rows = []
        for one in chosen:
            exam = examiner.exam(one.feature)
            for contestant, claim in (("concept", one.concept), ("another feature's", concept[other[one.feature]])):
                for measure in asyncio.run(asked(reader, NAMES[claim], exam)):
                    rows.append((one, contestant, measure))
    ours, theirs = (values(rows, contestant, "detection.auroc") for contestant in ("concept", "another feature's"))
    if FULL:
        PAGE.write_text(page(rows, len(chosen)))
    assert len(ours) > len(chosen) / 2 and np.median(ours) > np.median(theirs)


async def asked(reader: Oracle, claim: str, exam: Exam) -> list[Measure]:
    """Detection, fuzzing, simulation and collision."""
    step = Step(exam.feature, "ceiling")
    found = await detection.ask(reader, claim, exam, step) + await fuzzing.ask(reader, claim, exam, step)
    return found + await simulation.ask(reader, claim, exam, step) + await collision.ask(reader, claim, exam, step)


class Oracle(Knowing):
    """Knows on which tokens of the test split a concept lies."""

    def __init__(self, tokens: TokenTable, carries: csr_matrix) -> None:
        self.rows = {tokens.text(row): row for row in range(tokens.n_contexts)}
        self.tokens, self.carries = tokens, carries.tocsc()
        self.columns: dict[str, NDArray[np.float32]] = {}
        super().__init__(self._values)

    def _values(self, claim: str, passage: Passage) -> Sequence[float]:
        row = self.rows[passage.text]
        values: list[float] = self._column(claim)[self.tokens.starts[row] : self.tokens.starts[row + 1]].tolist()
        return values

    def _column(self, claim: str) -> NDArray[np.float32]:
        if claim not in self.columns:
            self.columns = {claim: self.carries[:, [NAMES.index(claim)]].toarray().ravel().astype(np.float32)}
        return self.columns[claim]

    async def choose(self, claim: str, task: Literal["passage", "continuations"], options: Sequence[str], step: Step) -> Chosen:
        """The text of which the largest share of the highlighted tokens carries the concept."""
        shares = np.array([self._share(claim, option) for option in options])
        best = (shares == shares.max()).astype(float)
        return Chosen(tuple((best / best.sum()).tolist()), "scripted")

    def _share(self, claim: str, option: str) -> float:
        pieces = re.split(r"(<<|>>)", option)
        text, marked, on = "", [], False
        for piece in pieces:
            if piece in ("<<", ">>"):
                on = piece == "<<"
                continue
            marked += [on] * len(piece)
            text += piece
        row = self.rows.get(text)
        if row is None:  # a text that holds << or >> itself
            return 0.0
        strings = self.tokens.strings(row)
        ends = np.cumsum([len(string) for string in strings])
        here = [i for i, (end, s) in enumerate(zip(ends, strings, strict=True)) if s and all(marked[end - len(s) : end])]
        return float(np.mean(np.asarray(self._values(claim, Passage(tuple(strings))))[here])) if here else 0.0


def values(rows: Rows, contestant: str, scorer: str, low: float = 0, high: float = 2) -> NDArray[np.float64]:
    """Scores of features whose F1 lies in a band."""
    found = [m.value for one, who, m in rows if who == contestant and m.scorer == scorer and low <= one.f1 < high]
    return np.array([value for value in found if value is not None], np.float64)


def page(rows: Rows, features: int) -> str:
    """The table for the docs."""
    lines = [
        "# The ceiling of a judge that knows the truth",
        "",
        f"{features:,} live features of the shipped dictionary, drawn at random, {DOCUMENTS:,} documents. Each is named by the",
        "concept of the generator (or the concept that comes next) that fits its firing best on validation, F1 per token,",
        "and the judge knows on which tokens of the test split that concept lies: nothing is lost in words or in reading.",
        "What is missing to 1 is what the feature does besides its concept. The control is another feature's concept.",
        "Medians over features with 95 % bootstrap intervals; collision's chance is .25. Written by `make bench`",
        "(tests/benchmarks/test_ceiling.py).",
        "",
        "| F1 of the concept | score | its concept | another feature's concept | features |",
        "|---|---|---|---|---|",
    ]
    for low, high in (*BANDS, (0.0, 1.01)):
        band = "all" if (low, high) == (0.0, 1.01) else f"{low:.1f} to {min(high, 1):.1f}"
        for scorer in SHOWN:
            both = [values(rows, who, scorer, low, high) for who in ("concept", "another feature's")]
            ours, theirs = (median_interval(found, np.random.default_rng(0)) for found in both)
            cells = (f"{i.value:.3f} {i.text()}" if i.n else "-" for i in (ours, theirs))
            lines.append(f"| {band} | {scorer} | {' | '.join(cells)} | {ours.n} |")
    return "\n".join(lines) + "\n"
