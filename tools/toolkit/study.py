"""What a tool is given: the desk, the feature under study, and the run it works for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from dragoman.store.errors import ToolError

from .desk import Desk

Address = Annotated[str, Field(min_length=1, max_length=200)]
"""A feature, as DICT/INDEX or its id."""
Text = Annotated[str, Field(min_length=1, max_length=6_000)]
"""A text to be run."""
Tell = Callable[[int, int, str], None]
"""Takes down how far something has got: how much is done, of how much, and a few words."""


@dataclass(frozen=True)
class Study:
    """One toolbox's work."""

    desk: Desk
    """What is shared."""
    run: str
    """The run it belongs to."""
    feature: int | None
    """The feature under study; None where every call names one."""
    seed: int
    """Of everything drawn at random."""
    note: Callable[[dict[str, Any]], None] = field(repr=False)
    """Takes a note down."""
    other_runs: bool = False
    """Whether labels of the feature under study from other runs may be seen."""
    tell: Tell = field(default=lambda done, total, words: None, repr=False)
    """Is told how far a slow tool has got; what it raises ends the tool."""

    def id(self, address: str | None) -> int:
        """The feature of a call: the one named, or the one under study.

        Raises:
            ToolError: none is named and there is none under study.
            UserError: there is no such feature.
        """
        if address is not None:
            return self.desk.train.id(address)
        if self.feature is None:
            raise ToolError(f'Say which feature: add "feature": "{self.desk.train.key(0)}" to the arguments.')
        return self.feature

    def key(self, feature: int) -> str:
        """Its address."""
        return str(self.desk.train.key(feature))
