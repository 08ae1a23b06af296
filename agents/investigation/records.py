"""Events as JSON values, for the ledger and checkpoints, and back; a thread's entries as what was said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dragoman.store.chats import ChatStep, Entry

from .events import Answer, Called, Citation, Event, Question, Returned, Said, Statement, Stopped
from .protocol import Turn


def as_record(event: Question | Answer) -> dict[str, Any]:
    """A question or an answer as JSON values."""
    return asdict(event)


def question_from(record: Mapping[str, Any]) -> Question:
    """The question that `as_record` wrote."""
    return Question(record["text"], record["cost"])


def answer_from(record: Mapping[str, Any]) -> Answer:
    """The answer that `as_record` wrote."""
    return Answer(
        tuple(
            Statement(one["text"], tuple(Citation(**cited) for cited in one["citations"]), one["conjecture"], one["because"])
            for one in record["statements"]
        )
    )


def turns(entries: Sequence[Entry], steps: Mapping[int, ChatStep]) -> list[Turn]:
    """What was said in a thread."""
    found: list[Turn] = []
    events: list[Event] = []

    def heard() -> None:
        if events:
            found.append(Turn("assistant", _words(events), tuple(events)))
            events.clear()

    for entry in entries:
        content = entry.content
        if entry.kind in ("asked", "reply"):
            heard()
            found.append(Turn("user", content["text"]))
        elif entry.kind == "said" and content["text"].strip():
            events.append(Said(content["text"]))
        elif entry.kind == "step":
            step = steps[content["number"]]
            arguments = step.arguments if isinstance(step.arguments, dict) else {}
            events.append(Called(step.name, step.tool, arguments))
            events.append(Returned(step.name, step.tool, step.result, step.failed, step.id))
        elif entry.kind == "question":
            events.append(question_from(content))
        elif entry.kind == "answer":
            events.append(answer_from(content))
        elif entry.kind == "stopped":
            events.append(Stopped(content["reason"]))
    heard()
    return found


def _words(events: Sequence[Event]) -> str:
    last = events[-1]
    if isinstance(last, Answer | Question):
        return last.text
    if isinstance(last, Stopped):
        return last.reason
    return "\n\n".join(event.text for event in events if isinstance(event, Said))
