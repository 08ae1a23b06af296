"""The page about the tools, docs/tools.md: what stands above its marker is written by hand, the rest follows from the registry.

`python -m dragoman.tools.toolkit.document docs/tools.md` brings it up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dragoman.tools.toolbox import LEGEND, registry

from .declaring import Tool

MARKER = "## The tools\n"
"""The heading under which everything is generated."""
NEEDS = {"store": "the store alone", "source": "a source of activations of new texts", "subject": "a model"}


def page(before: str) -> str:
    """The whole page, given the page as it was."""
    head = before.partition(MARKER)[0]
    how = f"Models are told how to read results in these words (`LEGEND`):\n\n```text\n{LEGEND}\n```\n"
    return head + MARKER + "\n" + how + "\n" + "\n".join(_section(tool) for tool in registry().values())


def _section(tool: Tool) -> str:
    schema = tool.spec.schema
    paragraphs = tool.spec.description.replace("\n", "\n\n")
    lines = [f"### {tool.spec.name}\n", f"{paragraphs}\n", f"Needs {NEEDS[tool.needs]}.\n"]
    lines += [_argument(name, entry, name in schema["required"]) for name, entry in schema["properties"].items()]
    return "\n".join([*lines, "", f"```json\n{tool.usage}\n```", ""])


def _argument(name: str, schema: Mapping[str, Any], required: bool, indent: str = "") -> str:
    facts = _kind(schema) + (", required" if required else "")
    default = schema.get("default")
    facts += "" if default is None else f", by default {default!r}" if isinstance(default, str) else f", by default {default}"
    line = f"{indent}- `{name}` ({facts}): {schema['description']}"
    inner = schema.get("items", {}).get("properties", {})
    needed = schema.get("items", {}).get("required", [])
    return "\n".join([line, *(_argument(key, entry, key in needed, indent + "  ") for key, entry in inner.items())])


def _kind(schema: Mapping[str, Any]) -> str:
    """The type of an argument in words."""
    if "enum" in schema:
        return "one of " + ", ".join(str(value) for value in schema["enum"])
    if schema["type"] == "array":
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        return f"list of {least} to {most}, each {_kind(schema['items'])}"
    low, high = (schema.get(name) for name in ("minimum", "maximum"))
    bounds = f" from {low} to {high}" if low is not None and high is not None and high < 10**5 else ""
    longest = f" of at most {schema['maxLength']:,} characters" if "maxLength" in schema else ""
    return f"{schema['type']}{bounds}{longest}"


def main(path: Path) -> None:
    """Bring the page up to date."""
    path.write_text(page(path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
