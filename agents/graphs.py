"""The graphs for `langgraph dev` and other servers of LangGraph: langgraph.json names what stands here.

`configurable` (or `context`) says what a command line says: the store, who does the work, the seed. What is done is in the
store's ledger as any other run or thread; checkpoints are the server's. A graph's steps run on an event loop of their own
(`apart.py`), because they write the ledger from it, and nothing may block the server's.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dragoman.evals.runs import resolve
from dragoman.store.features import Store

from .apart import Apart, Refused
from .campaign import Means, Wish, identity
from .hearing import Hearing, hearing
from .investigation.messages import Chat
from .investigator import opened
from .labeler import Labeler
from .models import INDUCTION
from .opening import opening
from .settings import Settings

C = TypeVar("C", bound=BaseModel)
FIRST = ("gather", "open")
"""Nodes that begin a feature's work."""


class Labeling(BaseModel):
    """What labeler and debate can be configured with; whatever else a server puts there is not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    store: Path | None = None
    """Folder of the store."""
    explainer: str = INDUCTION
    """`induction`, or a model by name."""
    judge: str = "pattern"
    """Who says how well a hypothesis does on validation."""
    rival: str | None = None
    """Who holds the other side of a debate; None: the explainer holds both."""
    arbiter: str | None = None
    """The model that writes verdicts of debates; None: code does."""
    seed: int = 0
    """Of everything random."""
    settings: Settings = Field(default_factory=Settings)
    """How they work."""

    def wish(self) -> Wish:
        """The same for a run."""
        return Wish(self.explainer, self.judge, settings=self.settings, seed=self.seed, rival=self.rival, arbiter=self.arbiter)


class Talking(BaseModel):
    """What the investigator can be configured with, likewise."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    store: Path | None = None
    """Folder of the store."""
    model: str = INDUCTION
    """`induction`, which takes commands, or a language model by name."""
    seed: int = 0
    """Of everything random."""


@asynccontextmanager
async def labeler(config: RunnableConfig) -> AsyncIterator[CompiledStateGraph[Any]]:
    """The labeler on one store; its input is {"feature": id}. Raises Refused for a configuration that cannot be read."""
    async with Apart(_labeler(_configured(Labeling, config))) as apart:
        yield _compiled(Labeler(_NOBODY).graph(_once(apart)), Labeling)


@asynccontextmanager
async def debate(config: RunnableConfig) -> AsyncIterator[CompiledStateGraph[Any]]:
    """Debates on one store; the input is {"feature": id, "claims": [one, other], "patterns": [one, other]}.

    Language models debate claims, patterns or both, induction patterns. Raises as `labeler`.
    """
    async with Apart(_hearing(_configured(Labeling, config))) as apart:
        yield _compiled(Hearing(_NOBODY, _NOBODY, _NOBODY, False).graph(_once(apart)), Labeling)


@asynccontextmanager
async def investigator(config: RunnableConfig) -> AsyncIterator[CompiledStateGraph[Any]]:
    """The investigator on one store; the input is {"messages": [{"role": "user", "content": "…"}]}. Raises as `labeler`."""
    async with Apart(_chat(_configured(Talking, config))) as apart:
        yield _compiled(Chat(_NOBODY).graph(apart.node), Talking)


@asynccontextmanager
async def _labeler(given: Labeling) -> AsyncIterator[Labeler]:
    wish = given.wish()
    with Store.open(_named(given)) as store:
        async with opening(store, wish, Means()) as opened:
            run = resolve(store.ledger, "label", {**identity(store, wish, opened), "asked": "over a graph"}, fresh=False)
            store.ledger.start_run(run)
            try:
                async with opened.office(run.id) as office:
                    yield Labeler(office)
            finally:
                store.ledger.finish_run(run.id, "stopped")


@asynccontextmanager
async def _hearing(given: Labeling) -> AsyncIterator[Hearing]:
    settings = given.settings.model_copy(update={"rung": "debate"})  # as on the command line: the same debate is the same run
    async with hearing(_named(given), given.model_copy(update={"settings": settings}).wish(), Means()) as heard:
        yield heard


@asynccontextmanager
async def _chat(given: Talking) -> AsyncIterator[Chat]:
    async with opened(_named(given), given.model, seed=given.seed) as converser:
        yield Chat(converser)


def _named(given: Labeling | Talking) -> Path:
    if given.store is None:
        raise Refused('No store was named: put its folder into the configuration, as {"configurable": {"store": "S"}}.')
    return given.store


def _once(apart: Apart[Any]) -> Callable[[Any], Any]:
    """What wraps the nodes of a graph of which a thread is one feature's work, from its beginning to its end."""

    def around(node: Any) -> Any:
        step = apart.node(node)

        @functools.wraps(node)
        async def first(state: Mapping[str, Any]) -> Any:
            if "steps" in state:
                raise Refused("This thread has worked on a feature already: begin another thread for the next one.")
            return await step(state)

        return first if node.__name__ in FIRST else step

    return around


def _compiled(graph: StateGraph[Any, Any, Any, Any], kind: type[BaseModel]) -> CompiledStateGraph[Any]:
    """The graph with what it can be configured with, so that Studio shows a form for it."""
    graph.context_schema = kind
    return graph.compile()


def _configured(kind: type[C], config: RunnableConfig) -> C:
    try:
        return kind(**config.get("configurable", {}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Refused(
            f"configurable.{where} cannot be read ({first['msg']}): see dragoman.agents.graphs.{kind.__name__}."
        ) from None


_NOBODY: Any = SimpleNamespace(settings=Settings())
"""Stands where somebody will be once a run begins: the shape of a graph is known before."""
