"""All families of the corpus, a few to a file."""

from __future__ import annotations

from dragoman.evals.organism.families import geography, induction, ioi, sums
from dragoman.evals.organism.families.family import Family

MODULES = (geography, induction, ioi, sums)

FAMILIES: dict[str, Family] = {family.name: family for module in MODULES for family in module.FAMILIES}
"""Every family by name."""
