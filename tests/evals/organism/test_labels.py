"""Token labels against a plain reading of the definition."""

from __future__ import annotations

import numpy as np

from dragoman.evals.organism.concepts import CONCEPTS
from dragoman.evals.organism.corpus import generate
from dragoman.evals.organism.document import Document, Span
from dragoman.evals.organism.labels import identity_concepts, label_tokens
from dragoman.evals.organism.tokenizer import train_tokenizer
from dragoman.evals.organism.tokens import tokenize

DOCUMENTS = list(generate(6, 40, split="held_out"))
TOKENIZER = train_tokenizer([d.text for d in DOCUMENTS], 700)


def test_labels_agree_with_the_definition_read_literally() -> None:
    items = list(tokenize(TOKENIZER, DOCUMENTS))
    names = tuple(CONCEPTS)
    labels = label_tokens(items, names)
    got = {(r, labels.concepts[c]) for r, c in zip(*labels.matrix.nonzero(), strict=True)}
    wanted, base = set(), 0
    for item in items:
        text = item.document.text
        cores = []
        for a, b in zip(item.starts.tolist(), item.ends.tolist(), strict=True):
            solid = [i for i in range(a, b) if not text[i].isspace()]
            cores.append(set(solid or range(a, b)))
        for span in item.document.spans:
            carrying = [t for t, core in enumerate(cores) if any(span.start <= i < span.end for i in core)]
            wanted |= {(base + t, span.concept) for t in carrying}
            if carrying and carrying[0] > 0:
                wanted.add((base + carrying[0] - 1, "next:" + span.concept))
        base += len(item.ids)
    assert got == wanted
    assert labels.matrix.shape == (base, 2 * len(names))
    assert len(labels.strings) == len(labels.document) == base


def test_a_word_is_an_identity_concept_and_a_sense_of_it_is_not() -> None:
    texts = ["a robin sat in the park", "Park the car, robin", "the robin and the finch", "they park here", "a finch"] * 8
    documents = []
    for text in texts:
        spans = [Span(i, i + 5, "bird.robin") for i in [text.find("robin")] if i >= 0]
        spans += [Span(i, i + 5, "bird") for w in ("robin", "finch") if (i := text.find(w)) >= 0]
        spans += [Span(i, i + 4, "park.place") for i in [text.find("park")] if i >= 0 and "the park" in text]
        documents.append(Document(text, "x", "x", tuple(spans)))
    items = list(tokenize(train_tokenizer(texts, 400), documents))
    labels = label_tokens(items, ("bird", "bird.robin", "park.place"))
    assert identity_concepts(items, labels) >= {"bird.robin"}
    assert not identity_concepts(items, labels) & {"bird", "park.place"}


def test_a_word_of_several_tokens_is_an_identity_concept_too() -> None:
    texts = ["the oystercatcher sang", "an oystercatcher flew", "an oyster and a catcher"] * 8
    documents = [
        Document(t, "x", "x", tuple(Span(i, i + 13, "kind") for i in [t.find("oystercatcher")] if i >= 0)) for t in texts
    ]
    items = list(tokenize(train_tokenizer(["nothing of the kind"], 260), documents))
    labels = label_tokens(items, ("kind",))
    assert np.asarray(labels.matrix[:, 0].sum()) > 30
    assert "kind" in identity_concepts(items, labels)
