"""Anthropic's messages, over the anthropic SDK; vLLM speaks them too."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .caching import marks
from .calls import Message, Request, ToolCall, Unanswered
from .forms import Received
from .keys import HOSTED
from .openai_server import about_schemas, away
from .schemas import taken_by
from .servers import Lanes, Listed, Timeouts
from .streaming import EVENTS, GrowingMessage, Tell, read
from .troubles import Away, not_there, other_kind, parsed, trouble_of

if TYPE_CHECKING:
    import anthropic
    import httpx2

    from .models import Capabilities

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
}
"""Why a reply ended, in the words of the other protocol."""
_KEEP = {"type": "ephemeral"}
"""The mark of a prefix to be cached, for five minutes from each use."""
log = logging.getLogger("dragoman.gateway")


class AnthropicServer:
    """One address that speaks Anthropic's protocol."""

    def __init__(self, url: str, key: str, can: Capabilities, timeouts: Timeouts) -> None:
        """Nothing is sent yet. url: without /v1."""
        self.kind, self.url, self._key, self._can = "anthropic", url, key, can
        self.lanes = Lanes(self._client, url, timeouts)
        self._schemas = can.schema

    async def models(self) -> list[Listed] | None:
        """See `Server`."""
        try:
            path = "/v1/models?limit=1000" if self.url == HOSTED["anthropic"] else "/v1/models"  # others have few
            found = await self._call("GET", path, None, "")
        except Away as away:
            raise not_there(self.url, self.kind, str(away)) from None
        listed = found.get("data")
        if not isinstance(listed, list) or not all(isinstance(entry, dict) and "id" in entry for entry in listed):
            raise other_kind(self.url, self.kind, "its list of models cannot be read")
        return [Listed(str(e["id"]), e.get("max_input_tokens") or e.get("max_model_len"), "") for e in listed]

    async def healthy(self) -> bool:
        """See `Server`."""
        import anthropic

        try:
            with self.lanes.free() as client:
                await client.get("/v1/models", cast_to=_response(), options={"timeout": 5.0})
        except anthropic.APIStatusError as error:
            return error.status_code < 500
        except anthropic.AnthropicError:
            return False
        return True

    async def send(self, model: str, request: Request, tell: Tell | None = None) -> Received:
        """See `Server`."""
        found = await self._unless_refused(self.body(model, request), model, tell)
        try:
            return received(found)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            raise Away("its reply has not the shape of a message", spent=True) from None

    async def close(self) -> None:
        """See `Server`."""
        await self.lanes.close()

    async def _unless_refused(self, body: dict[str, Any], model: str, tell: Tell | None) -> Any:
        """The reply; a server of unknown make that refuses schemas is asked again without, and from then on at once."""
        try:
            if tell is not None:
                return await self._call("POST", "/v1/messages", {**body, "stream": True}, model, tell)
            return await self._call("POST", "/v1/messages", body, model)
        except Unanswered as error:
            if self.url == HOSTED["anthropic"] or "output_config" not in body or not about_schemas(error):
                raise
        log.info("%s takes no schema of replies: it is asked without from now on", self.url)
        self._schemas = False
        del body["output_config"]
        return await self._call("POST", "/v1/messages", body, model)

    async def _call(self, method: str, path: str, body: dict[str, Any] | None, model: str, tell: Tell | None = None) -> Any:
        """The JSON of a reply, tried once."""
        import anthropic

        try:
            with self.lanes.free() as client:
                if method == "GET":
                    response = await client.get(path, cast_to=_response())
                elif tell is not None:
                    options = {"stream": True, "stream_cls": anthropic.AsyncStream}
                    response = await client.post(path, cast_to=_response(), body=body, **options)
                    if response.headers.get("content-type", "").startswith(EVENTS):
                        return await read(response, GrowingMessage(), tell)
                    await response.aread()  # it does not stream, and has sent the whole
                else:
                    response = await client.post(path, cast_to=_response(), body=body)
                return parsed(response.content, response.headers.get("content-type", ""), kind=self.kind, url=self.url)
        except anthropic.APIStatusError as error:
            raise self.meaning(error, model) from None
        except anthropic.APIConnectionError as error:
            raise away(error) from None

    def meaning(self, error: anthropic.APIStatusError, model: str) -> Exception:
        """What an HTTP error of this server means."""
        got = error.response
        wait = got.headers.get("retry-after")
        return trouble_of(got.status_code, got.content, wait, kind=self.kind, url=self.url, model=model, secrets=(self._key,))

    def _client(self, http: httpx2.AsyncClient) -> Any:
        import anthropic

        return anthropic.AsyncAnthropic(
            api_key=self._key, base_url=self.url, max_retries=0, timeout=http.timeout, http_client=http, open_telemetry=False
        )

    def body(self, model: str, request: Request) -> dict[str, Any]:
        """What is sent."""
        system = "\n\n".join(message.content for message in request.messages if message.role == "system")
        body: dict[str, Any] = {
            "model": model,
            "max_tokens": max(1, request.max_tokens),
            "messages": _messages([message for message in request.messages if message.role != "system"]),
        }
        last_tool, last_word = marks(request)
        if system:
            body["system"] = [{"type": "text", "text": system, "cache_control": _KEEP}] if last_word else system
        if self._can.temperature:
            body["temperature"] = request.temperature
        if request.stop:
            body["stop_sequences"] = list(request.stop)
        if self._can.no_thinking is not None:
            body["thinking"] = {"type": self._can.no_thinking}
        if request.schema is not None and self._schemas:
            body["output_config"] = {"format": {"type": "json_schema", "schema": taken_by("anthropic", request.schema)}}
        if request.tools:
            tools = [{"name": t.name, "description": t.description, "input_schema": dict(t.schema)} for t in request.tools]
            if last_tool:
                tools[-1]["cache_control"] = _KEEP
            body |= {"tools": tools, "tool_choice": _choice(request.tool_choice)}
        return body


