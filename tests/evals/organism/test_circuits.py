"""Circuits: halves that share no document, figures against plain forward passes, and chosen heads that beat random ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dragoman.evals.organism import circuits
from dragoman.evals.organism.circuits import CONTROLS, TASKS, measure, predictions, table
from dragoman.evals.organism.corpus import generate
from dragoman.evals.organism.load import corpus_documents, organism_paths
from dragoman.tools.dictionaries import load
from dragoman.tools.interventions import heads
from dragoman.tools.subject import Subject


@pytest.fixture(scope="module")
def subject() -> Subject:
    """The shipped organism."""
    return Subject.load(organism_paths().model, "cpu")


def test_probes_and_predictions(subject: Subject) -> None:
    first, second = circuits._halves(subject, corpus_documents(120, seed=5), 12)
    seen = [{tuple(ids.tolist()) for asked in half.values() for ids in asked.ids} for half in (first, second)]
    assert seen[0] and seen[1] and not seen[0] & seen[1], "no prompt may stand in both halves"
    assert all(len(asked.ids) <= 4 for asked in first.values()) and all(len(asked.ids) <= 12 for asked in second.values())
    for task, asked in second.items():
        assert task in (*TASKS, *CONTROLS)
        edit = heads(subject, 1, [0])
        clean, edited = predictions(subject, asked, []), predictions(subject, asked, [edit])
        for row, ids in enumerate(asked.ids):
            expected = torch.log_softmax(subject.logits(torch.from_numpy(ids)[None])[0, -1], -1)
            torch.testing.assert_close(clean[row], expected, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(clean, edited, atol=1e-2)
    right = circuits._Half(subject, {task: circuits._right(subject, asked) for task, asked in second.items()})
    for task, asked in right.asked.items():
        figure = right.figure(task, [])
        assert figure.accuracy == 1 and figure.kl == 0
        logp = predictions(subject, asked, [])
        margins = [
            float(row[a] - row[list(r)].mean()) for row, a, r in zip(logp, asked.answers.tolist(), asked.rivals, strict=True)
        ]
        assert figure.margin == pytest.approx(np.mean(margins))


@pytest.mark.slow
def test_chosen_heads_matter_more_than_random_ones(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuits, "_TRIED", 4)
    dictionary = load(f"sae={organism_paths().sae}", subject)
    found = measure(subject, dictionary, corpus_documents(300, seed=5), generate(5, 15, split="train"), limit=10)
    figures = {(row.name, figure.task): figure for row in found.ablations for figure in row.figures}
    assert figures["none", "induction"].kl == 0
    chosen, random = figures["heads for induction", "induction"], figures["3 random heads", "induction"]
    # Heads are chosen by the margin they take; on so few questions the share of right answers says little.
    assert chosen.margin < random.margin
    assert "heads for induction" in str(table(found).columns[0]._cells)
