"""Embedding: are the texts on which the feature fires nearer to the explanation than silent ones?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from .detection import too_few, two_classes
from .encoder import Encoder
from .exam import Exam
from .measure import Measure, unscored

NAMES = ("embedding.auroc",)


async def ask(encoder: Encoder, claim: str, exam: Exam) -> list[Measure]:
    """AUROC of the cosine between the claim, as a query, and each context of the detection sample, as a document.

    No judge reads anything: it is cheap and blind to all that the encoder does not know. The interval resamples documents and
    reaches at least as far as the score interval. Source: the embedding score of Paulo et al., Automatically Interpreting
    Millions of Features (2024), with negatives of which half are near misses.
    """
    sample = exam.sample.fires
    refused = "dense" if exam.dense else too_few(sample)
    if refused:
        return unscored(NAMES, refused)
    texts = [exam.passage(int(row)).text for row in sample.rows]
    similarity = await asyncio.to_thread(cosines, encoder, claim, texts)
    flags = (f"encoder {encoder.name}",) if sample.near_misses else (f"encoder {encoder.name}", "no near misses")
    document = exam.tokens.document[sample.rows]
    return two_classes(sample.truth, similarity, document, (NAMES[0], ""), exam.seed, exam.feature, flags)[:1]


def cosines(encoder: Encoder, claim: str, texts: Sequence[str]) -> Float[NDArray[np.float64], " texts"]:
    """Cosine of the claim with each text; 0 for a vector of zeros."""
    vectors = np.asarray(encoder.encode([claim, *texts]), np.float64)
    lengths = np.linalg.norm(vectors, axis=1)
    return np.asarray(vectors[1:] @ vectors[0] / np.maximum(lengths[1:] * lengths[0], 1e-30))
