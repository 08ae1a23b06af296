"""The JSON schema of a pydantic model as vLLM, OpenAI and Anthropic all take it, and the same in a few words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel

_KEPT = (
    "minLength", "maxLength", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    "minItems", "maxItems",
)  # fmt: skip
"""Limits; a server that refuses one is told it in words (`evals/gateway/schemas.py`)."""


@cache
def schema_of(answer: type[BaseModel]) -> dict[str, Any]:
    """The strict schema of a model: references written out, every property required, no others allowed. Not to be changed.

    Raises ValueError for what strict schemas cannot say: models that hold themselves, free keys, tuples of mixed kinds.
    """
    whole = answer.model_json_schema()
    return _strict(_without(whole, "description"), whole.get("$defs", {}), (), answer.__name__)


def in_words(schema: Mapping[str, Any]) -> str:
    """A schema as a sketch of the JSON that satisfies it: `{"claim": string (one sentence), "sure": integer 0 to 9}`."""
    if "enum" in schema:
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(in_words(part) for part in schema["anyOf"])
    kind = schema.get("type")
    if kind == "object":
        fields = (f'"{name}": {in_words(part)}{_said(part)}' for name, part in schema.get("properties", {}).items())
        return "{" + ", ".join(fields) + "}"
    if kind == "array":
        items = schema.get("items", {})
        return f"[{in_words(items)}{_said(items)}, …]{_range(schema, 'Items', ' items')}"
    return f"{kind or 'anything'}{_range(schema, 'imum', '')}{_range(schema, 'Length', ' characters')}"


def _said(part: Mapping[str, Any]) -> str:
    return f" ({part['description']})" if part.get("description") else ""


def _range(schema: Mapping[str, Any], of: str, unit: str) -> str:
    """For example ` 0 to 9`, ` at most 3 items`."""
    least, most = schema.get(f"min{of}"), schema.get(f"max{of}")
    if least is None and most is None:
        return ""
    if least is None:
        return f" at most {most}{unit}"
    return f" {least} to {most}{unit}" if most is not None else f" at least {least}{unit}"


def _strict(node: Mapping[str, Any], definitions: Mapping[str, Any], inside: tuple[str, ...], where: str) -> dict[str, Any]:
    """One node; `inside` names the definitions that are being written out."""
    if "$ref" in node:
        name = str(node["$ref"]).removeprefix("#/$defs/")
        if name in inside:
            raise ValueError(f"{where}: {name} holds itself, which a strict schema cannot say")
        whole = {**_without(definitions[name], "description"), **_without(node, "$ref")}
        return _strict(whole, definitions, (*inside, name), where)
    found: dict[str, Any] = {"description": node["description"]} if node.get("description") else {}
    variants = node.get("anyOf") or node.get("oneOf")
    if variants:
        return {**found, "anyOf": [_strict(part, definitions, inside, where) for part in variants]}
    if "const" in node or "enum" in node:
        values = node.get("enum", [node.get("const")])
        return {**found, **({"type": node["type"]} if "type" in node else {}), "enum": values}
    kind = node.get("type")
    if kind == "object":
        properties = node.get("properties")
        if not properties or isinstance(node.get("additionalProperties"), Mapping):
            raise ValueError(f"{where}: an object with free keys, which a strict schema cannot say: use a list of pairs")
        fields = {name: _strict(part, definitions, inside, f"{where}.{name}") for name, part in properties.items()}
        return {**found, "type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    if kind == "array":
        if "prefixItems" in node or "items" not in node:
            raise ValueError(f"{where}: a tuple of mixed kinds, which a strict schema cannot say: use an object")
        found["items"] = _strict(node["items"], definitions, inside, f"{where}[]")
    if kind is None:
        raise ValueError(f"{where}: a field of any type, which a strict schema cannot say")
    return {**found, "type": kind, **{name: node[name] for name in _KEPT if name in node}}


def _without(node: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A node without one of its keys: what stands at a field describes it, a class's docstring is for programmers."""
    return {key: value for key, value in node.items() if key != name}
