"""Interventions: features and units of a model changed in the middle of its forward pass, and what that does."""

from .edits import Baseline, Edit, FeatureEdit, Means, UnitEdit, ablate, clamp, heads, layer, neurons, random_direction, steer
from .effects import Effects, LogitShift, TokenEffect, measure
from .generation import Continuation, Generated, Steering, compare_strengths, generate
from .means import baseline, unit_means
from .positions import ALL, Positions
from .running import Intervention
from .takeover import FeatureChange, HeadChange, Takeover, takeover

__all__ = [
    "ALL",
    "Baseline",
    "Continuation",
    "Edit",
    "Effects",
    "FeatureChange",
    "FeatureEdit",
    "Generated",
    "HeadChange",
    "Intervention",
    "LogitShift",
    "Means",
    "Positions",
    "Steering",
    "Takeover",
    "TokenEffect",
    "UnitEdit",
    "ablate",
    "baseline",
    "clamp",
    "compare_strengths",
    "generate",
    "heads",
    "layer",
    "measure",
    "neurons",
    "random_direction",
    "steer",
    "takeover",
    "unit_means",
]
