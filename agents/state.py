"""What a feature's thread remembers between steps: ids and numbers. The evidence and the words are in store and ledger."""

from __future__ import annotations

import operator
from typing import Annotated, Any

from typing_extensions import TypedDict  # pydantic makes no schema of typing's before Python 3.12

from .gauge import Gauged


class Asked(TypedDict):
    """What the labeler's graph is given."""

    feature: int
    """Global id of the feature."""


class LabelState(TypedDict, total=False):
    """State of the labeler's graph."""

    feature: int
    """Global id of the feature."""
    steps: int
    """Steps written to its trail."""
    round: int
    """Rounds of experiments begun."""
    alive: list[str]
    """Ids of hypotheses that are held."""
    dropped: list[str]
    """Ids of those that were given up."""
    done: Annotated[list[str], operator.add]
    """Ids of experiments that were run."""
    figures: dict[str, list[object]]
    """Figures on validation (`Gauged` as a list), by hypothesis."""
    idle: int
    """Rounds since the last gain on validation."""
    confidence: int
    """What the researcher said last, in percent."""
    debate: dict[str, Any]
    """Where the debate stands (`Standing` as JSON); missing where there was none."""
    favoured: str
    """Id of the hypothesis that won the debate; empty where none did."""
    rung: str
    """The highest rung reached."""
    ended: str
    """Why the work on it ended."""
    label: str | None
    """Id of the label that was recorded; None where there is none."""


class ExperimentState(TypedDict):
    """What one experiment is sent with."""

    feature: int
    """Global id of the feature."""
    experiment: str
    """Id of the experiment."""


def gauged(state: LabelState) -> dict[str, Gauged]:
    """The figures of a state as they were."""
    return {name: Gauged(*values) for name, values in state.get("figures", {}).items()}  # type: ignore[arg-type]  # as written
