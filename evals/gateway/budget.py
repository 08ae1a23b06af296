"""How much a run may spend."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """Limits of one run, over all its processes; None is no limit."""

    tokens: int | None = None
    """Tokens of prompts and replies together."""
    dollars: float | None = None
    """US dollars at list price."""
