"""From a typed function with a docstring to a tool: name, description, JSON schema, and errors that teach.

A tool is a function `f(study, …)`. Its name is the tool's, its docstring (Google style) gives the description, a sentence for
every argument and an example call, its type hints give the schema.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from dragoman.store.errors import ToolError

from .pictures import result_html

MOST_SHOWN = 60
"""Characters of a wrong value that an error repeats."""


@dataclass(frozen=True)
class ToolSpec:
    """What a model is told about a tool."""

    name: str
    """Name of the function."""
    description: str
    """What it does."""
    schema: Mapping[str, Any]
    """JSON schema of the arguments: an object without further properties and without references."""


@dataclass(frozen=True)
class ToolResult:
    """What a tool found."""

    text: str
    """For the model: compact, token-exact and bounded; it says what was left out."""
    data: Mapping[str, Any]
    """The same as JSON values, for code that computes verdicts, and for the ledger."""
    forwarded: int = 0
    """Tokens that the subject (or whatever has the features) was run on, BOS not counted; a gradient counts three times."""
    read: int = 0
    """Stored examples that were shown."""

    def _repr_html_(self) -> str:
        return result_html(self.text, self.data)


@dataclass(frozen=True)
class Tool:
    """A declared tool."""

    spec: ToolSpec
    """What a model is told."""
    example: Mapping[str, Any]
    """Arguments of a call that works."""
    needs: str
    """`store`, `source` (something that gives activations of new texts) or `subject` (a model)."""
    run: Callable[..., ToolResult]
    """The function."""
    arguments: type[BaseModel]
    """Reads the arguments."""

    def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments, checked and converted, defaults filled in.

        Raises:
            ToolError: they are wrong; the sentence says what is, and how to call it.
        """
        try:
            read = self.arguments.model_validate(given)
        except ValidationError as error:
            raise ToolError(f"{self.spec.name}: {self._wrong(error)}; call it for example with {self.usage}.") from None
        return {name: getattr(read, name) for name in self.arguments.model_fields}

    @property
    def usage(self) -> str:
        """The example as JSON."""
        return json.dumps(self.example, ensure_ascii=False)

    def _wrong(self, error: ValidationError) -> str:
        """What is wrong, in words: the first of the errors."""
        found = error.errors(include_url=False)
        first = found[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing":
            said = f'the argument "{place}" is missing'
        elif first["type"] == "extra_forbidden":
            known = ", ".join(self.arguments.model_fields)
            said = f"there is no argument {shown(place)} (there are: {known})"
        else:
            message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
            said = f'"{place}" {message}, and {shown(first["input"])} was given'
        return said if len(found) == 1 else f"{said} ({len(found) - 1} more wrong)"


def shown(value: Any) -> str:
    """A value that somebody gave, short and on one line."""
    try:
        text = json.dumps(value, ensure_ascii=True, default=str)
    except (ValueError, RecursionError):
        text = f"a {type(value).__name__}"
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "…"


def declare(function: Callable[..., ToolResult], needs: str) -> Tool:
    """The tool that a function is. Raises ValueError where its docstring or hints leave something open."""
    name = function.__name__
    description, said, example = _docstring(inspect.getdoc(function) or "", name)
    hints = get_type_hints(function, include_extras=True)
    parameters = list(inspect.signature(function).parameters.values())[1:]
    if set(said) != {parameter.name for parameter in parameters}:
        raise ValueError(f"{name}: the docstring explains {sorted(said)}, the arguments are {[p.name for p in parameters]}")
    fields: dict[str, Any] = {}
    for parameter in parameters:
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], Field(default, description=said[parameter.name]))
    config = ConfigDict(extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False, frozen=True)
    arguments = create_model(name, __config__=config, **fields)
    return Tool(ToolSpec(name, description, _schema(arguments)), example, needs, function, arguments)


def _docstring(text: str, name: str) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Description, a sentence for each argument, and the example of a docstring."""
    parts = re.split(r"^(Args|Example|Raises):\n", text, flags=re.M)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    said: dict[str, str] = {}
    for match in re.finditer(r"^    (\w+): (.*(?:\n {8,}.*)*)", sections.get("Args", ""), re.M):
        said[match[1]] = _joined(match[2])
    if "Example" not in sections:
        raise ValueError(f"{name}: the docstring shows no example")
    return _joined(parts[0]), said, json.loads(sections["Example"])


def _joined(text: str) -> str:
    """Lines as paragraphs."""
    return "\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", text.strip()))


def _schema(arguments: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema, small: no titles, no references, no null beside another type, no default that says nothing."""
    schema = arguments.model_json_schema()
    definitions = schema.pop("$defs", {})

    def small(node: Any) -> Any:
        if isinstance(node, list):
            return [small(entry) for entry in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            named = definitions[node["$ref"].rpartition("/")[2]]
            return small({**named, **{key: value for key, value in node.items() if key != "$ref"}})
        kept = {
            key: {name: small(entry) for name, entry in value.items()} if key == "properties" else small(value)
            for key, value in node.items()
            if key != "title" and not (key == "default" and value is None)
        }
        options = [entry for entry in kept.get("anyOf", []) if entry != {"type": "null"}]
        if len(options) == 1:
            del kept["anyOf"]
            kept = {**options[0], **kept}
        return kept

    found: dict[str, Any] = small(schema)
    found.setdefault("properties", {})
    found.setdefault("required", [])
    found.pop("description", None)
    return found
