"""What a thread of the chat remembers between steps: numbers, and what is to be done next. The words are in the ledger."""

from __future__ import annotations

from typing import Any, TypedDict


class Pending(TypedDict):
    """A tool call that is to be made."""

    id: str
    """Its id in the conversation."""
    number: int
    """Which tool call of the thread it is, from 1."""
    name: str
    """The tool."""
    arguments: str
    """JSON text as the model wrote it."""


class ChatState(TypedDict, total=False):
    """State of the investigator's graph."""

    asked: str
    """What the user asks."""
    turn: int
    """Questions so far."""
    round: int
    """Calls to the model in this turn."""
    steps: int
    """Tool calls of the thread, those that are pending counted."""
    pending: list[Pending]
    """Tool calls to be made, in their order."""
    draft: list[list[Any]]
    """Statements of an answer that is not checked yet: text and citations."""
    answers: str
    """Id of the call that gave the draft; empty where it was plain text."""
    returned: bool
    """Whether the model was given its answer back in this turn."""
