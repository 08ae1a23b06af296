"""Replies that come in pieces: server-sent events put together to the reply that would have come whole.

Who listens is told of every piece as it comes. What is recorded is the whole reply, in the same shape as without streaming.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .calls import Unanswered
from .troubles import Away

if TYPE_CHECKING:
    import httpx2

EVENTS = "text/event-stream"


class Piece(NamedTuple):
    """What came next of a reply that is being written."""

    text: str = ""
    """Of its text."""
    tool: str = ""
    """The tool whose arguments are being written."""
    arguments: str = ""
    """Of their JSON text."""
    anew: bool = False
    """Whether everything told so far is void, because the call is made again."""


Tell = Callable[[Piece], None]


class Growing(Protocol):
    """A reply that is put together."""

    def add(self, event: Mapping[str, Any]) -> Piece | None:
        """Take the next event; raises Away where it says that the server failed."""
        ...

    def whole(self) -> dict[str, Any]:
        """The reply, as it would have come whole. Raises Away where it is not finished."""
        ...


async def read(response: httpx2.Response, reply: Growing, tell: Tell) -> dict[str, Any]:
    """Read a reply to its end. Raises Away where it breaks off."""
    import httpx2

    try:
        async for event in _events(response):
            piece = reply.add(event)
            if piece is not None:
                tell(piece)
    except httpx2.TimeoutException:
        raise Away("timed out", spent=True, slow=True) from None
    except httpx2.HTTPError:
        raise Away("the connection was dropped", spent=True) from None
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise Away("its reply has not the shape of a stream", spent=True) from None
    finally:
        await response.aclose()
    return reply.whole()


def about_streams(error: Unanswered) -> bool:
    """Whether a server refused a request because it was to stream."""
    return re.search(r"\bstream", str(error), re.IGNORECASE) is not None


async def _events(response: httpx2.Response) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of an event stream."""
    async for line in response.aiter_lines():
        data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
        if data and data != "[DONE]":
            yield dict(json.loads(data))


class GrowingCompletion:
    """A chat completion, as OpenAI and vLLM stream it."""

    def __init__(self) -> None:
        self._found: dict[str, Any] = {}
        self._message: dict[str, Any] = {"role": "assistant", "content": ""}
        self._calls: dict[int, dict[str, Any]] = {}
        self._finish: str | None = None

    def add(self, event: Mapping[str, Any]) -> Piece | None:
        """See `Growing`."""
        if event.get("error"):
            error = event["error"]
            said = error.get("message") if isinstance(error, Mapping) else error
            raise Away(f"it failed while it wrote: {str(said)[:200]}", spent=True)
        if event.get("usage"):
            self._found["usage"] = event["usage"]
        for choice in event.get("choices") or ():
            delta = choice.get("delta") or {}
            self._finish = choice.get("finish_reason") or self._finish
            if delta.get("refusal"):
                self._message["refusal"] = self._message.get("refusal", "") + delta["refusal"]
            self._message["content"] += delta.get("content") or ""
            name = arguments = ""
            for call in delta.get("tool_calls") or ():
                known = self._calls.setdefault(int(call.get("index") or 0), {"id": None, "name": "", "arguments": ""})
                function = call.get("function") or {}
                known["id"] = call.get("id") or known["id"]
                known["name"] += function.get("name") or ""
                known["arguments"] += function.get("arguments") or ""
                name, arguments = known["name"], function.get("arguments") or ""
            if delta.get("content") or name:
                return Piece(delta.get("content") or "", name, arguments)
        return None

    def whole(self) -> dict[str, Any]:
        """See `Growing`."""
        if self._finish is None:
            raise Away("the connection was dropped", spent=True)
        if self._calls:
            self._message["tool_calls"] = [
                {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
                for _, call in sorted(self._calls.items())
            ]
        return {**self._found, "choices": [{"index": 0, "message": self._message, "finish_reason": self._finish}]}


class GrowingMessage:
    """A message, as Anthropic streams it."""

    def __init__(self) -> None:
        self._found: dict[str, Any] = {"usage": {}, "stop_reason": None}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._ended = False

    def add(self, event: Mapping[str, Any]) -> Piece | None:
        """See `Growing`."""
        kind = event["type"]
        if kind == "error":
            raise Away(f"it failed while it wrote: {str(event['error'].get('message'))[:200]}", spent=True)
        if kind == "message_start":
            self._found["usage"].update(event["message"].get("usage") or {})
        elif kind == "content_block_start":
            self._blocks[event["index"]] = {**event["content_block"], "json": ""}
        elif kind == "content_block_delta":
            block, delta = self._blocks[event["index"]], event["delta"]
            if delta["type"] == "text_delta":
                block["text"] += delta["text"]
                return Piece(delta["text"])
            if delta["type"] == "input_json_delta":
                block["json"] += delta["partial_json"]
                return Piece("", block["name"], delta["partial_json"])
        elif kind == "message_delta":
            self._found["stop_reason"] = event["delta"].get("stop_reason")
            self._found["usage"].update({k: v for k, v in (event.get("usage") or {}).items() if v is not None})
        self._ended = self._ended or kind == "message_stop"
        return None

    def whole(self) -> dict[str, Any]:
        """See `Growing`."""
        if not self._ended:
            raise Away("the connection was dropped", spent=True)
        content = []
        for _, block in sorted(self._blocks.items()):
            written = block.pop("json")
            if block["type"] == "tool_use" and written:
                try:
                    block["input"] = json.loads(written)
                except ValueError:
                    raise Away("its reply has not the shape of a message", spent=True) from None
            content.append(block)
        return {**self._found, "content": content}
