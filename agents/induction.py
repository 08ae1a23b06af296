"""The LLM-free explainer's seat: induces a pattern from train evidence and says it in plain English."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from dragoman.evals.explainer import Explanation
from dragoman.tools.induction import Fit, Inducer
from dragoman.tools.patterns import Pattern, Usage

if TYPE_CHECKING:
    from dragoman.store.view import TrainView


class Induction:
    """Explains features by induction; hold one a process, it shares its tables between features."""

    name = "induction"

    def __init__(self, usage: Usage) -> None:
        self.usage = usage
        self._inducer: Inducer | None = None

    def explain(self, view: TrainView, feature: int, validate: Callable[[Pattern], Fit], seed: int) -> Explanation:
        """The induced pattern, in words and as a rule. Raises ValueError for a feature that is silent on train."""
        if self._inducer is None or self._inducer.view is not view:
            self._inducer = Inducer(view, self.usage)
        found = self._inducer.induce(feature, validate, seed)
        return Explanation(
            name=found.name,
            description=found.description,
            facets=found.facets,
            pattern=str(found.pattern),
            evidence=found.evidence,
            notes=asdict(found.figures),
        )
