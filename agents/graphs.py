"""The graphs for `langgraph dev` and other servers of LangGraph: langgraph.json names what stands here.

`configurable` says what a campaign's command line says: store, explainer, judge, seed, and settings as an object. Such a run is
in the store's ledger as any other, under a run id that hashes all of it; checkpoints are the server's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dragoman.evals.runs import resolve
from dragoman.store.errors import UserError
from dragoman.store.features import Store

from .campaign import Means, Wish, identity
from .labeler import Labeler
from .office import Office
from .opening import opening
from .settings import Settings


class Configurable(BaseModel):
    """What a graph can be configured with; whatever else a server puts there is not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    store: Path | None = None
    """Folder of the store."""
    explainer: str = "induction"
    """`induction`, or a model by name."""
    judge: str = "pattern"
    """Who says how well a hypothesis does on validation."""
    seed: int = 0
    """Of everything random."""
    settings: Settings = Field(default_factory=Settings)
    """How the labeler works."""


@asynccontextmanager
async def labeler(config: RunnableConfig) -> AsyncIterator[CompiledStateGraph[Any]]:
    """The labeler on one store; its input is {"feature": id}.

    Without a store the graph can be looked at, and says at its first step what is missing. Raises UserError for a
    configuration that cannot be read, and as a campaign does.
    """
    given = _configurable(config)
    if given.store is None:
        yield Labeler(cast(Office, _NoOffice())).graph().compile()
        return
    with Store.open(given.store) as store:
        wish = Wish(given.explainer, given.judge, settings=given.settings, seed=given.seed)
        async with opening(store, wish, Means()) as opened:
            run = resolve(store.ledger, "label", {**identity(store, wish, opened), "asked": "over a graph"}, fresh=False)
            store.ledger.start_run(run)
            async with opened.office(run.id) as office:
                yield Labeler(office).graph().compile()
            store.ledger.finish_run(run.id, "stopped")


def _configurable(config: RunnableConfig) -> Configurable:
    try:
        return Configurable(**config.get("configurable", {}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(
            f"configurable.{where} cannot be read ({first['msg']}): see dragoman.agents.graphs.Configurable."
        ) from None


class _NoOffice:
    """Stands where an office would be, had a store been named."""

    settings = Settings()

    def __getattr__(self, name: str) -> Any:
        raise UserError('No store was named: put its folder into the configuration, as {"configurable": {"store": "S"}}.')
