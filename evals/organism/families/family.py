"""What a family of documents is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dragoman.evals.organism.writer import Writer


@dataclass(frozen=True, slots=True)
class Family:
    """A family of documents: how often it is drawn and how one of its passages is written."""

    name: str
    """Its name; its passages express the concept `doc.NAME`."""
    weight: float
    """Its share of the documents, in relation to the other families' weights."""
    write: Callable[[Writer], None]
    """Writes one passage."""
    prose: bool = False
    """Running prose, which may share a document with another family's prose."""
