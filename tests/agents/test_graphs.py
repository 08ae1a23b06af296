"""langgraph.json: `langgraph dev`, as it is, runs every graph it names on a real store; without one it says what is missing."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from langgraph.graph.state import CompiledStateGraph

from dragoman.store.chats import Chats
from dragoman.store.errors import UserError
from dragoman.store.features import Store
from tests.agents.known import QUESTION as FEATURE
from tests.agents.known import QUESTION_RULE

ROOT = Path(__file__).parents[2]
NAMED = json.loads((ROOT / "langgraph.json").read_text())["graphs"]
RULES = [QUESTION_RULE, 'strongly: "March" "May" "June"']
NODES = {
    "labeler": {"gather", "propose", "design", "experiment", "revise", "debate", "score", "record"},
    "debate": {"open", "round", "verdict"},
    "investigator": {"investigate"},
}
INPUTS: dict[str, dict[str, Any]] = {
    "labeler": {"feature": FEATURE},
    "debate": {"feature": FEATURE, "patterns": RULES},
    "investigator": {"messages": [{"role": "user", "content": str(FEATURE)}]},
}
SMALL: dict[str, dict[str, Any]] = {
    "labeler": {"rung": "one-shot"},
    "debate": {"debate_rounds": 1, "tests": 2},
    "investigator": {},
}


class Served(NamedTuple):
    """A server and its store."""

    url: str
    store: Path
    log: Path

    def post(self, path: str, content: dict[str, Any]) -> str:
        """What it answers."""
        body = json.dumps(content).encode()
        request = urllib.request.Request(self.url + path, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request) as reply:
            return str(reply.read().decode())

    def run(self, graph: str, how: str = "wait", **settings: Any) -> str:
        """What comes of a run of a graph."""
        configurable = {"store": str(self.store), "settings": {**SMALL[graph], **settings}}
        asked = {"assistant_id": graph, "input": INPUTS[graph], "config": {"configurable": configurable}}
        return self.post(f"/runs/{how}", {**asked, **({"stream_mode": ["custom"]} if how == "stream" else {})})


@pytest.fixture(scope="module")
def server(harvested: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`langgraph dev`, told nothing but that nobody looks on, with a store that runs may write to."""
    folder = tmp_path_factory.mktemp("langgraph")
    store = folder / "store"
    store.mkdir()
    for name in ("features.duckdb", "manifest.json"):
        (store / name).symlink_to(harvested / name)
    command = [
        sys.executable,
        "-m",
        "langgraph_cli",
        "dev",
        "--no-browser",
        "--no-reload",
        "--config",
        str(ROOT / "langgraph.json"),
    ]
    quiet = {"LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGGRAPH_NO_VERSION_CHECK": "true", "NO_COLOR": "1"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LANGSMITH", "LANGCHAIN", "LANGGRAPH"))}
    log = folder / "log"
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, env={**kept, **quiet, "PYTHONPATH": str(ROOT)})
    try:
        while not (address := _listening(log.read_text())) and process.poll() is None:
            time.sleep(0.1)
        assert address, log.read_text()
        yield Served(address, store, log)
    finally:
        process.terminate()
        process.wait()


def _listening(said: str) -> str | None:
    """Where the server answers, once it does."""
    found = re.search(r"(http://127\.0\.0\.1:\d+)/docs", said)
    with suppress(OSError):
        if found and urllib.request.urlopen(f"{found[1]}/ok").status == 200:
            return found[1]
    return None


@pytest.mark.slow
def test_the_labeler_labels_a_feature(server: Served) -> None:
    state = json.loads(server.run("labeler"))
    assert "label" in state, server.log.read_text()
    with Store.open(server.store) as store:
        (found,) = store.ledger.labels(FEATURE)
        assert found.id == state["label"] and found.agent == "induction" and found.pattern


@pytest.mark.slow
def test_a_debate_is_held_and_its_transcript_is_in_the_state(server: Served) -> None:
    state = json.loads(server.run("debate"))
    assert "transcript" in state, server.log.read_text()
    assert [one["pattern"] for one in state["transcript"]["labels"][:2]] == RULES
    assert len(state["transcript"]["rounds"]) == 1 and state["transcript"]["verdict"]
    with Store.open(server.store) as store:
        (run,) = (run for run in store.ledger.runs() if run.kind == "debate")
        assert run.status == "done"


@pytest.mark.slow
def test_the_investigator_tells_what_it_does_while_it_does_it(server: Served) -> None:
    lines = [line for line in server.run("investigator", "stream").splitlines() if line.startswith("data: {")]
    events = [event for line in lines if "event" in (event := json.loads(line[6:]))]
    assert [event["event"] for event in events][:2] == ["called", "returned"], server.log.read_text()
    assert [event["event"] for event in events][-1] == "answer" and f"sae/{FEATURE}" in events[-1]["statements"][0]["text"]
    with Store.open(server.store) as store, closing(Chats(store.ledger.path)) as chats:
        (thread,) = chats.threads()
        assert thread.first == str(FEATURE) and thread.last == "answer", "it can be gone on with in the terminal"


@pytest.mark.slow
def test_what_is_wrong_is_told_in_the_answer_and_the_same_configuration_is_the_same_run(server: Served) -> None:
    thread = json.loads(server.post("/threads", {}))["thread_id"]
    asked = {"assistant_id": "labeler", "input": {"feature": FEATURE}}
    unnamed = json.loads(server.post(f"/threads/{thread}/runs/wait", asked))
    assert unnamed["__error__"]["message"].startswith("No store was named")
    asked["config"] = {"configurable": {"store": str(server.store), "settings": SMALL["labeler"]}}
    label = json.loads(server.post(f"/threads/{thread}/runs/wait", asked))["label"]
    again = json.loads(server.post(f"/threads/{thread}/runs/wait", asked))
    assert again["__error__"]["message"].startswith("This thread has worked on a feature already")
    with Store.open(server.store) as store:
        assert [found.id for found in store.ledger.labels(FEATURE)] == [label]
        assert [run.kind for run in store.ledger.runs()].count("label") == 1


def made(name: str) -> Any:
    """What langgraph.json names."""
    module, _, attribute = NAMED[name]["path"].partition(":")
    assert module.startswith("dragoman.agents.") and "/" not in module, "a module, not a file through the links"
    return getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("name", NAMED)
def test_every_graph_can_be_looked_at_without_a_store(name: str) -> None:
    async def look() -> None:
        async with made(name)({"configurable": {}}) as graph:
            assert isinstance(graph, CompiledStateGraph)
            assert set(graph.get_graph().nodes) == {"__start__", *NODES[name], "__end__"}
            assert set(INPUTS[name]) <= set(graph.get_input_jsonschema()["properties"]) <= {*INPUTS[name], "claims"}
            form = graph.get_context_jsonschema()
            assert form and form["properties"]["store"]["description"] == "Folder of the store.", "Studio shows it"
            with pytest.raises(UserError, match="No store was named"):
                await graph.ainvoke(INPUTS[name])

    asyncio.run(look())


def test_a_configuration_that_cannot_be_read_is_one_sentence() -> None:
    async def look(name: str, configurable: dict[str, Any]) -> None:
        async with made(name)({"configurable": configurable}):
            pass

    with pytest.raises(UserError, match=r"^configurable\.seed cannot be read \(.*\): see "):
        asyncio.run(look("investigator", {"seed": "none"}))
    with pytest.raises(UserError, match=r"^configurable\.settings\.rounds cannot be read"):
        asyncio.run(look("labeler", {"settings": {"rounds": 0}}))
