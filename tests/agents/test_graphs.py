"""langgraph.json: every graph it names can be made, and the labeler labels a feature."""

from __future__ import annotations

import asyncio
import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph

from dragoman.store.errors import UserError
from dragoman.store.features import Store

ROOT = Path(__file__).parents[2]
NAMED = json.loads((ROOT / "langgraph.json").read_text())["graphs"]


def made(name: str) -> Any:
    """What langgraph.json names."""
    module, _, attribute = NAMED[name].partition(":")
    assert module.startswith("dragoman.agents.") and "/" not in module, "a module, not a file through the links"
    return getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("name", NAMED)
def test_every_graph_can_be_looked_at_without_a_store(name: str) -> None:
    async def look() -> None:
        async with made(name)({"configurable": {}}) as graph:
            assert isinstance(graph, CompiledStateGraph)
            assert {"gather", "propose", "record"} <= set(graph.get_graph().nodes)
            with pytest.raises(UserError, match="No store was named"):
                await graph.ainvoke({"feature": 0})

    asyncio.run(look())


@pytest.mark.slow
def test_the_labeler_graph_labels_a_feature_with_induction(organism: Path) -> None:
    config: RunnableConfig = {
        "configurable": {
            "store": str(organism),
            "explainer": "induction",
            "settings": {"rung": "one-shot"},
            "thread_id": "the server's own",
        }
    }

    async def label() -> Any:
        async with made("labeler")(config) as graph:
            return await graph.ainvoke({"feature": 72}, config)

    state = asyncio.run(label())
    with Store.open(organism) as store:
        (found,) = store.ledger.labels(72)
        assert found.id == state["label"] and found.agent == "induction" and found.pattern
    assert asyncio.run(label())["label"] == state["label"], "the same configuration is the same run"
    with Store.open(organism) as store:
        assert len(store.ledger.labels(72)) == 1 and len(store.ledger.runs()) == 1


def test_a_configuration_that_cannot_be_read_is_one_sentence() -> None:
    async def look(configurable: dict[str, Any]) -> None:
        async with made("labeler")({"configurable": configurable}):
            pass

    with pytest.raises(UserError, match=r"^configurable\.seed cannot be read \(.*\): see "):
        asyncio.run(look({"seed": "none"}))
    with pytest.raises(UserError, match=r"^configurable\.settings\.rounds cannot be read"):
        asyncio.run(look({"settings": {"rounds": 0}}))
