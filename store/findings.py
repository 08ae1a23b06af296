"""What agents think and do, as records: hypotheses, experiments, predictions, the steps of a trail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from pydantic import Field

from .hashing import row_id
from .records import Facet, Record

Side = Literal["input", "output"]
"""input: when the feature fires; output: what it makes the model say."""
Status = Literal["proposed", "supported", "refuted", "inconclusive"]
"""Where a hypothesis stands, decided by code from verdicts."""
Outcome = Literal["fires", "silent", "stronger", "weaker", "unchanged", "promotes", "suppresses", "unsure"]
"""What a hypothesis says an experiment will show; unsure says nothing and is never counted."""
Verdict = Literal["held", "failed", "inconclusive"]
"""What an experiment says of a prediction."""
ExperimentKind = Literal["write", "edit", "steer", "ablate", "look"]
"""write: a text; edit: a small change of a text; steer and ablate: an intervention; look: a tool that tests nothing."""
Node = Literal["gather", "propose", "design", "experiment", "revise", "score", "debate", "record"]
"""Steps of an agent."""


FIRING = 2
"""The threshold on the scale of the evidence: 0.2 of the train maximum, which is 10."""


def level(value: float, threshold: float) -> str:
    """An activation on that scale, for people and models."""
    return f"{FIRING * value / threshold:.3g}" if threshold > 0 else f"{value:.3g}"


class Hypothesis(Record):
    """A claim about a feature that experiments can hold against it."""

    id: str
    """Hash of run, feature, round and content."""
    run: str
    """The run it was made in."""
    feature: int
    """Global id of the feature."""
    round: int
    """0 before any experiment, then the round whose results led to it."""
    ordinal: int
    """Place among those of the feature, from 1."""
    side: Side
    """What it is about."""
    name: str
    """At most eight words."""
    description: str
    """What is claimed."""
    facets: tuple[Facet, ...] = ()
    """The separate things it fires on, where there are several."""
    pattern: str | None = None
    """Executable form of the description."""
    parents: tuple[str, ...] = ()
    """Ids of the hypotheses it was made from."""
    author: str
    """Who made it."""
    status: Status = "proposed"
    """Where it stands."""

    @property
    def called(self) -> str:
        """How it is called in prompts and trails."""
        return f"H{self.ordinal}"

    @staticmethod
    def identity(run: str, feature: int, round: int, ordinal: int, side: Side, content: Mapping[str, Any]) -> str:
        """Its id."""
        return row_id("hypothesis", run, feature, round, ordinal, side, dict(content))


class Gauged(NamedTuple):
    """A figure on validation."""

    figure: str
    """What was measured: `pattern.r` or `detection.auroc`."""
    value: float | None
    """The figure; None where it is unscored."""
    n: int
    """Contexts behind it."""
    low: float | None = None
    """Lower end of the 95 % interval, where one is computed."""
    high: float | None = None
    """Upper end."""
    unscored: str | None = None
    """Why there is none."""

    def __str__(self) -> str:
        if self.value is None:
            return f"unscored: {self.unscored}"
        interval = "" if self.low is None else f" [{self.low:.2f}, {self.high:.2f}]"
        return f"{self.figure} {self.value:.3f}{interval}, n {self.n}"


class Experiment(Record):
    """A call of a tool, planned before it is run."""

    id: str
    """Hash of run, feature, round and content."""
    run: str
    """The run it was made in."""
    feature: int
    """Global id of the feature."""
    round: int
    """Round of experiments, from 1."""
    ordinal: int
    """Place among those of the feature, from 1."""
    kind: ExperimentKind
    """What is done."""
    tool: str
    """The tool that is called."""
    arguments: Mapping[str, Any]
    """Its arguments."""
    focus: str = ""
    """The word that is looked at; empty for the whole text."""
    purpose: str = ""
    """Why it was made."""
    author: str
    """Who made it."""
    result: Mapping[str, Any] | None = None
    """What came out; None until it was run."""
    reason: str | None = None
    """Why it could not be run."""
    forwarded: int = 0
    """Tokens it ran through the subject."""
    read: int = 0
    """Contexts it read."""

    @property
    def called(self) -> str:
        """How it is called in prompts and trails."""
        return f"E{self.ordinal}"

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts that it runs, of its author's own; none where a stored context is edited."""
        return tuple(map(str, self.arguments.get("texts") or self.arguments.get("prompts") or ()))

    @property
    def settled(self) -> bool:
        """Whether it was run, or could not be."""
        return self.result is not None or self.reason is not None


class Prediction(Record):
    """What one hypothesis says that one experiment will show."""

    experiment: str
    """Id of the experiment."""
    hypothesis: str
    """Id of the hypothesis."""
    outcome: Outcome
    """What it says."""
    verdict: Verdict | None = None
    """None until the experiment was run."""
    because: str | None = None
    """The figures behind the verdict."""

    @property
    def id(self) -> str:
        """Its id in the ledger."""
        return row_id("prediction", self.experiment, self.hypothesis)


class TrailStep(Record):
    """One step of an agent on a feature."""

    run: str
    """The run."""
    feature: int
    """Global id of the feature."""
    ordinal: int
    """Place in the trail, from 0."""
    node: Node
    """Which step."""
    content: Mapping[str, Any] = Field(default_factory=dict)
    """What was done; JSON values."""


EventKind = Literal["started", "admitted", "budget", "stopped", "paused", "resumed"]
"""What can happen to a run."""


class Event(Record):
    """Something that a run's outcome depends on, besides the models' replies."""

    run: str
    """The run."""
    ordinal: int
    """Order in the run."""
    kind: EventKind
    """What happened."""
    feature: int = -1
    """Global id of the feature; -1 where it concerns none."""
    content: Mapping[str, Any] = Field(default_factory=dict)
    """JSON values."""
