"""Requests and replies as JSON for the ledger, and the key of the cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from .calls import Message, Place, Request, TokenChance, Tool, ToolCall


@dataclass(frozen=True)
class Received:
    """What a server sent, in one shape for all."""

    texts: tuple[str, ...]
    """The replies."""
    finish: tuple[str, ...]
    """Why each ended."""
    logprobs: tuple[tuple[TokenChance, ...], ...] | None
    """Alternatives at each token of the first reply."""
    prompt_logprobs: tuple[Mapping[str, float], ...] | None
    """Alternatives at each token of the prompt, the prompt's own first."""
    prompt_tokens: int | None
    """None where the server does not say."""
    cached_tokens: int
    """Read from the server's cache."""
    completion_tokens: int | None
    """None where the server does not say."""
    written_tokens: int = 0
    """Prompt tokens written into the server's cache, where that has a price of its own."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Tools that the first reply asks for."""


def request_json(request: Request) -> str:
    """A request as canonical JSON; what is at its default is left out, so that a new field changes no key."""
    said: dict[str, Any] = {}
    for field in fields(request):
        value = getattr(request, field.name)
        if field.name == "messages":
            value = [_message_json(message) for message in value]
        if field.name == "tools":
            value = [{**tool._asdict(), "schema": dict(tool.schema)} for tool in value]
        if value != field.default and value != []:
            said[field.name] = value
    return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def request_from(text: str) -> Request:
    """The request that `request_json` wrote."""
    said = json.loads(text)
    for name in ("choices", "stop", "keep"):
        if name in said:
            said[name] = tuple(said[name])
    if isinstance(said.get("prompt"), list):
        said["prompt"] = tuple(said["prompt"])
    said["messages"] = tuple(_message_from(message) for message in said.get("messages", ()))
    said["tools"] = tuple(Tool(**tool) for tool in said.get("tools", ()))
    return Request(**said)


def _message_json(message: Message) -> dict[str, Any]:
    said: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        said["tool_calls"] = [list(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        said["tool_call_id"] = message.tool_call_id
    return said


def _message_from(said: dict[str, Any]) -> Message:
    calls = tuple(ToolCall(*call) for call in said.pop("tool_calls", ()))
    return Message(**said, tool_calls=calls)


def key_of(seed: int, place: Place, model: str, request: str) -> str:
    """The key of the cache: run seed, feature, step, ordinal, model and the full request. 32 hexadecimal digits."""
    content = json.dumps([seed, place.feature, place.step, place.ordinal, model, request], ensure_ascii=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def reply_json(received: Received) -> str:
    """The words and probabilities of a reply; its token counts have columns of their own."""
    said: dict[str, Any] = {"texts": received.texts, "finish": received.finish}
    if received.logprobs is not None:
        said["logprobs"] = received.logprobs
    if received.tool_calls:
        said["tool_calls"] = received.tool_calls
    if received.prompt_logprobs is not None:
        said["prompt_logprobs"] = [list(place.items()) for place in received.prompt_logprobs]
    return json.dumps(said, separators=(",", ":"), ensure_ascii=True)


def received_from(text: str, prompt_tokens: int, cached_tokens: int, completion_tokens: int) -> Received:
    """The reply that `reply_json` wrote."""
    said = json.loads(text)
    logprobs, places = said.get("logprobs"), said.get("prompt_logprobs")
    return Received(
        texts=tuple(said["texts"]),
        finish=tuple(said["finish"]),
        logprobs=None if logprobs is None else tuple(tuple(TokenChance(*chance) for chance in place) for place in logprobs),
        prompt_logprobs=None if places is None else tuple(dict(place) for place in places),
        prompt_tokens=prompt_tokens,
        cached_tokens=cached_tokens,
        completion_tokens=completion_tokens,
        tool_calls=tuple(ToolCall(*call) for call in said.get("tool_calls", ())),
    )
