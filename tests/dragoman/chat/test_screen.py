"""What a screen shows of anything at all acts on nothing: not on a terminal, not on rich, not on a reader of JSON lines."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import pytest
from rich.console import Console

from dragoman.agents.investigation.events import Answer, Called, Citation, Event, Question, Returned, Said, Statement, Stopped
from dragoman.agents.investigation.protocol import ThreadInfo, Turn
from dragoman.chat.figures import FIGURES
from dragoman.chat.screen import Lines, People
from dragoman.store.chats import ChatStep
from dragoman.tools.toolbox import registry

EVIL = "\x1b[31m\x1b]0;title\x07\u202e[bold]x[/bold][link=http://x]\r\x9b1m\u2028\x00\x08"
"""Colours, a window title, a line turned round, rich's markup, a line begun again, an 8-bit escape, line breaks of Unicode."""
BIG = EVIL * 40_000
"""A token of a megabyte."""


def evil(value: Any, text: str = EVIL) -> Any:
    """The same with every text replaced by a hostile one."""
    if isinstance(value, str):
        return text
    if isinstance(value, list):
        return [evil(entry, text) for entry in value]
    if isinstance(value, Mapping):
        return {key: evil(entry, text) for key, entry in value.items()}
    return value


TOKENS = {"tokens": ["a", "b"], "values": [1.0, 0.0]}
SHIFT = {"token": "a", "id": 1, "shift": 1.0, "before": 0.1, "after": 0.2}
EFFECT = {"feature": "a", "kl": 1.0, "watched": [SHIFT], "promoted": [SHIFT], "suppressed": [SHIFT]}
DATA: dict[str, dict[str, Any]] = {
    "activate": {"maximum": 2.0, "threshold": 0.5, "texts": [{"text": "a", "max": 1.0, **TOKENS}]},
    "edit_and_compare": {
        "before": 1.0,
        "maximum": 2.0,
        "threshold": 0.5,
        **TOKENS,
        "variants": [{"after": 0.5, "edits": ["a"], **TOKENS}, {"after": None, "edits": ["a"], **TOKENS}],
    },
    "top_examples": {"maximum": 2.0, "threshold": 0.5, "examples": [{"context": 3, **TOKENS}]},
    "find_features": {
        "contexts": 9,
        "features": [{"feature": "a", "share": 0.5, "token": "a", "contexts": 3, "label": "a"}],
    },
    "contrast": {"rows": [{"feature": "a", "fires_a": 1.0, "fires_b": 0.0, "peak_a": 1.0, "peak_b": 0.0}]},
    "neighbours": {"by": "a", "neighbours": [{"feature": "a", "value": 0.5, "top_tokens": [["a", 1.0]]}]},
    "explain_prediction": {
        "next": "a",
        "before": 0.5,
        "features": [{"feature": "a", "shift": -1.0, "after": 0.2}],
        "together": {"shift": -2.0, "after": 0.1},
        "control": {"shift": 0.1, "after": 0.6},
    },
    "ablate": {**EFFECT, "controls": [{"kl": 0.1, "watched": [SHIFT]}]},
    "steer": {**EFFECT, "control": EFFECT},
    "logit_effects": {"promoted": [["a", 1.0]], "suppressed": [["a", -1.0]], "watched": []},
    "feature_stats": {
        "feature": "a",
        "active": 3,
        "histogram": [1, 2],
        "maximum": 2.0,
        "firing": 1,
        "firing_density": 0.1,
        "firing_contexts": 1,
        "top_tokens": [["a", 1.0]],
    },
    "attribute_tokens": {"feature": "a", "position": 1, "value": 1.0, "tokens": ["a", "b"], "scores": [0.5, None]},
    "search_labels": {"labels": [{"feature": "a", "name": "a", "description": "a"}]},
    "query_store": {"columns": ["a", "b"], "rows": [["a", 1.0], [None, 2]]},
    "generate_steered": {"continuations": [{"prompt": "a", "direction": "feature", "strength": 2.0, "text": "a"}]},
}
"""Results of every tool that has a figure, as small as they can be."""


