"""Embedding: the real encoder, and the figure against a plain computation."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from dragoman.evals.organism.concepts import CONCEPTS
from dragoman.evals.scorers import embedding, encoder
from dragoman.store.errors import UserError

from .planted import exam
from .world import world


@cache
def loaded() -> encoder.SentenceEncoder:
    return encoder.SentenceEncoder()


class Counts:
    """A text as counts of its first letters."""

    name = "counts"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([[text.count(word) for word in ("t3 ", "t5 ", "t7 ", "t8 ")] for text in texts], np.float32)


def test_the_figure_is_the_auroc_of_the_cosine() -> None:
    made = exam()
    (area,) = asyncio.run(embedding.ask(Counts(), "t5 t3 ", made))
    sample = made.sample.fires
    vectors = np.array([[list(made.passage(int(row)).ids).count(i) for i in (3, 5, 7, 8)] for row in sample.rows], float)
    norms = np.sqrt((vectors**2).sum(1))
    cosine = np.array([v @ np.array([1, 1, 0, 0]) / (n * np.sqrt(2)) if n else 0.0 for v, n in zip(vectors, norms, strict=True)])
    cosine = np.round(cosine, 6)
    u = stats.mannwhitneyu(cosine[sample.truth], cosine[~sample.truth], method="asymptotic").statistic
    assert area.value == pytest.approx(u / (sample.truth.sum() * (~sample.truth).sum()), abs=0.01)
    assert area.flags == ("encoder counts",) and area.n == len(sample.rows) and area.scorer == "embedding.auroc"
    assert asyncio.run(embedding.ask(Counts(), "t5", exam(dense=True)))[0].unscored == "dense"
    constant = asyncio.run(embedding.ask(Counts(), "nothing", made))[0]
    assert constant.value == 0.5 and "constant prediction" in constant.flags


@pytest.mark.slow
def test_the_encoder_equals_the_library_it_comes_from() -> None:
    """Mean pooling and scaling, by transformers alone, against sentence-transformers on the same weights."""
    from sentence_transformers import SentenceTransformer

    folder = Path(str(importlib.util.find_spec(encoder.PACKAGE).origin)).parent / "model"  # type: ignore[union-attr]
    texts = ["A robin sat on the roof.", "x", "The price of bread rose in March. " * 40, "", "rouge-gorge «é»"]
    reference = SentenceTransformer(str(folder), local_files_only=True).encode(texts, normalize_embeddings=True)
    found = loaded().encode(texts)
    assert found.shape == (5, 384) and np.allclose(found, reference, atol=1e-5)
    assert np.array_equal(loaded().encode(texts[::-1]), found[::-1]), "kept vectors come in the order asked for"


@pytest.mark.slow
def test_true_explanations_of_topics_are_nearer_than_others() -> None:
    table = []
    for concept, other in (("month", "colour"), ("weekday", "surname")):
        made = world().exam(concept)
        own, shuffled = (
            asyncio.run(embedding.ask(loaded(), CONCEPTS[name].description, made))[0].value for name in (concept, other)
        )
        table.append((own, shuffled))
    own_mean, shuffled_mean = np.mean(np.array(table, float), axis=0)
    assert own_mean > 0.65 and own_mean > shuffled_mean + 0.1


def test_a_missing_encoder_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no sentence encoder in"):
        encoder.SentenceEncoder(tmp_path)
    monkeypatch.setattr(encoder, "PACKAGE", "no_such_package_here")
    with pytest.raises(UserError, match=r'pip install "dragoman\[embed\]"'):
        encoder.SentenceEncoder()
