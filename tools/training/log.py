"""The training log: a line of JSON for every few steps, beside the dictionary."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from .learner import Learner, Measured
from .settings import Settings

LOG = "training.jsonl"
"""Name of the log in a dictionary's folder."""


@dataclass(frozen=True, slots=True)
class Logged:
    """Means over the steps since the line before."""

    step: int
    """Steps taken."""
    tokens: int
    """Tokens seen, repeats included."""
    loss: float
    """Everything that is minimised."""
    unexplained: float
    """Share of the variance left unexplained, on training batches, features chosen as in training."""
    active: float
    """Features active at a token; of a cross-layer transcoder, in all layers together."""
    dead: float
    """Share of features that have not fired for a while."""
    rate: float
    """Learning rate of the last step."""
    seconds: float
    """Time spent training."""


class Tally:
    """Sums since the last line."""

    def __init__(self) -> None:
        self._seen: list[Measured] = []

    def add(self, seen: Measured) -> None:
        """One more step."""
        self._seen.append(seen)

    def line(self, step: int, settings: Settings, learner: Learner, seconds: float) -> Logged:
        """The line after `step` steps; the sums begin again."""
        seen, self._seen = self._seen, []
        dead = sum(float(learner.dead(layer).float().mean()) for layer in range(learner.shape.layers)) / learner.shape.layers
        return Logged(
            step,
            step * settings.batch,
            sum(s.loss for s in seen) / len(seen),
            sum(s.unexplained for s in seen) / len(seen),
            sum(s.active for s in seen) / len(seen),
            dead,
            settings.rate_at(step - 1),
            round(seconds, 1),
        )


class TrainingLog:
    """A log on disk."""

    def __init__(self, file: Path, step: int | None = None) -> None:
        """With `step`, the log goes on from there: later lines, which a killed run left, are taken out."""
        self.file = file
        if step is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            kept = [line for line in self.lines() if line.step <= step]
            partial = file.with_suffix(".partial")
            partial.write_text("".join(map(_json, kept)))
            partial.replace(file)

    def lines(self) -> list[Logged]:
        """All lines; one that was cut off is left out."""
        if not self.file.exists():
            return []
        texts = self.file.read_text().splitlines(keepends=True)
        return [Logged(**json.loads(text)) for text in texts if text.endswith("\n")]

    def add(self, line: Logged) -> None:
        """Append a line."""
        with self.file.open("a") as stream:
            stream.write(_json(line))

    @property
    def last(self) -> Logged:
        """The last line."""
        return self.lines()[-1]


def _json(line: Logged) -> str:
    return json.dumps(asdict(line)) + "\n"
