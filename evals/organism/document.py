"""A generated document and the truth about every character of it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text that expresses one concept."""

    start: int
    """First character, counted from the start of the document."""
    end: int
    """One past the last character."""
    concept: str
    """Name of the concept, from `concepts.CONCEPTS`, for example `bird.robin`."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A point in a document at which a competent model must say one thing and not another."""

    at: int
    """Character offset: the prompt is everything before it."""
    task: str
    """Which competence this measures, for example `induction` or `two_hop.held_out`."""
    answer: str
    """What the text says there; the first token of it is what is scored."""
    rivals: tuple[str, ...] = ()
    """Other answers of the same kind; chance is 1 / (1 + the number of rivals)."""


@dataclass(frozen=True, slots=True)
class Document:
    """A natural-looking document, with every concept it expresses and every probe it offers."""

    text: str
    """The document itself."""
    family: str
    """The concept family the document was generated for."""
    template: str
    """Which template of the family; held-out templates never occur in training documents."""
    spans: tuple[Span, ...] = field(default=())
    """All annotated spans, overlapping where several concepts hold."""
    probes: tuple[Probe, ...] = field(default=())
    """Competence probes, used on held-out documents only."""
