"""A chat model of langchain-core's whose calls go through the gateway, each at a place of its own in the run."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, PrivateAttr

from dragoman.evals.gateway.calls import Message, Place, Reply, Request, Tool, ToolCall
from dragoman.evals.gateway.streaming import Tell

_SETTINGS = frozenset({"max_tokens", "temperature", "seed", "tools", "tool_choice"})
"""What may be said anew with a single call."""


class GatewayChat(BaseChatModel):
    """A language model, bound to a place of a run by `at`. Use `models.chat_named` to make one.

    Asynchronous only, because the gateway belongs to one event loop. `ask` is the short way, with the gateway's own messages;
    `ainvoke`, `bind_tools` and `with_structured_output` are langchain's.
    """

    gateway: Any
    """The run's `Gateway`, entered."""
    model: Any
    """The `Model` that is asked."""
    max_tokens: int = 1024
    """Tokens of a reply at most."""
    temperature: float = 0.0
    """Of sampling."""
    seed: int | None = None
    """Of sampling, where the server takes one."""
    place: tuple[int, str] | None = None
    """Feature and step that its calls belong to."""
    tools: tuple[Tool, ...] = ()
    """Tools that it may ask for."""
    tool_choice: str = "auto"
    """As `Request` has it."""
    _ordinals: Iterator[int] = PrivateAttr(default_factory=itertools.count)

    @property
    def name_of_model(self) -> str:
        """As it is recorded, for example `vllm:judge-1b`. Raises RuntimeError before the first call where its server names it."""
        return str(self.model.name)

    @property
    def enforces_schemas(self) -> bool:
        """Whether its server is known to keep replies to a schema."""
        return bool(self.model.enforces_schemas)

    def at(self, feature: int, step: str) -> GatewayChat:
        """The same model at a place: its calls are numbered 0, 1, 2, … in the order they are made.

        What makes the calls in the same order again, after a kill or in a replay, finds the replies in the ledger. Work that
        runs side by side takes a step for each part of it.
        """
        there = self.model_copy(update={"place": (feature, step)})
        there._ordinals = itertools.count()
        return there

    async def ask(
        self,
        messages: Sequence[Message | BaseMessage],
        *,
        schema: Mapping[str, Any] | None = None,
        tell: Tell | None = None,
        **settings: Any,
    ) -> Reply:
        """One call.

        tell: is told of the reply in pieces as they come, where the server can stream.
        schema: JSON schema that the reply is to satisfy; not every server enforces it, see `structured`.
        settings: `max_tokens`, `temperature`, `seed`, `stop`, `tools`, `tool_choice`, other than the model's own.
        Raises what `Gateway.ask` raises, and ValueError where the model is bound to no place.
        """
        if self.place is None:
            raise ValueError("this model is at no place of the run: ask chat.at(feature, step)")
        request = self.request(messages, schema=schema, **settings)
        place = Place(*self.place, next(self._ordinals))
        listening = () if tell is None else (tell,)
        reply: Reply = await self.gateway.ask(self.model, request, place, *listening)
        return reply

    def request(
        self, messages: Sequence[Message | BaseMessage], *, schema: Mapping[str, Any] | None = None, **settings: Any
    ) -> Request:
        """What `ask` sends."""
        return Request(
            messages=tuple(as_message(message) for message in messages),
            schema=schema,
            stop=tuple(settings.get("stop") or ()),
            **{name: settings.get(name, getattr(self, name)) for name in sorted(_SETTINGS)},
        )

    def bind_tools(
        self,
        tools: Sequence[Any],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> GatewayChat:
        """The same model with tools: langchain's, functions, pydantic models, or objects with `name`, `description` and `schema`.

        It goes on with the numbering of calls.
        """
        if kwargs:
            raise ValueError(f"these servers are not told {', '.join(kwargs)} of tools")
        choice = {None: "auto", "any": "required"}.get(tool_choice, tool_choice)
        return self.model_copy(update={"tools": tuple(as_tool(tool) for tool in tools), "tool_choice": choice})

    def with_structured_output(
        self, schema: dict[str, Any] | type, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[Any, Any]:
        """Replies as instances of a pydantic model, or as dicts under a JSON schema, read by `structured`.

        include_raw: a dict of `raw` (the text), `parsed` and `parsing_error`, instead of an exception where it cannot be read.
        """
        from .structured import Unreadable, structured, under_schema

        if kwargs:
            raise ValueError(f"structured output takes no {', '.join(kwargs)}")

        async def ask(given: Any) -> Any:
            messages = self._convert_input(given).to_messages()
            try:
                if isinstance(schema, type) and issubclass(schema, BaseModel):
                    found: Any = await structured(self, messages, schema)
                elif isinstance(schema, dict):
                    found = await under_schema(self, messages, schema)
                else:
                    raise TypeError("a schema is a pydantic model or a JSON schema")
            except Unreadable as error:
                if not include_raw:
                    raise
                return {"raw": AIMessage(content=error.raw), "parsed": None, "parsing_error": error}
            raw = AIMessage(content=found.raw)
            return {"raw": raw, "parsed": found.value, "parsing_error": None} if include_raw else found.value

        def refuse(given: Any) -> Any:
            raise RuntimeError(_ASYNCHRONOUS)

        return RunnableLambda(refuse, afunc=ask, name=f"structured {getattr(schema, '__name__', 'output')}")

    @property
    def _llm_type(self) -> str:
        return "dragoman-gateway"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"spec": self.model.spec, "max_tokens": self.max_tokens, "temperature": self.temperature}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise RuntimeError(_ASYNCHRONOUS)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        unknown = set(kwargs) - _SETTINGS
        if unknown:
            raise ValueError(f"a call takes no {', '.join(sorted(unknown))}")
        if "tools" in kwargs:
            kwargs["tools"] = tuple(as_tool(tool) for tool in kwargs["tools"])
        reply = await self.ask(messages, stop=stop, **kwargs)
        return ChatResult(generations=[ChatGeneration(message=as_ai_message(reply, self.name_of_model))])


_ASYNCHRONOUS = "the gateway lives in an event loop: await ainvoke, not invoke"


def as_message(message: Message | BaseMessage) -> Message:
    """A message in the gateway's shape. Raises ValueError for what is not text."""
    if isinstance(message, Message):
        return message
    parts = message.content if isinstance(message.content, list) else []
    if any(isinstance(part, dict) and part.get("type") not in ("text", "thinking", "reasoning", "tool_use") for part in parts):
        raise ValueError("only text can be sent")
    text = str(message.text)
    if isinstance(message, SystemMessage):
        return Message("system", text)
    if isinstance(message, HumanMessage):
        return Message("user", text)
    if isinstance(message, ToolMessage):
        return Message("tool", text, tool_call_id=message.tool_call_id)
    if isinstance(message, AIMessage):
        calls = [ToolCall(call["id"] or "", call["name"], json.dumps(call["args"])) for call in message.tool_calls]
        broken = [ToolCall(call["id"] or "", call["name"] or "", call["args"] or "") for call in message.invalid_tool_calls]
        return Message("assistant", text, tuple(calls + broken))
    raise ValueError(f"a message of the type {message.type} cannot be sent")


def as_ai_message(reply: Reply, model: str) -> AIMessage:
    """A reply in langchain's shape, with what it cost: arguments of tools that are no JSON object are `invalid_tool_calls`."""
    calls = [(call, call.parsed) for call in reply.tool_calls]
    return AIMessage(
        content=reply.texts[0],
        tool_calls=[
            {"name": call.name, "args": parsed, "id": call.id, "type": "tool_call"}
            for call, parsed in calls
            if parsed is not None
        ],
        invalid_tool_calls=[
            {
                "name": call.name,
                "args": call.arguments,
                "id": call.id,
                "error": "the arguments are no JSON object",
                "type": "invalid_tool_call",
            }
            for call, parsed in calls
            if parsed is None
        ],
        usage_metadata={
            "input_tokens": reply.prompt_tokens,
            "output_tokens": reply.completion_tokens,
            "total_tokens": reply.prompt_tokens + reply.completion_tokens,
            "input_token_details": {"cache_read": reply.cached_tokens},
        },
        response_metadata={
            "model_name": model,
            "finish_reason": reply.finish[0],
            "cost": reply.cost,
            "call": reply.call,
            "hit": reply.hit,
            "latency": reply.latency,
        },
    )


def as_tool(tool: Any) -> Tool:
    """A tool in the gateway's shape: from an object with `name`, `description` and `schema`, or whatever langchain takes."""
    if isinstance(tool, Tool):
        return tool
    schema = getattr(tool, "schema", None)
    if isinstance(schema, Mapping):
        return Tool(tool.name, tool.description, schema)
    function = convert_to_openai_tool(tool)["function"]
    empty = {"type": "object", "properties": {}}
    return Tool(function["name"], function.get("description", ""), function.get("parameters") or empty)
