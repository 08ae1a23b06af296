"""The nouns of a benchmark: what is true of a feature, and texts that nobody has seen on which it can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["true", "near", "random"]
"""true: the concept holds somewhere in the text; near: it does not, but something that a vague or wrong label would take for it
does; random: any text."""


@dataclass(frozen=True)
class Truth:
    """What a feature stands for, as whoever made it knows."""

    feature: int
    """Its global id in the store."""
    text: str
    """The truth in plain English."""
    pattern: str | None
    """The truth in the pattern language; None where it cannot be written there."""
    level: int | None
    """Difficulty from 1 to 5; None where the suite has no levels."""
    kind: str
    """Family of concepts or kind of program."""
    siblings: tuple[int, ...]
    """Features of the same trial that a vague label takes for this one, by global id."""
    hard: bool
    """A hard case: reported apart from the others."""


@dataclass(frozen=True)
class FreshText:
    """A text made after all labels were."""

    ids: tuple[int, ...]
    """Its tokens, without BOS."""
    text: str
    """The text itself."""
    fires: tuple[bool, ...]
    """At each token, whether the true concept holds there."""
    kind: Kind
    """What the text is for."""
    offsets: tuple[tuple[int, int], ...]
    """First character of each token in the text, and the one after its last."""