def _messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The chat in blocks; results of tools, of which all must stand in one message, are said by the user here."""
    said: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "tool":
            if not results:
                said.append({"role": "user", "content": results})
            results.append({"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.content})
            continue
        results = []
        if not message.tool_calls:
            said.append({"role": message.role, "content": message.content})
            continue
        blocks: list[dict[str, Any]] = [{"type": "text", "text": message.content}] if message.content else []
        for call in message.tool_calls:  # broken arguments cannot be sent back as they were: only objects are taken
            arguments = {"unreadable": call.arguments} if call.parsed is None else call.parsed
            blocks.append({"type": "tool_use", "id": call.id, "name": call.name, "input": arguments})
        said.append({"role": message.role, "content": blocks})
    return said


def _choice(wanted: str) -> dict[str, Any]:
    words = {"auto": "auto", "required": "any", "none": "none"}
    return {"type": words[wanted]} if wanted in words else {"type": "tool", "name": wanted}


def received(found: Mapping[str, Any]) -> Received:
    """A reply in our shape; thinking is left out."""
    text = "".join(block["text"] for block in found["content"] if block["type"] == "text")
    usage = found["usage"]
    cached = int(usage.get("cache_read_input_tokens") or 0)
    written = int(usage.get("cache_creation_input_tokens") or 0)
    stop = str(found.get("stop_reason") or "end_turn")
    return Received(
        texts=(text,),
        finish=(_FINISH.get(stop, stop),),
        logprobs=None,
        prompt_logprobs=None,
        prompt_tokens=int(usage["input_tokens"]) + cached + written,
        cached_tokens=cached,
        completion_tokens=int(usage["output_tokens"]),
        written_tokens=written,
        tool_calls=tuple(
            ToolCall(str(block["id"]), str(block["name"]), json.dumps(block["input"]))
            for block in found["content"]
            if block["type"] == "tool_use"
        ),
    )


def _response() -> Any:
    import httpx2

    return httpx2.Response
