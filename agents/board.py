"""What a researcher has before it: the case (one feature and the evidence shown) and the board (what was thought and found)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dragoman.store.findings import Experiment, Hypothesis, Prediction
from dragoman.tools.toolbox import Toolbox

from .gauge import Gauged


@dataclass(frozen=True)
class Shown:
    """One piece of evidence: what a tool returned."""

    tool: str
    """The tool."""
    arguments: Mapping[str, Any]
    """What it was asked."""
    text: str
    """What it said, fenced and bounded."""
    data: Mapping[str, Any]
    """The same for code."""


@dataclass(frozen=True)
class Case:
    """One feature under study, with the evidence from train."""

    run: str
    """The run."""
    feature: int
    """Global id of the feature."""
    key: str
    """Its address."""
    seed: int
    """Of everything random."""
    toolbox: Toolbox
    """What can be asked and done."""
    shown: tuple[Shown, ...]
    """The evidence, in the order it is shown."""

    def example(self, number: int) -> int | None:
        """The context behind the number of an example, None where there is none of that number."""
        return self.examples.get(number)

    @property
    def examples(self) -> dict[int, int]:
        """Contexts by the number under which they were shown; the numbers are the contexts' own."""
        return {
            int(example["context"]): int(example["context"]) for piece in self.shown for example in piece.data.get("examples", ())
        }


@dataclass(frozen=True)
class Board:
    """Hypotheses, experiments and figures so far."""

    alive: tuple[Hypothesis, ...] = ()
    """Hypotheses that are still held."""
    dropped: tuple[Hypothesis, ...] = ()
    """Those that were given up."""
    experiments: tuple[Experiment, ...] = ()
    """Everything that was run or could not be."""
    predictions: tuple[Prediction, ...] = ()
    """What was said beforehand, with verdicts."""
    figures: Mapping[str, Gauged] = field(default_factory=dict)
    """Figures on validation, by hypothesis."""
    round: int = 0
    """Round of experiments that is being thought about."""
    favoured: str = ""
    """Id of the hypothesis that won a debate; empty where none did."""
    looks: tuple[Shown, ...] = ()
    """What tools said that were called for more evidence; errors too."""
    matches: Mapping[str, Shown] = field(default_factory=dict)
    """How the rules of living hypotheses do on train, with some of their mistakes, by hypothesis."""

    def called(self, name: str) -> Hypothesis | None:
        """The living hypothesis of this name, H1 or h1."""
        return next((one for one in self.alive if one.called.lower() == name.strip().lower()), None)

    def said_of(self, experiment: Experiment) -> list[tuple[Hypothesis, Prediction]]:
        """Who said what of an experiment."""
        by_id = {one.id: one for one in (*self.alive, *self.dropped)}
        return [
            (by_id[one.hypothesis], one)
            for one in self.predictions
            if one.experiment == experiment.id and one.hypothesis in by_id
        ]

    def verdicts_of(self, hypothesis: Hypothesis) -> Sequence[Prediction]:
        """What experiments said of a hypothesis."""
        return [one for one in self.predictions if one.hypothesis == hypothesis.id and one.verdict is not None]
