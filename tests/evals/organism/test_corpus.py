"""Tests of the generated corpus."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter

import pytest

from dragoman.evals.organism import corpus
from dragoman.evals.organism.concepts import CONCEPTS
from dragoman.evals.organism.document import Document

DIGEST = """
import hashlib
from dragoman.evals.organism import corpus
print(hashlib.sha256("".join(repr(one) for one in corpus.generate(3, 200, split="held_out")).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def train() -> list[Document]:
    """Three thousand training documents."""
    return list(corpus.generate(0, 3000, split="train"))


@pytest.fixture(scope="module")
def held_out() -> list[Document]:
    """Three thousand held-out documents."""
    return list(corpus.generate(0, 3000, split="held_out"))


def test_documents_are_the_same_in_every_process() -> None:
    here = hashlib.sha256("".join(repr(one) for one in corpus.generate(3, 200, split="held_out")).encode()).hexdigest()
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", DIGEST], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        assert run.stdout.strip() == here


def test_a_document_depends_on_its_number_alone() -> None:
    assert list(corpus.generate(5, 20, split="train"))[17] == corpus.document(5, 17, split="train")


def test_splits_and_seeds_share_no_document(train: list[Document], held_out: list[Document]) -> None:
    texts = [{one.text for one in documents} for documents in (train, held_out, corpus.generate(1, 3000, split="train"))]
    assert not texts[0] & texts[1] and not texts[0] & texts[2] and not texts[1] & texts[2]


def test_spans_and_probes_lie_inside_the_text(held_out: list[Document]) -> None:
    for one in held_out:
        assert "\n\n" not in one.text and one.text == one.text.strip()
        for span in one.spans:
            assert 0 <= span.start < span.end <= len(one.text)
            assert span.concept in CONCEPTS
        for probe in one.probes:
            assert one.text.startswith(probe.answer, probe.at), probe
            assert probe.answer not in probe.rivals
            assert len(set(probe.rivals)) == len(probe.rivals) > 0
            assert probe.at == 0 or probe.answer[0].isdigit() or one.text[probe.at - 1] != " ", probe


@pytest.mark.slow
def test_every_concept_is_described_and_occurs() -> None:
    occurring = Counter(
        concept for one in corpus.generate(7, 5000, split="train") for concept in {span.concept for span in one.spans}
    )
    rare = {name: occurring[name] for name in CONCEPTS if occurring[name] < 30}
    assert not rare
    for name, concept in CONCEPTS.items():
        assert concept.name == name
        assert len(concept.description.split()) >= 2, name
        assert concept.parent is None or concept.parent in CONCEPTS
    assert len({concept.description for concept in CONCEPTS.values()}) == len(CONCEPTS)


def test_a_concept_holds_wherever_its_parts_do(held_out: list[Document]) -> None:
    for one in held_out[:500]:
        spans = {(span.start, span.end, span.concept) for span in one.spans}
        for start, end, concept in spans:
            parent = CONCEPTS[concept].parent
            assert parent is None or (start, end, parent) in spans
