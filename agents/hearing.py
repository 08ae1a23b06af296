"""One debate on its own: two labels that somebody gives, held against each other until one is left or the rounds are over.

It is a run of its own kind: the same command finds the same run, goes on where it was stopped, and shows the same transcript. It
publishes no label.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, NotRequired

from langgraph.graph import END, START, StateGraph
from pydantic import ValidationError
from typing_extensions import TypedDict

from dragoman.evals.runs import canonical, resolve, working_on
from dragoman.store.errors import ToolError, UserError
from dragoman.store.features import Store
from dragoman.store.findings import Hypothesis
from dragoman.store.records import Run
from dragoman.store.trail import Cost, read_trail
from dragoman.tools.patterns import parse
from dragoman.tools.patterns.naming import name_of
from dragoman.tools.patterns.render import render

from . import claims
from .answers import LONGEST, NAME_WORDS, Claim
from .board import Board
from .campaign import Means, Wish, identity
from .debate import Debate
from .models import is_induction
from .office import Office
from .opening import Opened, opening
from .queue import queue
from .standing import Standing
from .state import LabelState
from .transcript import Transcript, transcript

GIVEN = "given"
"""The author of a motion's labels, which nobody at the table made."""


@dataclass(frozen=True)
class Motion:
    """What is debated."""

    claims: tuple[str, ...] = ()
    """The labels in words; none, where their rules say all."""
    patterns: tuple[str, ...] = ()
    """The labels as rules, in the same order; none, where words say all."""


class Heard(NamedTuple):
    """How a debate ended."""

    run: Run
    """The run."""
    transcript: Transcript
    """What was said and found."""
    spent: Cost
    """What it took."""


def debate(path: Path, feature: int, motion: Motion, wish: Wish, means: Means, fresh: bool = False) -> Heard:
    """Hold the two labels of a motion against each other.

    wish.features is not looked at. Raises UserError for a feature that is not live, for labels that cannot be debated by those
    who are asked to, and as `campaign` does.
    """
    _claims(motion, wish)
    return asyncio.run(_debate(path, feature, motion, wish, means, fresh))


async def _debate(path: Path, feature: int, motion: Motion, wish: Wish, means: Means, fresh: bool) -> Heard:
    given: Moved = {"feature": feature, "claims": list(motion.claims), "patterns": list(motion.patterns)}
    async with hearing(path, wish, means, fresh) as held:
        state = await held.graph().compile().ainvoke(given)
        run, office = await held.sitting(given)
        spent = read_trail(office.trails, office.ledger, run, feature).cost
        return Heard(run, Transcript.model_validate(state["transcript"]), spent)


@asynccontextmanager
async def hearing(path: Path, wish: Wish, means: Means, fresh: bool = False) -> AsyncIterator[Hearing]:
    """What holds debates on a store. Raises UserError as `campaign` does."""
    with Store.open(path) as store:
        async with opening(store, wish, means) as opened, AsyncExitStack() as stack:
            yield Hearing(store, opened, stack, fresh)


class Moved(TypedDict):
    """What the graph of a debate on its own is given: a motion."""

    feature: int
    """Global id of the feature."""
    claims: NotRequired[list[str]]
    """The labels in words; missing or empty, where their rules say all."""
    patterns: NotRequired[list[str]]
    """The labels as rules, in the same order; missing or empty, where words say all."""


class HearingState(LabelState, total=False):
    """Its state."""

    claims: list[str]
    """As they were given."""
    patterns: list[str]
    """Likewise."""
    transcript: dict[str, Any]
    """What was said and found, when it is over (`Transcript` as JSON)."""


