"""What the investigator's model is sent."""

from __future__ import annotations

from collections.abc import Iterator

import jinja2
import pytest

from dragoman.agents import prompting
from dragoman.agents.investigation.prompting import LEFT_OUT, NOT_RUN, instructions, messages
from dragoman.store.chats import ChatStep, Entry, step_id
from dragoman.tools.toolbox import LEGEND, Desk
from tests.support.synthetic import make_store


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    path = tmp_path_factory.mktemp("prompting") / "store"
    make_store(path).close()
    with Desk.open(path) as opened:
        yield opened


def test_the_instructions_say_what_there_is_and_only_that(desk: Desk) -> None:
    whole = instructions(desk, "gpt", 12, ["ablate", "contrast"])
    assert "(gpt, 12 layers)" in whole and "sae (24 features, sae/0 to sae/23;" in whole and LEGEND in whole
    assert "explain_prediction" in whole and "find_features" in whole
    bare = instructions(desk, "gpt", 12, ["query_store"])
    assert "explain_prediction" not in bare and "find_features" not in bare and "there is no model here" in bare
    assert "{" not in bare.replace(LEGEND, "") and "  " not in bare
    with pytest.raises(jinja2.UndefinedError):
        prompting.rendered("investigate", store="s")


def thread(turns: int, size: int) -> tuple[list[Entry], dict[int, ChatStep]]:
    """A thread with a tool call a turn."""
    entries: list[Entry] = []
    for turn in range(1, turns + 1):
        call = {"id": f"call_{turn}", "name": "query_store", "arguments": '{"sql": "x"}', "number": turn}
        entries.append(Entry(f"a{turn}", turn, "asked", {"text": f"question {turn}"}))
        entries.append(Entry(f"s{turn}", turn, "said", {"round": 0, "text": "", "finish": "stop", "calls": [call]}))
        entries.append(Entry(f"r{turn}", turn, "said", {"round": 1, "text": f"answer {turn}", "finish": "stop", "calls": []}))
    steps = {n: ChatStep(step_id("t", n), "t", n, "query_store", {}, f"{n}" * size, {}, False) for n in range(1, turns + 1)}
    return entries, steps


def test_a_long_thread_is_shortened_from_its_beginning() -> None:
    entries, steps = thread(9, 2_000)
    whole = messages("system", entries, steps)
    assert len(whole) == 1 + 9 * 4 and whole[3].content == f"E1\n{'1' * 2_000}"
    short = messages("system", entries, steps, 15_000)
    told = [one.content for one in short if one.role == "tool"]
    assert len(told) == 9 and told[0].startswith("E1\n111") and told[0].endswith(LEFT_OUT) and told[-1] == f"E9\n{'9' * 2_000}"
    least = messages("system", entries, steps, 5_000)
    assert sum(len(one.content) for one in least) <= 5_000 and least[1].role == "user" and least[0].role == "system"
    assert least[1].content in {f"question {n}" for n in range(6, 10)} and least[-1].content == "answer 9"


def test_what_was_not_run_is_said_and_users_messages_are_joined() -> None:
    entries, steps = thread(2, 5)
    del steps[1]
    entries[2] = Entry("stop", 1, "stopped", {"reason": "Because."})
    found = messages(
        "system", [*entries, Entry("b", 3, "asked", {"text": "one"}), Entry("c", 4, "asked", {"text": "two"})], steps
    )
    assert found[3].content == NOT_RUN and found[3].tool_call_id == "call_1"
    assert found[-1].content == "one\n\ntwo" and [one.role for one in found].count("user") == 3
