"""The labeler: one feature, from evidence to a label that predicts, as a LangGraph.

    gather → propose → design → experiment (one Send each) → revise → (design again | debate | score) → record

1. gather: evidence from train, in strata.
2. propose: one or several hypotheses; each is gauged on validation, one figure. A first label that does well and does not fit
   a neighbour as well is taken as it is, where the ladder is on.
3. design: a batch of tests. Every hypothesis's prediction of every test is in the ledger before the test is run.
4. experiment: a tool call; code computes the verdicts.
5. revise: refuted hypotheses go, new ones are gauged. `Settings.idle` rounds without gain end it.
6. debate: where that is the highest rung and two hypotheses do about as well, they are held against each other.
7. score, record: the hypothesis that does best on validation becomes the label, unless nothing but a model's word speaks for it.

Every step can be repeated after a kill: its questions are answered from the ledger, and the ids of its rows hash their content.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar, cast

from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send

from dragoman.evals.gateway.calls import FeatureSpent
from dragoman.store.findings import Hypothesis

from . import choosing, claims, planning, running
from .debate import SPENT, Debate
from .gauge import Gauged
from .office import Office
from .researcher import Unable
from .settings import Settings
from .state import Asked, ExperimentState, LabelState, gauged
from .verdicts import status

F = TypeVar("F", bound=Callable[..., Any])


def _within_budget(node: F) -> F:
    """A step that cannot pay for its next call goes on to the choice among what there is."""

    @functools.wraps(node)
    async def wrapped(self: Labeler, state: LabelState) -> Any:
        try:
            return await node(self, state)
        except FeatureSpent:
            return Command(goto="score", update={"ended": SPENT})

    return cast(F, wrapped)


def proposals_wanted(settings: Settings) -> int:
    """How many hypotheses are asked for at first."""
    return settings.hypotheses if settings.parts.several and settings.rung != "one-shot" else 1


class Labeler:
    """The steps, for the features of one run."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.settings = office.settings

    def graph(self, around: Callable[[Any], Any] = lambda node: node) -> StateGraph[LabelState, None, Asked]:
        """The graph, not yet compiled. around: what each node is wrapped in."""
        graph = StateGraph(LabelState, input_schema=Asked)
        graph.add_node("gather", around(self.gather), destinations=("propose",))
        graph.add_node("propose", around(self.propose), destinations=("design", "score"))
        graph.add_node("design", around(self.design), destinations=("experiment", "revise", "score"))
        graph.add_node("experiment", around(self.experiment), input_schema=ExperimentState)
        graph.add_node("revise", around(self.revise), destinations=("design", "debate", "score"))
        graph.add_node("debate", around(self.debate), destinations=("debate", "score"))
        graph.add_node("score", around(self.score), destinations=("record",))
        graph.add_node("record", around(self.record))
        graph.add_edge(START, "gather")
        graph.add_edge("experiment", "revise")
        graph.add_edge("record", END)
        return graph

    async def gather(self, state: LabelState) -> Command[Literal["propose"]]:
        """Evidence from train."""
        case = await self.office.case(state["feature"])
        content = {
            "shown": [
                {
                    "tool": piece.tool,
                    "arguments": dict(piece.arguments),
                    "contexts": [int(example["context"]) for example in piece.data.get("examples", ())],
                }
                for piece in case.shown
            ],
            "read": sum(len(piece.data.get("examples", ())) for piece in case.shown),
        }
        return Command(goto="propose", update={"steps": self.office.step(state, "gather", content)})

    @_within_budget
    async def propose(self, state: LabelState) -> Command[Literal["design", "score"]]:
        """Hypotheses from the evidence, gauged on validation."""
        office, settings = self.office, self.settings
        case = await office.case(state["feature"])
        most = proposals_wanted(settings)
        try:
            proposal = await office.researcher.propose(case, most)
        except Unable as error:
            steps = office.step(state, "propose", {"unable": str(error)})
            return Command(goto="score", update={"steps": steps, "ended": f"unscored: {error}"})
        said = proposal.hypotheses[:most]
        hypotheses = claims.proposed(office, case.feature, said, proposal.output_claim)
        office.trails.propose(hypotheses)
        figures = await self._gauge(hypotheses, "propose")
        collides = await self._collides(hypotheses[0], figures.get(hypotheses[0].id), "propose")
        first = figures.get(hypotheses[0].id)
        enough = settings.ladder and first is not None and first.value is not None and first.value >= settings.good
        goto: Literal["design", "score"] = "design"
        ended = ""
        if settings.rung == "one-shot":
            goto, ended = "score", "one shot"
        elif enough and not collides:
            goto, ended = "score", "the first label does well"
        content = {
            "hypotheses": [one.id for one in hypotheses],
            "figures": {name: list(figure) for name, figure in figures.items()},
            "confidence": proposal.confidence,
            "fits a neighbour": collides,
            "next": goto,
        }
        return Command(
            goto=goto,
            update={
                "steps": office.step(state, "propose", content),
                "alive": [one.id for one in hypotheses],
                "figures": {name: list(figure) for name, figure in figures.items()},
                "confidence": proposal.confidence,
                "rung": "one-shot",
                "ended": ended,
            },
        )

    @_within_budget
    async def design(self, state: LabelState) -> Command[Literal["experiment", "revise", "score"]]:
        """Tests, each with what every hypothesis says of it."""
        office, settings = self.office, self.settings
        case, board = await office.case(state["feature"]), office.board(state)
        number = state.get("round", 0) + 1
        update: dict[str, Any] = {"round": number, "rung": "experiments"}
        if not settings.parts.experiments:
            return Command(goto="revise", update=update)
        try:
            experiments, predictions, refused = await planning.planned(office, case, board, number)
        except Unable as error:
            update["steps"] = office.step(state, "design", {"round": number, "unable": str(error)})
            return Command(goto="revise", update=update)
        office.trails.plan(experiments, predictions)
        content = {"round": number, "experiments": [one.id for one in experiments], "refused": refused}
        update["steps"] = office.step(state, "design", content)
        if not experiments:
            return Command(goto="revise", update=update)
        sends = [Send("experiment", {"feature": case.feature, "experiment": one.id}) for one in experiments]
        return Command(goto=sends, update=update)

    async def experiment(self, state: ExperimentState) -> dict[str, list[str]]:
        """One tool call, and its verdicts."""
        await running.run(self.office, state["feature"], state["experiment"])
        return {"done": [state["experiment"]]}

    @_within_budget
    async def revise(self, state: LabelState) -> Command[Literal["design", "debate", "score"]]:
        """What follows from the results: who goes, who changes, and whether to go on."""
        office, settings = self.office, self.settings
        case, board = await office.case(state["feature"]), office.board(state)
        statuses = {one.id: status(board.verdicts_of(one)) for one in board.alive}
        office.trails.judge(statuses)
        dropped = [one.id for one in board.alive if statuses[one.id] == "refuted"]
        new: list[Hypothesis] = []
        confidence, unable = state.get("confidence", 0), None
        seen = board
        if settings.parts.refinement:
            seen = await office.matched(case, office.board(state))
            try:
                revision = await office.researcher.revise(case, seen)
            except Unable as error:
                unable = str(error)
            else:
                dropped += [one.id for name in revision.drop if (one := board.called(name)) and one.id not in dropped]
                new = claims.revised(office, board, revision, state["round"])
                confidence = revision.confidence
        office.trails.propose(new)
        figures = await self._gauge(new, f"revise/{state['round']}")
        known = {**gauged(state), **figures}
        before = choosing.best_figure(board.alive, gauged(state))
        alive = [one for one in (*board.alive, *new) if one.id not in dropped]
        if not any(one.side == "input" for one in alive):  # the best of those given up stays, to be chosen or not
            kept = choosing.best([one for one in (*board.alive, *new) if one.side == "input"], known, {}, settings.gain)
            alive = [one for one in (*board.alive, *new) if one in (*alive, *([kept] if kept else []))]
            dropped = [name for name in dropped if kept is None or name != kept.id]
        gained = choosing.best_figure(alive, known) > before + settings.gain
        idle = 0 if gained else state.get("idle", 0) + 1
        goto, ended = self._onward(state, idle)
        content = {
            "round": state["round"],
            "matched": {
                name: {figure: shown.data.get(figure) for figure in ("precision", "recall", "r")}
                for name, shown in seen.matches.items()
            },
            "read": sum(len(shown.data.get("mistakes", ())) for shown in seen.matches.values()),
            "statuses": statuses,
            "dropped": dropped,
            "hypotheses": [one.id for one in new],
            "figures": {name: list(figure) for name, figure in figures.items()},
            "confidence": confidence,
            "gained": gained,
            "unable": unable,
            "next": goto,
        }
        return Command(
            goto=goto,
            update={
                "steps": office.step(state, "revise", content),
                "alive": [one.id for one in alive],
                "dropped": [*state.get("dropped", []), *dropped],
                "figures": {name: list(figure) for name, figure in known.items()},
                "idle": idle,
                "confidence": confidence,
                "ended": ended,
            },
        )

    def _onward(self, state: LabelState, idle: int) -> tuple[Literal["design", "debate", "score"], str]:
        settings = self.settings
        ended = ""
        if idle >= settings.idle:
            ended = f"{idle} rounds without gain"
        elif state["round"] >= settings.rounds:
            ended = f"all {settings.rounds} rounds"
        if not ended:
            return "design", ""
        return ("debate" if settings.rung == "debate" and settings.parts.experiments else "score"), ended

    @_within_budget
    async def debate(self, state: LabelState) -> Command[Literal["debate", "score"]]:
        """One round of a debate between the two best hypotheses, or the best and the rival's."""
        debate = Debate(self.office)
        goto: Literal["debate", "score"] = "debate"
        if "debate" not in state:
            update = {} if await self._settled(state) else await debate.open(state)
            goto = "debate" if update and not update["debate"]["ended"] else "score"
        elif not state["debate"]["ended"]:
            update = await debate.round(state)
        else:
            update, goto = await debate.verdict(state), "score"
        return Command(goto=goto, update=update)

    async def _settled(self, state: LabelState) -> bool:
        """Whether the best hypothesis does well by now and does not fit a neighbour: then there is nothing to debate."""
        board = self.office.board(state)
        best = next(iter(choosing.ranked(board.alive, board.figures)), None)
        figure = None if best is None else board.figures.get(best.id)
        if best is None or figure is None or figure.value is None or figure.value < self.settings.good:
            return False
        return self.settings.ladder and not await self._collides(best, figure, "debate")

    async def score(self, state: LabelState) -> Command[Literal["record"]]:
        """The choice on validation."""
        office = self.office
        board = office.board(state)
        choice = choosing.choose(board, office.gauge.chance, self.settings.gain)
        ended = state.get("ended", "")
        content = {
            "chosen": choice.hypothesis.id if choice.hypothesis else None,
            "figure": str(choice.figure) if choice.figure else None,
            "why": choice.why,
            "ended": ended,
        }
        return Command(goto="record", update={"steps": office.step(state, "score", content)})

    async def record(self, state: LabelState) -> dict[str, Any]:
        """The label in the ledger, or the reason why there is none."""
        office = self.office
        case, board = await office.case(state["feature"]), office.board(state)
        choice = choosing.choose(board, office.gauge.chance, self.settings.gain)
        if choice.hypothesis is None:
            reason = next((text for text in (state.get("ended", ""),) if text.startswith("unscored")), choice.why)
            office.ledger.add_failure(office.run, case.feature, "label", reason)
            steps = office.step(state, "record", {"label": None, "reason": reason})
            office.leave(case.feature)
            return {"steps": steps, "label": None}
        label = claims.label_of(office, case, board, choice, state)
        office.ledger.add_label(label)
        steps = office.step(state, "record", {"label": label.id})
        office.leave(case.feature)
        return {"steps": steps, "label": label.id}

    async def _gauge(self, hypotheses: Sequence[Hypothesis], step: str) -> dict[str, Gauged]:
        """Figures of hypotheses about the input; those about the output have no text to predict.

        Where the feature's budget ends meanwhile, what was gauged until then is kept.
        """
        figures: dict[str, Gauged] = {}
        for one in hypotheses:
            if one.side == "input":
                try:
                    figures[one.id] = await self.office.gauge.of(one, f"gauge/{step}/{one.called}")
                except FeatureSpent:
                    figures[one.id] = Gauged("none", None, 0, unscored=SPENT)
        return figures

    async def _collides(self, hypothesis: Hypothesis, figure: Gauged | None, step: str) -> bool:
        """Whether the words fit the nearest live feature as well; asked only where they would be taken as they are."""
        settings = self.settings
        if settings.rung == "one-shot" or not settings.ladder or figure is None or figure.value is None:
            return False
        if figure.value < settings.good:
            return False
        for neighbour in self.office.neighbours(hypothesis.feature)[:1]:
            there = await self.office.gauge.elsewhere(hypothesis, neighbour, f"gauge/{step}/neighbour")
            if there.value is not None and there.value >= figure.value - choosing.MARGIN:
                return True
        return False
