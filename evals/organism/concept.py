"""What a concept is: the unit of truth that generated text is annotated with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["document", "class", "kind", "slot", "sense", "punctuation", "structure", "state"]


@dataclass(frozen=True, slots=True)
class Concept:
    """Something that a stretch of generated text can express."""

    name: str
    """Dotted name, for example `bird.robin`."""
    family: str
    """The module of families (or `shared`) that declares it."""
    parent: str | None
    """The wider concept that holds wherever this one does, or None."""
    description: str
    """One plain English phrase that says where it holds."""
    kind: Kind
    """document: a type of passage; class: words of one sort; kind: one member of a class in all its mentions;
    slot: a role in a sentence or form; sense: one meaning of an ambiguous word; punctuation: a mark in one role;
    structure: nesting, quoting, repetition; state: something the text has established, such as hostility or a lie."""


def declare(family: str, rows: Mapping[str, tuple[Kind, str] | tuple[Kind, str, str]]) -> tuple[Concept, ...]:
    """Concepts of a family from `name: (kind, description)` or `name: (kind, description, parent)`.

    A parent is a wider concept of which every occurrence of this one is an occurrence (a robin is a bird), not a whole of which
    this is a part (the day is no date): the writer gives every span its parents' concepts as well.
    """
    return tuple(Concept(name, family, row[2] if len(row) == 3 else None, row[1], row[0]) for name, row in rows.items())
