"""The trail of one feature in one run, put together from the ledger: every step with what it made and what it cost.

What a person is shown of an agent's work, in the terminal or a report, comes from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

from .errors import UserError
from .findings import Experiment, Gauged, Hypothesis, Node, Prediction, TrailStep
from .ledger import Ledger
from .records import Label, Run
from .trails import Spent, Trails

ALIASES: Mapping[str, tuple[str, ...]] = {"foretell": ("design", "debate")}
"""Steps of calls that belong to a node of another name: the first that has a step in that round."""


@dataclass(frozen=True)
class Cost:
    """What some work cost."""

    calls: int = 0
    """Calls to models."""
    hits: int = 0
    """Those of them that were answered from another run; counted at their original price."""
    tokens: int = 0
    """Tokens of their prompts and replies."""
    dollars: float | None = 0.0
    """US dollars; None where a price is not known."""
    forwarded: int = 0
    """Tokens run through the subject."""
    read: int = 0
    """Stored examples read."""

    def __add__(self, other: Cost) -> Cost:
        known = None if self.dollars is None or other.dollars is None else self.dollars + other.dollars
        return Cost(
            self.calls + other.calls,
            self.hits + other.hits,
            self.tokens + other.tokens,
            known,
            self.forwarded + other.forwarded,
            self.read + other.read,
        )


@dataclass(frozen=True)
class Trial:
    """An experiment with what was said of it beforehand."""

    experiment: Experiment
    """The experiment."""
    said: tuple[tuple[Hypothesis, Prediction], ...]
    """Who predicted what, with the verdicts."""


@dataclass(frozen=True)
class Part:
    """A step of the trail with what it refers to."""

    step: TrailStep
    """The step."""
    hypotheses: tuple[Hypothesis, ...]
    """Those that were made in it."""
    trials: tuple[Trial, ...]
    """Experiments that were planned in it, in their order."""
    cost: Cost
    """What it cost."""

    @property
    def round(self) -> int | None:
        """The round of experiments it belongs to, where it says one."""
        found = self.step.content.get("round")
        return found if isinstance(found, int) else None


@dataclass(frozen=True)
class Trail:
    """Everything that was done about a feature in a run."""

    run: Run
    """The run."""
    feature: int
    """Global id of the feature."""
    parts: tuple[Part, ...]
    """The steps, in their order."""
    loose: tuple[Trial, ...]
    """Experiments that no step names: the run was stopped before the step was written."""
    hypotheses: Mapping[str, Hypothesis]
    """All hypotheses, by id."""
    experiments: Mapping[str, Experiment]
    """All experiments, by id."""
    figures: Mapping[str, Gauged]
    """Figures on validation, by hypothesis."""
    label: Label | None
    """What was published."""
    reason: str | None
    """Why there is no label; None where there is one, or the work has not ended."""
    notes: tuple[str, ...]
    """What the agent noted down."""
    elsewhere: Cost
    """What calls cost that belong to no step."""

    @property
    def cost(self) -> Cost:
        """Of everything."""
        return sum((part.cost for part in self.parts), self.elsewhere)

    @property
    def chosen(self) -> str | None:
        """Id of the hypothesis that was chosen; None where there is none."""
        found = [part.step.content.get("chosen") for part in self.parts if part.step.node == "score"]
        return str(found[-1]) if found and found[-1] else None

    def named(self, value: str) -> str:
        """How something is called whose id this is; other texts stay as they are."""
        found = self.hypotheses.get(value) or self.experiments.get(value)
        return value if found is None else found.called

    def plain(self) -> dict[str, Any]:
        """The same as plain values, for scripts."""
        return {
            "run": self.run.id,
            "feature": self.feature,
            "steps": [
                {
                    "node": part.step.node,
                    "round": part.round,
                    "content": dict(part.step.content),
                    "hypotheses": [self._plain(one) for one in part.hypotheses],
                    "experiments": [_plain(trial) for trial in part.trials],
                    "cost": asdict(part.cost),
                }
                for part in self.parts
            ],
            "unfinished_experiments": [_plain(trial) for trial in self.loose],
            "label": None if self.label is None else self.label.model_dump(mode="json"),
            "no_label_because": self.reason,
            "notes": list(self.notes),
            "cost": asdict(self.cost),
        }

    def _plain(self, hypothesis: Hypothesis) -> dict[str, Any]:
        figure = self.figures.get(hypothesis.id)
        return {
            "called": hypothesis.called,
            **hypothesis.model_dump(mode="json"),
            "validation": None if figure is None else figure._asdict(),
        }


def trail_of(ledger: Ledger, feature: int, run: str | None = None) -> Trail:
    """The trail of a feature in a run, given by the beginning of its id; by default in the latest run that left one on it.

    Raises UserError where there is none.
    """
    trails = Trails(ledger.path)
    try:
        with_trail = trails.runs(feature)
        fitting = [known for known in ledger.runs() if known.id in with_trail and known.id.startswith(run or "")]
        if run is not None and len(fitting) > 1:
            raise UserError(f"Several runs begin with {run!r}: choose one of {', '.join(known.id for known in fitting)}.")
        if not fitting:
            raise UserError(
                f"Run {run} left no trail on this feature: those that did are {', '.join(with_trail)}."
                if run is not None and with_trail
                else "No run left a trail on this feature: `dragoman label` with a language model or --rung experiments does."
            )
        return read_trail(trails, ledger, fitting[-1], feature)
    finally:
        trails.close()


def read_trail(trails: Trails, ledger: Ledger, run: Run, feature: int) -> Trail:
    """The trail of a feature in this run, whatever there is of it."""
    steps = trails.steps(run.id, feature)
    hypotheses = {one.id: one for one in trails.hypotheses(run.id, feature)}
    said: dict[str, list[tuple[Hypothesis, Prediction]]] = {}
    for prediction in trails.predictions(run.id, feature):
        if prediction.hypothesis in hypotheses:
            said.setdefault(prediction.experiment, []).append((hypotheses[prediction.hypothesis], prediction))
    trials = {one.id: Trial(one, tuple(said.get(one.id, ()))) for one in trails.experiments(run.id, feature)}
    spent = trails.spending(run.id, feature)
    costs = _shared_out(steps, spent)
    parts, placed = [], set()
    for at, step in enumerate(steps):
        own = [trials[name] for name in _ids(step, "experiments") if name in trials and name not in placed]
        placed |= {trial.experiment.id for trial in own}
        made = tuple(hypotheses[name] for name in _ids(step, "hypotheses") if name in hypotheses)
        parts.append(Part(step, made, tuple(own), costs[at] + _work(own) + Cost(read=_read(step))))
    loose = tuple(trial for name, trial in trials.items() if name not in placed)
    labels = ledger.labels(feature=feature, run=run.id)
    reasons = [why for _, _, why in ledger.failures(run.id, feature)]
    return Trail(
        run=run,
        feature=feature,
        parts=tuple(parts),
        loose=loose,
        hypotheses=hypotheses,
        experiments={name: trial.experiment for name, trial in trials.items()},
        figures=_figures(steps),
        label=labels[0] if labels else None,
        reason=None if labels or not reasons else reasons[0],
        notes=tuple(trails.notes(run.id, feature)),
        elsewhere=costs[-1] + _work(loose),
    )


def _shared_out(steps: Sequence[TrailStep], spent: Iterable[Spent]) -> list[Cost]:
    """What the calls of each step cost, and last what belongs to none.

    A call stands at WHO/NODE/…, for example labeler/design/1 or gauge/revise/2/H5; its number, if any, is the round.
    """
    costs = [Cost() for _ in range(len(steps) + 1)]
    for row in spent:
        words = row.step.split("/")
        nodes = next(((ALIASES.get(word) or (word,)) for word in words if word in ALIASES or word in get_args(Node)), ())
        round = next((int(word) for word in words if word.isdigit()), None)
        at = next((n for n, step in enumerate(steps) if step.node in nodes and step.content.get("round") in (round, None)), -1)
        costs[at] += Cost(row.calls, row.hits, row.tokens, row.dollars)
    return costs


def _work(trials: Iterable[Trial]) -> Cost:
    return sum((Cost(forwarded=one.experiment.forwarded, read=one.experiment.read) for one in trials), Cost())


def _read(step: TrailStep) -> int:
    """Examples that a step which gathers evidence read."""
    found = step.content.get("read", 0)
    return found if isinstance(found, int) else 0


def _ids(step: TrailStep, name: str) -> list[str]:
    found = step.content.get(name, ())
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _figures(steps: Iterable[TrailStep]) -> dict[str, Gauged]:
    found: dict[str, Gauged] = {}
    for step in steps:
        for name, values in dict(step.content.get("figures") or {}).items():
            if isinstance(values, list) and len(values) == len(Gauged._fields):
                found[name] = Gauged(*values)
    return found


def _plain(trial: Trial) -> dict[str, Any]:
    experiment = trial.experiment
    predictions = [
        {"hypothesis": hypothesis.called, **said.model_dump(mode="json", include={"outcome", "verdict", "because"})}
        for hypothesis, said in trial.said
    ]
    return {"called": experiment.called, **experiment.model_dump(mode="json"), "predictions": predictions}


def costs_of(trails: Trails, run: str) -> dict[int, Cost]:
    """What a run's work on each feature cost, for those on which it left a trail or asked a model."""
    found: dict[int, Cost] = {feature: Cost(read=read) for feature, read in trails.seen(run).items()}
    for feature, (forwarded, read) in trails.work(run).items():
        found[feature] = found.get(feature, Cost()) + Cost(forwarded=forwarded, read=read)
    for row in trails.spending(run):
        if row.feature >= 0:
            found[row.feature] = found.get(row.feature, Cost()) + Cost(row.calls, row.hits, row.tokens, row.dollars)
    return found
