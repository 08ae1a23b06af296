"""How a model answers: a tool of that name takes statements with citations; plain text is cut into sentences instead."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from dragoman.agents.structured import NotReadable, json_object
from dragoman.evals.gateway.calls import Tool

from .checking import Drafted, sentences

ANSWER = "answer"
"""The tool that a model answers with."""
SAVE = "save_finding"
"""The tool that a model keeps a finding with."""
_CITES = {
    "type": "array",
    "items": {"type": "string"},
    "description": "Numbers of the tool results in this conversation that show it, for example E3. Empty where you do not know "
    "it: it is then marked as conjecture.",
}
_TEXT = {
    "type": "string",
    "description": "One sentence. Numbers as they stand in the results that are cited; nothing computed from them.",
}
TOOLS = (
    Tool(
        ANSWER,
        "Answer the user. Call it by itself, when you have run what is needed, or when you need to ask the user something. Code "
        "checks every citation and shows the user what nothing bears out as conjecture.",
        {
            "type": "object",
            "properties": {
                "statements": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "properties": {"text": _TEXT, "cites": _CITES},
                        "required": ["text", "cites"],
                        "additionalProperties": False,
                    },
                    "description": "The answer, the most important first.",
                }
            },
            "required": ["statements"],
            "additionalProperties": False,
        },
    ),
    Tool(
        SAVE,
        "Keep a finding in the store, where people and later conversations see it. Only what experiments of this conversation "
        "show, and only when the user wants it kept or it answers the question.",
        {
            "type": "object",
            "properties": {
                "text": {"type": "string", "description": "One or two sentences that stand by themselves."},
                "cites": _CITES,
                "features": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "Features it is about, as DICT/INDEX.",
                },
            },
            "required": ["text", "cites", "features"],
            "additionalProperties": False,
        },
    ),
)
"""Tools that only the chat has."""


class Line(BaseModel):
    """A statement of an answer."""

    model_config = ConfigDict(extra="ignore")

    text: str
    """What is said."""
    cites: list[str] = []
    """What shows it."""


class Given(BaseModel):
    """An answer."""

    model_config = ConfigDict(extra="ignore")

    statements: list[Line]
    """What it says."""


class Kept(BaseModel):
    """A finding to keep."""

    model_config = ConfigDict(extra="forbid")

    text: str
    """What was found."""
    cites: list[str] = []
    """What shows it."""
    features: list[str] = []
    """What it is about."""


def drafted(arguments: Mapping[str, Any] | None) -> list[Drafted]:
    """The statements of an answer. Raises NotReadable where it has none, saying how to write them."""
    try:
        given = Given.model_validate(arguments or {})
    except ValidationError:
        raise NotReadable('write it as {"statements": [{"text": "…", "cites": ["E1"]}]}') from None
    found = [Drafted(line.text, tuple(line.cites)) for line in given.statements if line.text.strip()]
    if not found:
        raise NotReadable("it has no statements")
    return found


def drafted_from(text: str) -> list[Drafted]:
    """The statements of an answer in plain text, or of the same object written as text."""
    try:
        return drafted(json_object(text))
    except NotReadable:
        return sentences(text)


def partial(arguments: str) -> str:
    """The texts of the statements in arguments that are still being written, as far as they have come.

    What is cut off in the middle of an escape is left out until more has come.
    """
    found: list[str] = []
    at = 0
    while (at := arguments.find('"text"', at)) >= 0:
        begin = arguments.find('"', arguments.find(":", at + 6) + 1) if ":" in arguments[at + 6 :] else -1
        if begin < 0 or arguments[at + 6 : begin].strip() != ":":
            at += 6
            continue
        end = begin + 1
        while end < len(arguments) and arguments[end] != '"':
            end += 2 if arguments[end] == "\\" else 1
        piece = arguments[begin + 1 : min(end, len(arguments))]
        found.append(_unescaped(piece))
        at = end + 1
    return "\n\n".join(found)


def _unescaped(piece: str) -> str:
    """The text of a JSON string that may be cut off."""
    for cut in range(min(len(piece), 12) + 1):
        try:
            said = json.loads(f'"{piece[: len(piece) - cut]}"', strict=False)
        except ValueError:
            continue
        if not said or not "\ud800" <= said[-1] <= "\udbff":
            return str(said)
    return ""
