"""What the steps of all features share in one process: the run, the store's train view, tools, researcher, gauge and ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dragoman.store.errors import ToolError
from dragoman.store.findings import Experiment, Hypothesis, Node, TrailStep
from dragoman.store.ledger import Ledger
from dragoman.store.trails import Trails
from dragoman.tools.toolbox import Toolbox, ToolResult

from .board import Board, Case, Shown
from .gauge import Gauge
from .researcher import Arbiter, Researcher
from .settings import Settings
from .state import LabelState, gauged

MATCHED = 3
"""Living hypotheses whose rules are matched on train before a revision."""
MISTAKES = 4
"""Missed tokens, and falsely predicted ones, shown of each."""


@dataclass
class Office:
    """One run's people and things."""

    run: str
    """Its id."""
    seed: int
    """Of everything random."""
    settings: Settings
    """How it works."""
    ledger: Ledger
    """Where labels go."""
    trails: Trails
    """Where everything else goes."""
    researcher: Researcher
    """Who thinks."""
    gauge: Gauge
    """Who tells how well a hypothesis does on validation."""
    toolbox: Callable[[int], Toolbox]
    """The tools, bound to a feature; cheap."""
    key: Callable[[int], str]
    """Address of a feature."""
    neighbours: Callable[[int], Sequence[int]]
    """Nearest live features, the nearest first."""
    rival: Researcher | None = None
    """Who holds the other side of a debate; None: the researcher holds both."""
    arbiter: Arbiter | None = None
    """Who writes the verdict of a debate; None: code does."""
    _cases: dict[int, Case] = field(default_factory=dict)

    async def case(self, feature: int) -> Case:
        """The feature with its evidence: the same whenever it is gathered, so that it need not be kept."""
        if feature not in self._cases:
            toolbox = self.toolbox(feature)
            shown = await asyncio.to_thread(self._gather, toolbox)
            self._cases[feature] = Case(self.run, feature, self.key(feature), self.seed, toolbox, shown)
        return self._cases[feature]

    def leave(self, feature: int) -> None:
        """Forget a feature that is done."""
        self._cases.pop(feature, None)

    def _gather(self, toolbox: Toolbox) -> tuple[Shown, ...]:
        wanted: list[tuple[str, Mapping[str, Any]]] = [("feature_stats", {})]
        wanted += [("top_examples", {"stratum": stratum, "n": n}) for stratum, n in self.settings.evidence.items() if n]
        if self.settings.parts.facets:
            wanted.insert(1, ("example_groups", {}))
        if self.settings.parts.output:
            wanted.append(("logit_effects", {}))
        allowed = {spec.name for spec in toolbox.specs}
        shown = []
        for name, arguments in wanted:
            if name in allowed:
                shown.append(use(toolbox, name, arguments))
        return tuple(shown)

    def author(self, hypothesis: Hypothesis) -> Researcher:
        """Who made a hypothesis."""
        if self.rival is not None and hypothesis.author == self.rival.name:
            return self.rival
        return self.researcher

    def board(self, state: LabelState) -> Board:
        """Everything thought and found about a feature until this state, from the ledger.

        After a kill the ledger may be ahead of the state: what later rounds tested is not on the board.
        """
        feature, round = state["feature"], state.get("round", 0)
        by_id = {one.id: one for one in self.trails.hypotheses(self.run, feature)}
        experiments = [one for one in self.trails.experiments(self.run, feature) if one.settled and one.round <= round]
        tested = {one.id for one in experiments}
        return Board(
            alive=tuple(by_id[name] for name in state.get("alive", []) if name in by_id),
            dropped=tuple(by_id[name] for name in state.get("dropped", []) if name in by_id),
            experiments=tuple(one for one in experiments if one.kind != "look"),
            predictions=tuple(one for one in self.trails.predictions(self.run, feature) if one.experiment in tested),
            figures=gauged(state),
            round=round,
            favoured=state.get("favoured", ""),
            looks=tuple(_looked(one) for one in experiments if one.kind == "look"),
        )

    async def matched(self, case: Case, board: Board) -> Board:
        """The board with what the rules of its best living hypotheses get right and wrong on train."""
        allowed = {spec.name for spec in case.toolbox.specs}
        if not self.settings.parts.matching or "match_pattern" not in allowed:
            return board
        rules = [one for one in board.alive if one.pattern is not None]
        rules.sort(key=lambda one: -(board.figures[one.id].value or 0.0) if one.id in board.figures else 0.0)
        matches = {}
        for one in rules[:MATCHED]:
            arguments = {"pattern": one.pattern, "mistakes": MISTAKES}
            matches[one.id] = await asyncio.to_thread(use, case.toolbox, "match_pattern", arguments)
        return replace(board, matches=matches)

    def step(self, state: LabelState, node: Node, content: Mapping[str, Any]) -> int:
        """Write a step of the trail; returns the number of steps there are then."""
        ordinal = state.get("steps", 0)
        step = TrailStep(run=self.run, feature=state["feature"], ordinal=ordinal, node=node, content=content)
        self.trails.add_step(step)
        return ordinal + 1


def use(toolbox: Toolbox, name: str, arguments: Mapping[str, Any]) -> Shown:
    """Call a tool; a wrong call gives the sentence that says how to call it right."""
    try:
        result: ToolResult = toolbox.call(name, arguments)
    except ToolError as error:
        return Shown(name, arguments, f"{name} could not be called so: {error}", {"error": str(error)})
    return Shown(name, arguments, result.text, result.data)


def _looked(experiment: Experiment) -> Shown:
    result = experiment.result or {}
    text = str(result.get("text", experiment.reason or ""))
    return Shown(experiment.tool, experiment.arguments, text, result.get("data", {}))
