"""What an explainer is: train evidence of one feature in, what it means out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from dragoman.store.records import Facet

if TYPE_CHECKING:
    from dragoman.store.view import TrainView
    from dragoman.tools.induction import Fit
    from dragoman.tools.patterns import Pattern


@dataclass(frozen=True)
class Explanation:
    """What an explainer says of one feature; a run makes a Label of it."""

    name: str
    """At most eight words."""
    description: str
    """The explanation that is scored."""
    facets: tuple[Facet, ...] = ()
    """The separate things the feature fires on, where there are several."""
    pattern: str | None = None
    """Executable form of the description; None for words only."""
    evidence: tuple[int, ...] = ()
    """Ids of the train contexts it rests on, the most telling first."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """Further facts, such as figures on train and validation; must be representable as JSON."""
    model: str | None = None
    """Language model behind it, if any."""


class Explainer(Protocol):
    """Explains one feature at a time; deterministic given the seed."""

    name: str
    """Recorded as the agent of its labels."""

    def explain(self, view: TrainView, feature: int, validate: Callable[[Pattern], Fit], seed: int) -> Explanation:
        """Explain `feature` (a global id) from train rows.

        `validate` tells how well a pattern predicts the feature on validation, as one correlation and one balanced accuracy;
        nothing of test is reachable.
        """
        ...
