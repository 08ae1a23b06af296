"""Features made from concepts: text of the organism's corpus, on which a feature is 1 inside a concept's spans. No dictionary."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

from dragoman.evals.organism.concepts import ANCESTORS, CONCEPTS
from dragoman.evals.organism.corpus import generate
from dragoman.evals.organism.labels import TokenLabels, label_tokens
from dragoman.evals.organism.tokens import TokenizedDocument
from dragoman.evals.scorers.exam import Exam, Neighbour
from dragoman.evals.scorers.sample import draw
from dragoman.store.records import Split
from dragoman.store.tokens import TokenTable
from tests.evals.tables import table

WINDOW = 32
DOCUMENTS = 400


@dataclass(frozen=True)
class World:
    """Text and the truth about every token of it."""

    tokens: TokenTable
    labels: TokenLabels

    @cached_property
    def known(self) -> dict[str, Float[NDArray[np.float32], " tokens"]]:
        return {}

    @cached_property
    def matrix(self) -> csc_matrix:
        return self.labels.matrix.tocsc()

    @cached_property
    def column(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.labels.concepts)}

    def real(self, concept: str) -> Float[NDArray[np.float32], " tokens"]:
        """The feature made from a concept."""
        if concept not in self.known:
            self.known[concept] = np.asarray(self.matrix[:, self.column[concept]].toarray()).ravel().astype(np.float32)
        return self.known[concept]

    def neighbours(self, concept: str) -> list[str]:
        """Concepts that are easily taken for this one: of the same family, firing on other tokens."""
        family, related = CONCEPTS[concept].family, {concept, *ANCESTORS[concept]}
        found = [
            name
            for name, other in CONCEPTS.items()
            if other.family == family and name not in related and concept not in ANCESTORS[name] and self.contexts(name) > 3
        ]
        return found[:6]

    def contexts(self, concept: str) -> int:
        """In how many contexts a concept occurs."""
        return len(np.unique(self.tokens.row[self.real(concept) > 0]))

    def exam(self, concept: str, seed: int = 0) -> Exam:
        """What a reader is asked about the feature made from this concept."""
        real = self.real(concept)
        flat = np.flatnonzero(real)
        triggers = np.argsort(-np.bincount(self.tokens.ids[flat]), kind="stable")[:10].tolist()
        near = tuple(Neighbour(self.column[n], np.flatnonzero(self.real(n))) for n in self.neighbours(concept))
        rows = np.unique(np.concatenate([np.zeros(0, np.int32), *(self.tokens.row[n.fires] for n in near)])).astype(np.int64)
        feature = self.column[concept]
        sample = draw(self.tokens, flat, real[flat], 0.2, triggers, rows, seed, feature)
        return Exam(feature, self.tokens, real, sample, 0.2, 1.0, False, near, seed)


@cache
def world(split: Split = "test") -> World:
    """Held-out documents; those of validation and of test differ."""
    documents = list(generate(31 if split == "test" else 32, DOCUMENTS, split="held_out"))
    vocabulary: dict[str, int] = {}
    items, windows, owner = [], [], []
    for number, document in enumerate(documents):
        found = list(re.finditer(r"\s?\w+|\s?[^\w\s]|\s", document.text))
        ids = [vocabulary.setdefault(match.group(), len(vocabulary)) for match in found]
        bounds = np.array([match.span() for match in found], np.int32)
        items.append(TokenizedDocument(document, np.array(ids, np.uint16), bounds[:, 0], bounds[:, 1]))
        for first in range(0, len(ids), WINDOW):
            windows.append(ids[first : first + WINDOW])
            owner.append(number)
    return World(table(windows, owner, list(vocabulary), split), label_tokens(items, tuple(CONCEPTS)))
