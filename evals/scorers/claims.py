"""What a reader is asked about a label: the whole of it, and each of its facets."""

from __future__ import annotations

from typing import NamedTuple

from dragoman.store.records import Label


class Claims(NamedTuple):
    """The sentences that a label stands for."""

    whole: str
    """The description, as it is scored."""
    facets: tuple[str, ...]
    """What each facet says; empty where there are fewer than two, because then the whole says the same."""


def claims(label: Label) -> Claims:
    """The claims of a label; its name stands in where it has no description."""
    facets = tuple(facet.description for facet in label.facets if facet.description.strip())
    return Claims(label.description.strip() or label.name, facets if len(facets) > 1 else ())
