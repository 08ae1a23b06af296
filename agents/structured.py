"""Answers that code can use: a model is asked for one JSON object under a schema, and nothing else is ever taken for it.

1. Ask with the schema, which servers enforce where they can; where it is short, or the server may not, it also stands in words
   at the end of the prompt.
2. Read the reply: one JSON object, whatever stands around it. Two objects, a broken one or one of wrong types are no answer.
3. Where it cannot be read, ask once more with what was wrong; then give up, saying so. Nothing is guessed or filled in, except
   for a field that has a default and is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from dragoman.evals.gateway.calls import Message, Reply, Request, Unanswered

from .chat import as_message
from .schemas import in_words, schema_of

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

    from .chat import GatewayChat

A = TypeVar("A", bound=BaseModel)
T = TypeVar("T")

SHORT = 600
"""Characters up to which a schema also stands in the prompt of a server that enforces it."""
QUOTED = 2000
"""Characters of an unreadable reply that are shown to the model again, at most."""
REASON = 400
"""Characters of the reason, likewise."""
_OBJECT = re.compile(r"\{\s*[\"}]")
"""How a JSON object begins; other braces are part of the prose."""


class Unreadable(Unanswered):
    """Two replies could not be read; the message is the reason, without a full stop."""

    def __init__(self, reason: str, raw: str) -> None:
        super().__init__(f"the reply cannot be read: {reason}")
        self.reason = reason
        """What was wrong with the second reply."""
        self.raw = raw
        """The second reply as it came."""


@dataclass(frozen=True)
class Structured(Generic[T]):
    """An answer that was read."""

    value: T
    """What it says."""
    raw: str
    """The reply as it came."""
    calls: tuple[str, ...]
    """Ids of the calls in the ledger: one, or two where it had to be asked again."""
    tokens: int
    """Tokens of their prompts and replies."""
    cost: float | None
    """US dollars of all of them; None where the price is not known."""
    hit: bool
    """Whether all came from the ledger."""


async def structured(
    chat: GatewayChat, messages: Sequence[Message | BaseMessage], answer: type[A], *, max_tokens: int | None = None
) -> Structured[A]:
    """Ask for an instance of `answer`; its schema and the descriptions of its fields are told to the model.

    chat: bound to a place; it takes one ordinal, or two. max_tokens: instead of the model's own.
    Raises Unreadable when the second reply cannot be read either, Refused when the model refuses, and what `Gateway.ask` raises.
    """

    def read(text: str) -> A:
        try:
            return answer.model_validate_json(json.dumps(json_object(text)), strict=True)
        except ValidationError as error:
            raise NotReadable(_wrong(error)) from None

    return await _ask(chat, messages, schema_of(answer), read, max_tokens)


def question(chat: GatewayChat, messages: Sequence[Message | BaseMessage], answer: type[BaseModel]) -> Request:
    """The first call that `structured` makes, which can so be made ahead of it."""
    schema = schema_of(answer)
    return chat.request(_told(chat, messages, schema), schema=schema, max_tokens=chat.max_tokens)


async def under_schema(
    chat: GatewayChat, messages: Sequence[Message | BaseMessage], schema: Mapping[str, Any]
) -> Structured[dict[str, Any]]:
    """The same for a JSON schema: the reply is one JSON object, of which nothing else is checked here."""
    return await _ask(chat, messages, schema, json_object, None)


class NotReadable(ValueError):
    """A text is not what was asked for; the message says why, without a full stop."""


def json_object(text: str) -> dict[str, Any]:
    """The one JSON object in a text; code fences, thoughts in <think> and prose around it are cut off.

    Raises NotReadable where there is none, more than one, a broken one, or one that says a key twice.
    """
    head, thoughts, tail = text.partition("</think>")
    if thoughts and not head.lstrip().startswith("{"):
        text = tail
    begin = _OBJECT.search(text)
    if begin is None:
        raise NotReadable("it holds no JSON object" if text.strip() else "it is empty")
    try:
        found, end = _DECODER.raw_decode(text, begin.start())
    except RecursionError:
        raise NotReadable("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise NotReadable(f"it is broken JSON ({error.msg} at character {error.pos - begin.start()})") from None
    if _OBJECT.search(text, end):
        raise NotReadable("it holds more than one JSON object")
    return dict(found)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise NotReadable("it says a key twice")
    return found


def _no_number(name: str) -> Any:
    raise NotReadable(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_number, strict=False)
"""Line breaks inside of strings are taken as they are."""


async def _ask(
    chat: GatewayChat,
    messages: Sequence[Message | BaseMessage],
    schema: Mapping[str, Any],
    read: Callable[[str], T],
    max_tokens: int | None,
) -> Structured[T]:
    limit = chat.max_tokens if max_tokens is None else max_tokens
    asked = _told(chat, messages, schema)
    replies: list[Reply] = []
    while True:
        reply = await chat.ask(asked, schema=schema, max_tokens=limit)
        replies.append(reply)
        raw = reply.texts[0]
        try:
            value = read(raw)
        except NotReadable as error:
            cut = f"it was cut off after {limit} tokens" if reply.finish[0] == "length" else ""
            reason = f"{cut}: {error}" if cut else str(error)
            if len(replies) == 2:
                raise Unreadable(reason, raw) from None
            asked = _again(asked, raw, reason, bool(cut))
        else:
            costs = [reply.cost for reply in replies]
            return Structured(
                value=value,
                raw=raw,
                calls=tuple(reply.call for reply in replies),
                tokens=sum(reply.prompt_tokens + reply.completion_tokens for reply in replies),
                cost=None if None in costs else sum(cost or 0.0 for cost in costs),
                hit=all(reply.hit for reply in replies),
            )


def _told(chat: GatewayChat, messages: Sequence[Message | BaseMessage], schema: Mapping[str, Any]) -> list[Message]:
    """The messages, with the schema in words where that is needed."""
    asked = [as_message(message) for message in messages]
    words = in_words(schema)
    if len(words) <= SHORT or not chat.enforces_schemas:
        asked = _with(asked, f"Reply with one JSON object of this form and nothing else:\n{words}")
    return asked


def _with(messages: list[Message], words: str) -> list[Message]:
    """The messages with words at the end of the last one, where that is the user's."""
    last = messages[-1]
    if last.role != "user":
        return [*messages, Message("user", words)]
    return [*messages[:-1], Message("user", f"{last.content}\n\n{words}")]


def _again(messages: list[Message], raw: str, reason: str, cut: bool) -> list[Message]:
    """The question after a reply that could not be read."""
    shorter = " Be much shorter." if cut else ""
    words = f"This could not be read: {reason}.{shorter} Reply again with the JSON object and nothing else."
    said = raw.strip()[:QUOTED]
    return [*messages, Message("assistant", said), Message("user", words)] if said else _with(messages, words)


def _wrong(error: ValidationError) -> str:
    """What is wrong with an object, field by field."""
    found = []
    for detail in error.errors(include_url=False, include_context=False):
        where = ".".join(str(part) for part in detail["loc"])
        found.append(f"{where}: {detail['msg']}" if where else detail["msg"])
    return "; ".join(found)[:REASON].rstrip(". ")
