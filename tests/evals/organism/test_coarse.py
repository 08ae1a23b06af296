"""A coarse dictionary's feature and its pieces: figures against counts in plain Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse

from dragoman.evals.organism.coarse import _f1, _training, kinds_table, measure, table
from dragoman.evals.organism.concepts import ANCESTORS, CONCEPTS
from dragoman.evals.organism.corpus import document
from dragoman.evals.organism.load import corpus_documents, organism_paths
from dragoman.store.errors import UserError
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


@pytest.mark.slow
def test_kinds_in_a_coarse_dictionary_that_is_trained_too() -> None:
    subject = Subject.load(organism_paths().model, "cpu")
    coarse, fine = Settings(features=32, k=4, tokens=20_000, batch=512), Settings(features=96, k=8, tokens=20_000, batch=512)
    documents = corpus_documents(150, 3)
    found = measure(subject, coarse, documents, hook="resid_post.0", settings=fine, training=200, share=0.5)
    assert found.splitting.feature.startswith("coarse/") and kinds_table(found).row_count == len(found.best)
    assert {one.concept for one in found.best} == {name for name in CONCEPTS if "bird" in ANCESTORS[name] and name != "bird"}
    assert [one.fine_f1 for one in found.best] == sorted((one.fine_f1 for one in found.best), reverse=True)
    assert all(0 <= f1 <= 1 for one in found.best for f1 in (one.coarse_f1, one.fine_f1, one.inside))
    odd = [document for n, document in enumerate(documents) if n % 2]
    carrying = sum(span.concept == "bird.owl" for document in odd for span in document.spans)
    assert carrying <= next(one.tokens for one in found.best if one.concept == "bird.owl") <= 4 * carrying


def test_a_concept_without_kinds_is_refused() -> None:
    subject = Subject.load(organism_paths().model, "cpu")
    with pytest.raises(UserError, match=r"'bird\.owl' has no kinds"):
        measure(subject, Settings(), [], hook="resid_post.0", concept="bird.owl")


def test_documents_with_a_concept_are_a_share_of_the_training_text() -> None:
    half = _training(5, 60, "bird", 0.5)
    assert half == _training(5, 60, "bird", 0.5) and len(half) == 60
    numbers = [int(str(one.source).partition(":")[2]) for one in half]
    assert numbers == sorted(set(numbers))
    holding = [any(s.concept == "bird" for s in document(5, n, split="train").spans) for n in numbers]
    assert 30 <= sum(holding) <= 31
    assert [one.source for one in _training(5, 4, "bird", None)] == [f"5:{n}" for n in range(4)]
