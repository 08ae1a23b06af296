"""How a labeling run works: the rungs of the ladder, its parts, and what each may use. Part of the run's identity."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Rung = Literal["one-shot", "experiments", "debate"]
"""How far up the ladder a feature may go."""

EVIDENCE = {"top": 12, "quantile": 16, "random_active": 8, "near_miss": 12, "random_silent": 6}
"""Examples shown of each stratum; never the top alone."""


class Parts(BaseModel):
    """Parts of the loop that can be switched off, to see what each is worth."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiments: bool = True
    """Tests are run at all; without them hypotheses are revised from validation alone."""
    several: bool = True
    """Several hypotheses; without it one."""
    refinement: bool = True
    """Hypotheses are changed after results; without it they are only dropped."""
    targeted: bool = True
    """Tests are chosen where hypotheses differ; without it texts of the corpus are drawn at random."""
    matching: bool = True
    """Before a revision, rules are matched on train exactly, with some of their mistakes."""
    facets: bool = True
    """Evidence is clustered and facets are asked for."""
    output: bool = True
    """An output claim is made and tested on its own side."""


class Settings(BaseModel):
    """Everything that the result of a labeling run depends on, besides store, explainer, judge, features and seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rung: Rung = "experiments"
    """The highest rung."""
    parts: Parts = Field(default_factory=Parts)
    """What is switched off."""
    tools: tuple[str, ...] | None = None
    """Tools that may be used; None for all."""
    evidence: dict[str, int] = Field(default_factory=lambda: dict(EVIDENCE))
    """Examples shown of each stratum; they are shown in the order of `EVIDENCE`, however this is ordered."""
    hypotheses: int = Field(default=4, ge=1, le=8)
    """Hypotheses proposed at most."""
    tests: int = Field(default=8, ge=1, le=24)
    """Tests in a batch at most."""
    rounds: int = Field(default=4, ge=1, le=20)
    """Rounds of experiments at most."""
    idle: int = Field(default=2, ge=1)
    """Rounds without gain on validation that end it."""
    gain: float = 0.01
    """A figure on validation has to rise by more than this to count as gain."""
    debate_rounds: int = Field(default=3, ge=1, le=20)
    """Rounds of a debate at most."""
    rivalry: float = Field(default=0.1, ge=0)
    """Two hypotheses whose figures on validation are this close are rivals: a debate may decide between them."""
    good: float = 0.9
    """A first label that reaches this on validation, and does not fit a neighbour as well, is taken as it is."""
    ladder: bool = True
    """Escalate only features whose label is low or fits a neighbour; without it every feature goes as far as it may."""

    @field_validator("evidence")
    @classmethod
    def _in_order(cls, evidence: dict[str, int]) -> dict[str, int]:
        unknown = [stratum for stratum in evidence if stratum not in EVIDENCE]
        if unknown:
            raise ValueError(f"there is no stratum {unknown[0]!r}")
        return {stratum: evidence[stratum] for stratum in EVIDENCE if stratum in evidence}
