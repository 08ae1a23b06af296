"""vLLM, OpenAI and whatever else is compatible, over the openai SDK."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .calls import Message, Request, TokenChance, Tool, ToolCall, Unanswered
from .forms import Received
from .keys import HOSTED
from .schemas import taken_by
from .servers import Lanes, Listed, Timeouts
from .streaming import EVENTS, GrowingCompletion, Tell, about_streams, read
from .troubles import Away, not_there, other_kind, parsed, trouble_of

if TYPE_CHECKING:
    import httpx2
    import openai

    from .models import Capabilities

log = logging.getLogger("dragoman.gateway")


class OpenAIServer:
    """One address of an OpenAI-compatible server."""

    def __init__(self, kind: str, url: str, key: str, can: Capabilities, timeouts: Timeouts) -> None:
        """Nothing is sent yet."""
        self.kind, self.url, self._key, self._can = kind, url, key, can
        self.lanes = Lanes(self._client, url, timeouts)
        self._schemas, self._streams = can.schema, True

    async def models(self) -> list[Listed] | None:
        """See `Server`; a server without such a list is taken as it is, unless it should be vLLM."""
        try:
            found = await self._call("GET", "/models", None, "")
        except Away as away:
            raise not_there(self.url, self.kind, str(away)) from None
        except _NoSuchPage:
            if self.kind == "vllm":
                raise other_kind(self.url, self.kind, "it has no list of models") from None
            return None
        listed = found.get("data")
        if not isinstance(listed, list) or not all(isinstance(entry, dict) and "id" in entry for entry in listed):
            raise other_kind(self.url, self.kind, "its list of models cannot be read")
        return [Listed(str(e["id"]), e.get("max_model_len"), str(e.get("owned_by", ""))) for e in listed]

    async def healthy(self) -> bool:
        """See `Server`; vLLM has a page for it, which also knows whether its engine is alive."""
        import openai

        path = self.url.removesuffix("/v1") + "/health" if self.kind == "vllm" else "/models"
        try:
            with self.lanes.free() as client:
                response = await client.get(path, cast_to=_response(), options={"timeout": 5.0})
        except openai.APIStatusError as error:
            return error.status_code < 500
        except openai.OpenAIError:
            return False
        return bool(response.status_code < 500)

    async def send(self, model: str, request: Request, tell: Tell | None = None) -> Received:
        """See `Server`."""
        chat = request.prompt is None
        body = self.body(model, request)
        if not chat or request.n > 1 or request.top_logprobs or request.prompt_logprobs:
            tell = None
        try:
            found = await self._unless_refused("/chat/completions" if chat else "/completions", body, model, tell)
        except _NoSuchPage as error:
            raise error.meaning from None
        try:
            return received(found, request)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            raise Away("its reply has not the shape of a completion", spent=True) from None

    async def close(self) -> None:
        """See `Server`."""
        await self.lanes.close()

    def body(self, model: str, request: Request) -> dict[str, Any]:
        """What is sent."""
        return self._chat(model, request) if request.prompt is None else self._completion(model, request)

    async def _unless_refused(self, path: str, body: dict[str, Any], model: str, tell: Tell | None) -> Any:
        """The reply; a server of unknown make that refuses schemas is asked again without, and from then on at once."""
        if tell is not None and self._streams:
            try:
                streamed = {**body, "stream": True, "stream_options": {"include_usage": True}}
                return await self._call("POST", path, streamed, model, tell)
            except Unanswered as error:
                if not about_streams(error):
                    raise
            log.info("%s does not stream: its replies come whole from now on", self.url)
            self._streams = False
        try:
            return await self._call("POST", path, body, model)
        except Unanswered as error:
            if self.kind == "vllm" or self.url == HOSTED["openai"] or "response_format" not in body or not about_schemas(error):
                raise
        log.info("%s takes no schema of replies: it is asked without from now on", self.url)
        self._schemas = False
        del body["response_format"]
        return await self._call("POST", path, body, model)

    async def _call(self, method: str, path: str, body: dict[str, Any] | None, model: str, tell: Tell | None = None) -> Any:
        """The JSON of a reply, tried once."""
        import openai

        try:
            with self.lanes.free() as client:
                if method == "GET":
                    response = await client.get(path, cast_to=_response())
                elif tell is not None:
                    response = await client.post(path, cast_to=_response(), body=body, stream=True, stream_cls=openai.AsyncStream)
                    if response.headers.get("content-type", "").startswith(EVENTS):
                        return await read(response, GrowingCompletion(), tell)
                    await response.aread()  # it does not stream, and has sent the whole
                else:
                    response = await client.post(path, cast_to=_response(), body=body)
                return parsed(response.content, response.headers.get("content-type", ""), kind=self.kind, url=self.url)
        except openai.APIStatusError as error:
            meaning = self.meaning(error, model)
            raise (_NoSuchPage(meaning) if error.status_code in (404, 405) else meaning) from None
        except openai.APIConnectionError as error:
            raise away(error) from None

    def meaning(self, error: openai.APIStatusError, model: str) -> Exception:
        """What an HTTP error of this server means."""
        got = error.response
        wait = got.headers.get("retry-after")
        return trouble_of(got.status_code, got.content, wait, kind=self.kind, url=self.url, model=model, secrets=(self._key,))

    def _client(self, http: httpx2.AsyncClient) -> Any:
        import openai

        return openai.AsyncOpenAI(api_key=self._key, base_url=self.url, max_retries=0, timeout=http.timeout, http_client=http)

    def _chat(self, model: str, request: Request) -> dict[str, Any]:
        body = self._common(model, request)
        body["messages"] = [_message(message) for message in request.messages]
        hosted = self.url == HOSTED["openai"]
        body["max_completion_tokens" if hosted else "max_tokens"] = max(1, request.max_tokens)
        if hosted and self._can.no_thinking is not None:
            body["reasoning_effort"] = self._can.no_thinking
        if request.top_logprobs and self._can.logprobs:
            body |= {"logprobs": True, "top_logprobs": min(request.top_logprobs, self._can.logprobs)}
        if request.tools:
            body["tools"] = [_tool(tool) for tool in request.tools]
            body["tool_choice"] = _choice(request.tool_choice)
        return body

    def _completion(self, model: str, request: Request) -> dict[str, Any]:
        body = self._common(model, request)
        body["prompt"] = request.prompt if isinstance(request.prompt, str) else list(request.prompt or ())
        body["max_tokens"] = request.max_tokens
        if request.max_tokens == 0:
            body["echo"] = True  # without it vLLM wants at least one token
        if request.top_logprobs and self._can.logprobs and request.max_tokens:
            body["logprobs"] = min(request.top_logprobs, self._can.logprobs)
        return body

    def _common(self, model: str, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = {"model": model}
        if self._can.temperature:
            body["temperature"] = request.temperature
        if request.seed is not None:
            body["seed"] = request.seed
        if request.n > 1:
            body["n"] = request.n
        if request.stop:
            body["stop"] = list(request.stop)
        if request.prompt_logprobs:
            body["prompt_logprobs"] = request.prompt_logprobs
        if request.schema is not None and self._schemas:
            schema = taken_by("openai", request.schema) if self.url == HOSTED["openai"] else dict(request.schema)
            shape = {"name": "reply", "schema": schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": shape}
        if request.choices and self._can.choices:
            body["structured_outputs"] = {"choice": list(request.choices)}
        elif request.pattern and self._can.choices:
            body["structured_outputs"] = {"regex": request.pattern}
        return body


class _NoSuchPage(Exception):
    """A 404, and what it means where the page should be there."""

    def __init__(self, meaning: Exception) -> None:
        super().__init__(str(meaning))
        self.meaning = meaning


def away(error: Exception) -> Away:
    """What a failed connection means; the SDKs keep the cause of it."""
    import httpx2

    cause = error.__cause__
    if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):
        return Away("no connection", spent=False)
    if isinstance(cause, httpx2.TimeoutException):
        return Away("timed out", spent=True, slow=True)
    return Away("the connection was dropped", spent=True)


def about_schemas(error: Unanswered) -> bool:
    """Whether a server refused a request because of the schema in it."""
    return re.search(r"response_format|output_config|json_schema|schema|structured", str(error), re.IGNORECASE) is not None


def _message(message: Message) -> dict[str, Any]:
    said: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        said["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
        said["content"] = message.content or None
    if message.tool_call_id is not None:
        said["tool_call_id"] = message.tool_call_id
    return said


def _tool(tool: Tool) -> dict[str, Any]:
    return {"type": "function", "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.schema)}}


def _choice(wanted: str) -> Any:
    return wanted if wanted in ("auto", "required", "none") else {"type": "function", "function": {"name": wanted}}


def _tool_calls(choice: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    found = []
    for number, call in enumerate(choice["message"].get("tool_calls") or ()):
        asked = call["function"]
        arguments = asked.get("arguments") or ""
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        found.append(ToolCall(str(call.get("id") or f"call_{number}"), str(asked["name"]), text))
    return tuple(found)


def received(found: Mapping[str, Any], request: Request) -> Received:
    """A reply in our shape; whatever is missing raises."""
    choices = sorted(found["choices"], key=lambda choice: choice.get("index", 0))
    if len(choices) != request.n:
        raise ValueError("not as many replies as asked for")
    if request.prompt is None:
        texts = tuple(choice["message"].get("content") or "" for choice in choices)
        logprobs = _chat_logprobs(choices[0])
        finish = tuple(
            "refusal" if choice["message"].get("refusal") else str(choice.get("finish_reason") or "stop") for choice in choices
        )
        places = found.get("prompt_logprobs")
    else:
        texts = tuple(choice["text"] if request.max_tokens else "" for choice in choices)
        logprobs = _completion_logprobs(choices[0])
        finish = tuple(str(choice.get("finish_reason") or "stop") for choice in choices)
        places = choices[0].get("prompt_logprobs")
    if request.prompt_logprobs and places is None:
        raise ValueError("no log-probabilities of the prompt")
    usage = found.get("usage") or {}
    details = usage.get("prompt_tokens_details") or {}
    if request.max_tokens == 0:
        texts = ("",) * len(texts)
    return Received(
        texts=texts,
        finish=finish,
        logprobs=logprobs if request.top_logprobs else None,
        prompt_logprobs=_prompt_logprobs(places, request.keep) if request.prompt_logprobs and places is not None else None,
        prompt_tokens=usage.get("prompt_tokens"),
        cached_tokens=int(details.get("cached_tokens") or 0),
        completion_tokens=usage.get("completion_tokens"),
        tool_calls=_tool_calls(choices[0]) if request.tools and request.prompt is None else (),
    )


def _chat_logprobs(choice: Mapping[str, Any]) -> tuple[tuple[TokenChance, ...], ...] | None:
    content = (choice.get("logprobs") or {}).get("content")
    if not content:
        return None
    return tuple(_ranked((top["token"], top["logprob"]) for top in place["top_logprobs"]) for place in content)


def _completion_logprobs(choice: Mapping[str, Any]) -> tuple[tuple[TokenChance, ...], ...] | None:
    places = (choice.get("logprobs") or {}).get("top_logprobs")
    if not places:
        return None
    return tuple(_ranked((place or {}).items()) for place in places)


def _ranked(pairs: Any) -> tuple[TokenChance, ...]:
    """The likeliest first."""
    return tuple(sorted((TokenChance(str(t), float(c)) for t, c in pairs), key=lambda chance: -chance.logprob))


def _prompt_logprobs(places: list[dict[str, Any] | None], keep: tuple[str, ...] | None) -> tuple[Mapping[str, float], ...]:
    """vLLM lists the prompt's own token first; of the others only those in `keep` are kept. Equal texts: the likelier."""
    found: list[Mapping[str, float]] = []
    for place in places:
        kept: dict[str, float] = {}
        for rank, entry in enumerate((place or {}).values()):
            text, logprob = str(entry.get("decoded_token") or ""), float(entry["logprob"])
            if rank == 0 or keep is None or text in keep:
                kept[text] = max(logprob, kept.get(text, float("-inf")))
        found.append(kept)
    return tuple(found)


def _response() -> Any:
    """Have the SDK hand over the response as it came: its own models leave out what vLLM adds."""
    import httpx2

    return httpx2.Response