def harmless(text: str, *, colours: bool) -> bool:
    """Whether nothing in it acts; on a terminal rich's own colours may stand there, and nothing else of that kind."""
    if colours:
        text = re.sub(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[[12]?K|\x1b\[1A|\r", "", text)
    return all(c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Zl", "Zp") for c in text)


def people(step: ChatStep | None, colours: bool) -> tuple[People, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=colours, color_system="truecolor" if colours else None, width=100, highlight=False)
    return People(console, lambda id: step), out


def step_of(tool: str, data: dict[str, Any] | None, result: str = EVIL) -> ChatStep:
    return ChatStep("row", "thread", 1, tool, {EVIL: EVIL}, result, data, data is None)


@pytest.mark.parametrize("colours", [True, False])
def test_every_event_is_shown_harmlessly(colours: bool) -> None:
    step = step_of("activate", evil(DATA["activate"]))
    screen, out = people(step, colours)
    citation = Citation("step", "row", EVIL)
    events: list[Event] = [
        Said(EVIL + "\n" + EVIL),
        Called(EVIL, EVIL, {EVIL: EVIL}),
        Returned(EVIL, EVIL, EVIL, True, "row"),
        Question(EVIL, EVIL),
        Called("E1", "activate", {"texts": [BIG]}),
        Returned("E1", "activate", EVIL + "\n" + EVIL, False, "row"),
        Said(BIG),
        Answer((Statement(EVIL + "\n" + EVIL, (citation,), False), Statement(BIG, (), True, EVIL))),
        Stopped(EVIL),
    ]
    for event in events:
        screen.show(event)
    screen.history([Turn("user", EVIL), Turn("assistant", EVIL, tuple(events))])
    screen.threads([ThreadInfo(EVIL, EVIL, 2, EVIL, "question")])
    screen.say(EVIL)
    screen.interrupted()
    said = out.getvalue()
    assert harmless(said, colours=colours) and "[bold]x[/bold]" in said, "markup is text"
    assert "⟨U+001B⟩" in said and "⟨U+202E⟩" in said and len(said) < 60_000


@pytest.mark.parametrize("colours", [True, False])
def test_every_figure_is_drawn_harmlessly_and_bounded(colours: bool) -> None:
    assert set(DATA) == set(FIGURES) and set(FIGURES) <= set(registry())
    for tool, data in DATA.items():
        size = 1_000_000 if tool in ("activate", "search_labels") else 10_000
        for hostile in (evil(data), evil(data, "x" * size)):
            screen, out = people(None, colours)
            screen.step(step_of(tool, hostile))
            said = out.getvalue()
            assert harmless(said, colours=colours) and len(said) < 20_000, tool
            assert "As agents read it" in said


@pytest.mark.parametrize("tool", [*DATA, "no_such_tool"])
def test_a_result_of_another_shape_is_shown_as_text(tool: str) -> None:
    screen, out = people(None, False)
    screen.step(step_of(tool, {"something": "else"}, "what came out"))
    assert "what came out" in out.getvalue()


def test_an_answer_cites_its_steps_and_marks_conjecture(capsys: pytest.CaptureFixture[str]) -> None:
    cited = Statement("It fires.", (Citation("step", "row", "E3"), Citation("label", "id", "label sae/1")), False)
    guess = Statement("So it means birds.", (), True, "nothing tests it")
    screen, out = people(None, False)
    screen.show(Answer((cited, guess)))
    assert out.getvalue() == "• It fires. [E3] [label sae/1]\n• conjecture: So it means birds. (nothing tests it)\n"
    coloured, shown = people(None, True)
    coloured.show(Answer((cited, guess)))
    first, second = shown.getvalue().splitlines()
    assert "\x1b[2m" not in first and "\x1b[2;3mSo it means birds." in second, "conjecture is dimmed"
    Lines().show(Answer((cited, guess)))
    (line,) = capsys.readouterr().out.splitlines()
    record = json.loads(line)
    assert record["event"] == "answer" and [one["conjecture"] for one in record["statements"]] == [False, True]
    assert record["statements"][0]["citations"][0] == {"kind": "step", "id": "row", "name": "E3"}


def test_scripts_read_one_object_a_line_in_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Lines()
    screen.show(Called("E1", "activate", {"texts": [EVIL], "n": float("nan")}))
    screen.step(step_of("activate", {"value": float("nan")}))
    lines = capsys.readouterr().out
    assert lines.isascii() and harmless(lines, colours=False)
    called, step = map(json.loads, lines.splitlines())
    assert called["arguments"] == {"texts": [EVIL], "n": None} and step["data"] == {"value": None}


def test_firing_tokens_are_marked_with_and_without_colours() -> None:
    data = {"maximum": 2.0, "threshold": 0.5, "texts": [{"max": 1.0, "tokens": ["a", " b"], "values": [0.1, 1.0]}]}
    plain, out = people(None, False)
    plain.step(step_of("activate", data))
    assert "a[[ b]]" in out.getvalue()
    coloured, shown = people(None, True)
    coloured.step(step_of("activate", data))
    assert "\x1b[1;30;48;2;" in shown.getvalue(), "bold on a colour where it fires"
