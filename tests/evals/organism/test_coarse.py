"""A coarse dictionary's feature and its pieces: figures against counts in plain Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse

from dragoman.evals.organism.coarse import _f1, measure, table
from dragoman.evals.organism.load import corpus_documents, organism_paths
from dragoman.tools.dictionaries import load
from dragoman.tools.subject import Subject
from dragoman.tools.training.settings import Settings


def test_f1_per_token() -> None:
    random = np.random.default_rng(0)
    fires, carries = random.random((200, 5)) < 0.3, random.random((200, 1)) < 0.2
    expected = []
    for feature in range(5):
        hits = int((fires[:, feature] & carries[:, 0]).sum())
        precision, recall = hits / fires[:, feature].sum(), hits / carries.sum()
        expected.append(2 * precision * recall / (precision + recall))
    matrices: Any = (scipy.sparse.csc_matrix(x.astype(np.int32)) for x in (fires, carries))
    assert _f1(*matrices) == pytest.approx(expected)


@pytest.mark.slow
def test_pieces_of_a_coarse_feature() -> None:
    subject = Subject.load(organism_paths().model, "cpu")
    coarse = load(f"sae={organism_paths().sae}", subject)
    settings = Settings(features=96, k=8, tokens=30_000, batch=1024)
    found = measure(subject, coarse, corpus_documents(150, 3), settings=settings, training=400)
    assert 0 < found.f1 <= 1 and found.splitting.feature.startswith("sae/")
    assert [k.feature for k in found.kinds] == [p.feature for p in found.splitting.pieces]
    assert all(k.concept.startswith("bird.") and 0 <= k.f1 <= 1 for k in found.kinds)
    assert all(p.exclusivity >= 0.5 for p in found.splitting.pieces) and 0 <= found.splitting.coverage <= 1
    assert table(found).row_count == len(found.kinds)
