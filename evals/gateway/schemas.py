"""JSON schemas as servers take them: a keyword that one refuses is said in words, and checked by whoever reads the reply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LENGTHS = frozenset({"minLength", "maxLength"})
_BOUNDS = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minItems", "maxItems", "pattern"}
)
_REST = frozenset({"uniqueItems", "minProperties", "maxProperties", "format"})
REFUSED = {"openai": _LENGTHS | _REST, "anthropic": _LENGTHS | _BOUNDS | _REST}
"""Keywords that a service answers with an error instead of a reply (their documentation, 2026)."""
_DROPPED = frozenset({"title", "default", "examples"})
"""Keywords that constrain nothing."""


def taken_by(kind: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema without what a service of this kind refuses: its limits become a part of the description."""
    refused = REFUSED[kind]
    found: dict[str, Any] = {}
    limits: list[str] = []
    for name, value in schema.items():
        if name in refused:
            limits.append(f"{name} {value}")
        elif name in ("properties", "$defs"):
            found[name] = {key: taken_by(kind, part) for key, part in value.items()}
        elif name == "anyOf":
            found[name] = [taken_by(kind, part) for part in value]
        elif name == "items" or (name == "additionalProperties" and isinstance(value, Mapping)):
            found[name] = taken_by(kind, value)
        elif name not in _DROPPED:
            found[name] = value
    if limits:
        said = f"({', '.join(limits)})"
        found["description"] = f"{found['description']} {said}" if found.get("description") else said
    return found