class Hearing:
    """Debates on one store, each a run of its own.

    open → round → round → … → verdict
    """

    def __init__(self, store: Store, opened: Opened, stack: AsyncExitStack, fresh: bool) -> None:
        """See `hearing`. stack: closes what debates open."""
        self._store, self._opened, self._stack, self._fresh = store, opened, stack, fresh
        self._sittings: dict[str, tuple[Run, Office]] = {}

    def graph(self, around: Callable[[Any], Any] = lambda node: node) -> StateGraph[HearingState, None, Moved]:
        """The graph, not yet compiled. around: what each node is wrapped in."""
        graph = StateGraph(HearingState, input_schema=Moved)
        for name in ("open", "round", "verdict"):
            graph.add_node(name, around(getattr(self, name)))
        graph.add_edge(START, "open")
        graph.add_edge("open", "round")
        graph.add_conditional_edges("round", _after_a_round, ["round", "verdict"])
        graph.add_edge("verdict", END)
        return graph

    async def open(self, state: HearingState) -> dict[str, Any]:
        """Seat those who hold the two labels.

        Raises UserError for labels that cannot be debated and for a feature that is not live.
        """
        feature, said = state["feature"], _claims(_motion(state), self._opened.wish)
        _, office = await self.sitting(state)
        held = Debate(office)
        made: list[Hypothesis] = []
        for claim in said:
            made.append(claims.debated(office, feature, Board(dropped=tuple(made)), 0, claim, (), GIVEN))
        figures = {one.id: await office.gauge.of(one, f"gauge/motion/{one.called}") for one in made}
        office.trails.propose(made)
        update: dict[str, Any] = {
            "alive": [one.id for one in made],
            "figures": {name: list(figure) for name, figure in figures.items()},
        }
        begun: LabelState = {"feature": feature, **update}  # type: ignore[typeddict-item]  # keys of the state
        return {**update, **held.seat(begun, *made)}

    async def round(self, state: HearingState) -> dict[str, Any]:
        """One round."""
        _, office = await self.sitting(state)
        return await Debate(office).round(state)

    async def verdict(self, state: HearingState) -> dict[str, Any]:
        """The verdict, and the transcript."""
        run, office = await self.sitting(state)
        update = await Debate(office).verdict(state)
        found = transcript(office.trails, run.id, state["feature"])
        assert found is not None
        return {**update, "transcript": found.model_dump(mode="json")}

    async def sitting(self, state: HearingState | Moved) -> tuple[Run, Office]:
        """The run of a debate, and those who hold it. Raises UserError where another process holds the same debate."""
        feature, said = state["feature"], _claims(_motion(state), self._opened.wish)
        config: dict[str, Any] = {**identity(self._store, self._opened.wish, self._opened), "features": str(feature)}
        config["labels"] = [one.model_dump(mode="json") for one in said]
        asked = canonical(config)
        if asked not in self._sittings:
            queue(self._store, (feature,))
            run = resolve(self._store.ledger, "debate", config, self._fresh)
            self._stack.enter_context(working_on(self._store.path, self._store.ledger, run))
            self._sittings[asked] = run, await self._stack.enter_async_context(self._opened.office(run.id))
        return self._sittings[asked]


def _motion(state: HearingState | Moved) -> Motion:
    return Motion(tuple(state.get("claims") or ()), tuple(state.get("patterns") or ()))


def _after_a_round(state: HearingState) -> Literal["round", "verdict"]:
    return "verdict" if Standing.model_validate(state["debate"]).ended else "round"


def _claims(motion: Motion, wish: Wish) -> list[Claim]:
    """The two labels. Raises UserError where there are not two, or where one cannot be debated."""
    count = max(len(motion.claims), len(motion.patterns))
    if count != 2 or len(motion.claims) not in (0, 2) or len(motion.patterns) not in (0, 2):
        raise UserError(
            "A debate is between two labels: give two claims (--claim twice), two patterns in the same order (--pattern twice) "
            "or both."
        )
    seated = (wish.explainer, wish.rival or wish.explainer)
    if not motion.patterns and any(is_induction(spec) for spec in seated):
        raise UserError(
            "induction debates rules, not words: give --pattern for both labels, or language models as --explainer and --rival."
        )
    made = []
    for number in range(2):
        words = motion.claims[number] if motion.claims else ""
        rule = motion.patterns[number] if motion.patterns else None
        try:
            pattern = None if rule is None else parse(rule)
        except ToolError as error:
            raise UserError(f"The pattern {rule!r} cannot be read: {error}") from None
        name = " ".join(words.split()[:NAME_WORDS]) if words or pattern is None else name_of(pattern.clauses[0])
        words = words or (render(pattern)[:LONGEST] if pattern is not None else "")
        try:
            made.append(Claim(name=name, description=words, pattern=None if pattern is None else str(pattern)))
        except ValidationError as error:
            raise UserError(
                f"The claim {words[:60]!r} cannot be used: it {error.errors()[0]['msg'].removeprefix('Value error, ')}."
            ) from None
    if (made[0].description, made[0].pattern) == (made[1].description, made[1].pattern):
        raise UserError("Both labels are the same: a debate needs two that differ.")
    return made
