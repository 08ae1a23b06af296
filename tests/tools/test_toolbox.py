"""The registry and the object that calls tools: schemas, errors that teach, bounds, repeatability, threads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dragoman.store.errors import ToolError, UserError
from dragoman.store.features import Store
from dragoman.tools.toolbox import Toolbox, registry
from dragoman.tools.toolkit.declaring import ToolResult, declare
from dragoman.tools.toolkit.document import page
from dragoman.tools.toolkit.showing import MOST
from dragoman.tools.toolkit.study import Study
from tests.support.words import planted_desk

CALLS: dict[str, list[dict[str, Any]]] = {
    "example_groups": [{"most": 3}, {"feature": "sae/23"}],
    "top_examples": [{}, {"stratum": "near_miss", "n": 4}, {"stratum": "random_active", "skip": 3, "whole": True}],
    "feature_stats": [{}, {"feature": "sae/23"}],
    "activate": [{"texts": ["the park sang", "Mary gave John tea"]}],
    "edit_and_compare": [
        {
            "text": "the park sang",
            "edits": [{"kind": "substitute", "find": " park", "text": " robin"}, {"kind": "truncate", "start": 1}],
        }
    ],
    "contrast": [{"a": ["the park sang"], "b": ["the robin sang"]}],
    "find_features": [{"text": "the park sang"}],
    "match_pattern": [{"pattern": 'strongly: "robin"'}],
    "neighbours": [{}, {"by": "coactivation"}],
    "minimal_context": [{"text": "the park robin sang"}, {"text": "the park robin sang", "others": "delete"}],
    "attribute_tokens": [{"text": "the park robin sang"}, {"text": "the robin sang", "position": 1, "method": "delete"}],
    "search_inputs": [{"effort": 60, "length": 3, "n": 2}],
    "logit_effects": [{}],
    "search_labels": [{"words": "park"}],
    "query_store": [{"sql": "SELECT * FROM activation WHERE feature = 2 ORDER BY value DESC, context, position LIMIT 5"}],
    "record_note": [{"text": "Fires on robins."}],
}
"""Calls that work on the synthetic store with its planted program."""


@pytest.fixture
def toolbox(synthetic_store: Store) -> Iterator[Toolbox]:
    yield Toolbox(planted_desk(synthetic_store), "run", 2)


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Every object of a schema."""
    if isinstance(schema, dict):
        yield schema
        for child in schema.values():
            yield from nodes(child)
    elif isinstance(schema, list):
        for child in schema:
            yield from nodes(child)


def test_every_argument_is_explained_and_every_object_closed() -> None:
    for name, tool in registry().items():
        assert tool.spec.name == name == tool.run.__name__
        assert len(tool.spec.description) > 40 and "Args" not in tool.spec.description
        assert tool.spec.schema["type"] == "object"
        json.dumps(tool.spec.schema)
        for node in nodes(tool.spec.schema):
            assert "$ref" not in node and "$defs" not in node and {"type": "null"} not in node.get("anyOf", [])
            if node.get("type") == "object":
                assert node["additionalProperties"] is False
                assert all(entry.get("description") for entry in node["properties"].values()), name
        assert "split" not in tool.spec.schema["properties"]


def test_the_examples_of_the_docstrings_are_calls_that_can_be_read() -> None:
    for tool in registry().values():
        read = tool.read(tool.example)
        assert set(tool.example) <= set(read) == set(tool.spec.schema["properties"])


