"""Direct commands: what is typed becomes the call it says, and what cannot be read gets one sentence with an example."""

from __future__ import annotations

import pytest

from dragoman.agents.investigation.commands import COMMANDS, manual, named, read
from dragoman.agents.investigation.grammar import Call, Differ, Explain, Help, Investigate
from dragoman.store.errors import ToolError
from dragoman.tools.toolbox import registry

TEXT = "The nurse gave Mary tea."


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        (f"activate 88 {TEXT}", Call("activate", {"feature": "88", "texts": [TEXT]})),
        (f"ACTIVATE sae/88 {TEXT} | a \\| b", Call("activate", {"feature": "sae/88", "texts": [TEXT, "a | b"]})),
        ("find  two  blanks", Call("find_features", {"text": "two  blanks"})),
        ("ablate 88", Call("ablate", {"feature": "88", "controls": 16})),
        (
            "ablate 88 a -> b -> Paris",
            Call("ablate", {"feature": "88", "texts": ["a -> b"], "at": "last", "controls": 16, "watch": [" Paris"]}),
        ),
        (
            'ablate 88 (x → ")"',
            Call("ablate", {"feature": "88", "texts": ["(x"], "at": "last", "controls": 16, "watch": [")"]}),
        ),
        ("steer 88 Go to the", Call("steer", {"feature": "88", "prompts": ["Go to the"], "strength": 2.0})),
        ("steer 88 x-1.5 Go", Call("steer", {"feature": "88", "prompts": ["Go"], "strength": -1.5})),
        ("steer 88 x2y Go", Call("steer", {"feature": "88", "prompts": ["x2y Go"], "strength": 2.0})),
        ("generate 88 x1 x8 Go", Call("generate_steered", {"feature": "88", "prompts": ["Go"], "strengths": [1.0, 8.0]})),
        ("examples 88 near miss", Call("top_examples", {"feature": "88", "stratum": "near_miss"})),
        ("contrast a vs b | c", Call("contrast", {"a": ["a"], "b": ["b", "c"]})),
        ('pattern 88 strongly: "a" | "b"', Call("match_pattern", {"feature": "88", "pattern": 'strongly: "a" | "b"'})),
        ("predict Go to -> Rome", Call("explain_prediction", {"text": "Go to", "next": " Rome"})),
        ("predict Go to", Call("explain_prediction", {"text": "Go to"})),
        ("sql SELECT 1", Call("query_store", {"sql": "SELECT 1"})),
        ("neighbours 88", Call("neighbours", {"feature": "88"})),
        ("88", Explain("88")),
        ("differ 88 sae/912", Differ("88", "sae/912")),
        ("investigate Who is -> she", Investigate("Who is", " she")),
        ("investigate Who is ->", Investigate("Who is", None)),
        ("help edit", Help(named("edit"))),
    ],
)
def test_a_line_is_the_call_that_it_says(line: str, asked: object) -> None:
    assert read(line) == asked


@pytest.mark.parametrize(
    ("edit", "made"),
    [
        ("Mary -> him", {"kind": "substitute", "find": " Mary", "text": " him"}),
        ('"Mary" -> "Jo hn"', {"kind": "substitute", "find": "Mary", "text": "Jo hn"}),
        ("The -> A", {"kind": "substitute", "find": "The", "text": "A"}),
        ("#3 -> him", {"kind": "substitute", "start": 3, "text": "him"}),
        ("gave ->", {"kind": "delete", "find": " gave"}),
        ("delete #2", {"kind": "delete", "start": 2}),
        ("upper Mary", {"kind": "case", "how": "upper", "find": " Mary"}),
        ("like nurse", {"kind": "of_its_kind", "find": " nurse"}),
        ("cut Mary", {"kind": "truncate", "find": " Mary"}),
    ],
)
def test_an_edit_in_words_is_the_edit_of_the_tool(edit: str, made: dict[str, object]) -> None:
    asked = read(f"edit 88 {TEXT} | {edit}")
    assert asked == Call("edit_and_compare", {"feature": "88", "text": TEXT, "edits": [made]})


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "Type a command"),
        ("activte 88 x", "did you mean activate?"),
        ("why does it say Austin?", "There is no command 'why'"),
        ("activate some text", "it needs a feature first (DICT/INDEX or INDEX) and not 'some'"),
        ("activate 88", "it needs a text"),
        ("activate", "it needs a feature first"),
        ("neighbours 88 89", "it takes one feature, and '89' is too much"),
        (f"edit 88 {TEXT}", "after a bar, what to change"),
        (f"edit 88 {TEXT} | shout Mary", "'shout Mary' is no edit"),
        (f"edit 88 {TEXT} |  -> him", "what to change before the arrow"),
        ("ablate 88 -> Paris", "no text before the arrow"),
        ("predict -> Paris", "no text before the arrow"),
        ("steer 88 x2 x4 Go", "it takes one strength"),
        ("contrast a", "two texts with vs between them"),
        ("differ 88", "it needs two features"),
        ("investigate -> x", "it needs a text"),
        ("help frobnicate", "there is no command 'frobnicate'"),
        ("\x1b[31mfind x", "There is no command '⟨U+001B⟩[31mfind'"),
        ("find " + "a" * 20_001, "at most 20,000 characters"),
    ],
)
def test_what_cannot_be_read_gets_one_sentence_with_an_example(line: str, says: str) -> None:
    with pytest.raises(ToolError) as raised:
        read(line)
    said = str(raised.value)
    assert says in said and "\n" not in said and "\x1b" not in said
    if len(line) < 100:
        assert any(f"example: {command.example}" in said for command in COMMANDS)


def test_every_tool_has_a_command_and_every_example_works() -> None:
    called = {asked.tool for command in COMMANDS if isinstance(asked := read(command.example), Call)}
    assert called == set(registry()), "each tool once"
    for asked in (read(command.example) for command in COMMANDS):
        if isinstance(asked, Call):
            registry()[asked.tool].read(asked.arguments)
    assert all(command.name in manual() and command.example in manual(command) for command in COMMANDS)
