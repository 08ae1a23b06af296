"""The committed list of concepts: everything the generated text is annotated with."""

from __future__ import annotations

from . import words
from .concept import Concept
from .families import MODULES

CONCEPTS: dict[str, Concept] = {
    concept.name: concept for concepts in (words.CONCEPTS, *(module.CONCEPTS for module in MODULES)) for concept in concepts
}
"""Every concept by name."""


def _lineage(concept: Concept) -> tuple[str, ...]:
    parents: list[str] = []
    while concept.parent is not None:
        concept = CONCEPTS[concept.parent]
        parents.append(concept.name)
    return tuple(parents)


ANCESTORS: dict[str, tuple[str, ...]] = {name: _lineage(concept) for name, concept in CONCEPTS.items()}
"""The wider concepts that hold wherever a concept does."""
