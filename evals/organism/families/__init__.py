"""All families of the corpus, a few to a file."""

from __future__ import annotations

from . import (
    arts,
    birds,
    calendar,
    code,
    deception,
    encoded,
    games,
    geography,
    grammar,
    household,
    induction,
    ioi,
    languages,
    latin,
    markup,
    medicine,
    network,
    papers,
    park,
    people,
    speech,
    sums,
    trigger,
)
from .family import Family

MODULES = (
    arts,
    birds,
    calendar,
    code,
    deception,
    encoded,
    games,
    geography,
    grammar,
    household,
    induction,
    ioi,
    languages,
    latin,
    markup,
    medicine,
    network,
    papers,
    park,
    people,
    speech,
    sums,
    trigger,
)

FAMILIES: dict[str, Family] = {family.name: family for module in MODULES for family in module.FAMILIES}
"""Every family by name."""