def test_a_schema_follows_from_hints_and_docstring() -> None:
    def look(study: Study, words: list[str], n: int = 3, feature: str | None = None) -> ToolResult:
        """Look at words.

        More about it
        on two lines.

        Args:
            words: The words,
                all of them.
            n: How many.
            feature: Which.

        Example:
            {"words": ["a"]}
        """
        return ToolResult("", {})

    spec = declare(look, "store").spec
    assert spec.description == "Look at words.\nMore about it on two lines."
    assert spec.schema == {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "words": {"type": "array", "items": {"type": "string"}, "description": "The words, all of them."},
            "n": {"type": "integer", "default": 3, "description": "How many."},
            "feature": {"type": "string", "description": "Which."},
        },
        "required": ["words"],
    }
    look.__doc__ = str(look.__doc__).replace("n: How many.", "")
    with pytest.raises(ValueError, match=r"explains \['feature', 'words'\]"):
        declare(look, "store")


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("nothing", {}, 'There is no tool "nothing"; the tools are top_examples, feature_stats, example_groups, activate'),
        ("attribute_tokens", {"text": "the robin", "method": "gradient"}, "no model here whose forward pass"),
        ("search_inputs", {"fluency": 0.1}, "There is no model here, which gradients and fluency need"),
        ("ablate", {}, "ablate cannot be used here: it needs a model, and there is none."),
        ("minimal_context", {"text": "the park"}, "sae/2 does not fire on this text"),
        ("query_store", {"sql": "SELECT nothing FROM feature"}, "The query is wrong: Binder Error"),
        ("activate", {}, 'activate: the argument "texts" is missing; call it for example with {"texts": ["The nurse'),
        ("activate", {"texts": "one"}, '"texts" should be a valid list, and "one" was given'),
        ("activate", {"texts": []}, '"texts" List should have at least 1 item'),
        ("activate", {"texts": [""]}, '"texts.0"'),
        ("activate", {"texts": ["the"], "split": "test"}, 'there is no argument "split" (there are: texts, feature)'),
        ("activate", {"texts": ["nosuchword"]}, "'nosuchword' is no word here"),
        ("activate", {"texts": ["the"], "feature": "sae/999"}, "There is no feature sae/999"),
        ("activate", {"texts": ["\ud83d"]}, "half of a surrogate pair"),
        ("activate", [["texts"]], "arguments are an object"),
        ("activate", {"texts": [[[[[[[[[["x"]]]]]]]]]]}, "nested too deeply"),
        ("activate", {"texts": ["the " * 40_000]}, "too long"),
        ("top_examples", {"stratum": "test"}, "\"stratum\" should be 'top', 'quantile'"),
        ("top_examples", {"n": 21}, '"n" should be less than or equal to 20, and 21 was given'),
        ("match_pattern", {"pattern": "robin"}, "A pattern is STRENGTH: TOKENS where CONDITION"),
        ("edit_and_compare", {"edits": [{"kind": "delete", "start": 0}]}, "Give a text or the number of a stored context"),
        (
            "edit_and_compare",
            {"text": "the park", "edits": [{"kind": "swap", "start": 0}]},
            "The edit swap needs other: it takes",
        ),
        ("edit_and_compare", {"text": "the park", "edits": [{"kind": "delete"}]}, "The edit delete needs start or find"),
        ("edit_and_compare", {"text": "the park", "edits": [{"kind": "delete", "start": 0, "how": "upper"}]}, "takes no how"),
        ("edit_and_compare", {"text": "the park", "edits": [{"kind": "delete", "start": 7}]}, "no token 7 in this text"),
        ("edit_and_compare", {"text": "the the", "edits": [{"kind": "delete", "find": "the"}]}, "occurs 2 times"),
        ("edit_and_compare", {"text": "the park", "edits": [{"kind": "delete", "find": "par"}]}, "touches 1:' park'"),
        (
            "edit_and_compare",
            {"context": 10**9, "edits": [{"kind": "delete", "start": 0}]},
            "no context 1000000000 among the train",
        ),
    ],
)
def test_wrong_calls_say_how_to_call_right(toolbox: Toolbox, name: str, arguments: Any, says: str) -> None:
    with pytest.raises(ToolError) as raised:
        toolbox.call(name, arguments)
    assert says in str(raised.value)
    assert len(str(raised.value)) < 1_500


def test_a_toolbox_without_a_feature_asks_for_one(synthetic_store: Store) -> None:
    box = Toolbox(planted_desk(synthetic_store), "run")
    assert box.feature is None
    with pytest.raises(ToolError, match='add "feature": "sae/0"'):
        box.call("feature_stats", {})
    assert "sae/3" in box.call("feature_stats", {"feature": "sae/3"}).text
    assert box.call("feature_stats", {"feature": 3}) == box.call("feature_stats", {"feature": "3"})
    with pytest.raises(UserError, match="no feature"):
        Toolbox(planted_desk(synthetic_store), "run", 99)


def test_only_allowed_tools_are_there(synthetic_store: Store) -> None:
    box = Toolbox(planted_desk(synthetic_store), "run", 2, allowed=["activate", "feature_stats"])
    assert [spec.name for spec in box.specs] == ["feature_stats", "activate"]
    with pytest.raises(ToolError, match=r'no tool "top_examples"; the tools are feature_stats, activate\.'):
        box.call("top_examples", {})
    with pytest.raises(UserError, match="no tool 'fly'"):
        Toolbox(planted_desk(synthetic_store), "run", 2, allowed=["fly"])


def test_the_same_call_gives_the_same_result_also_from_threads(synthetic_store: Store) -> None:
    todo = [(feature, name, arguments) for feature in (1, 2, 15) for name, several in CALLS.items() for arguments in several]

    def run(job: tuple[int, str, dict[str, Any]]) -> ToolResult | str:
        try:
            return Toolbox(desk, "run", job[0]).call(job[1], job[2])
        except ToolError as error:
            return str(error)

    desk = planted_desk(synthetic_store)
    alone = [run(job) for job in todo]
    desk = planted_desk(synthetic_store)
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(run, [*todo, *todo]))
    assert together == [*alone, *alone]


def test_the_seed_moves_what_is_drawn(synthetic_store: Store) -> None:
    desk = planted_desk(synthetic_store)
    drawn = [Toolbox(desk, "run", 2, seed=seed).call("top_examples", {"stratum": "random_active"}).data for seed in (0, 1)]
    assert drawn[0] != drawn[1]


def test_results_are_bounded_and_plain_json(synthetic_store: Store) -> None:
    desk = planted_desk(synthetic_store)
    for feature in (2, 15, 23):
        for name, several in CALLS.items():
            for arguments in several:
                if name in ("minimal_context", "attribute_tokens") and feature != 2:
                    continue  # it does not fire there
                result = Toolbox(desk, "run", feature).call(name, arguments)
                assert 0 < len(result.text) <= MOST + 200
                assert json.loads(json.dumps(result.data, allow_nan=False)) == result.data
    long = Toolbox(desk, "run", 2).call("activate", {"texts": ["the park robin sang " * 60] * 16})
    assert len(long.text) <= MOST + 200 and "more texts left out" in long.text and long.data["shown"] < 16
    assert set(CALLS) == {spec.name for spec in Toolbox(desk, "run").specs}


def test_the_page_about_the_tools_is_up_to_date() -> None:
    text = (Path(__file__).parents[2] / "docs" / "tools.md").read_text("utf-8")
    assert page(text) == text, "run: python -m dragoman.tools.toolkit.document docs/tools.md"
    assert all(f"### {name}\n" in text and tool.usage in text for name, tool in registry().items())
