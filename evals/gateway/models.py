"""Models by name: where they are served, what they can do and what they cost."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlsplit

from dragoman.store.errors import UserError

from .caching import marks
from .calls import Message, Request
from .keys import HOSTED, NO_KEY, is_loopback, key_for
from .prices import FREE, Price, factor, list_price
from .servers import Listed, Server, Timeouts

Kind = Literal["vllm", "openai", "anthropic"]
"""Who serves it: vLLM; OpenAI or any other OpenAI-compatible server; Anthropic."""

FORMS = "vllm:http://127.0.0.1:8000/v1, vllm:URL,URL2#MODEL, openai:MODEL, openai:URL#MODEL, anthropic:MODEL"
"""How models are named, for messages."""
_PER_PROMPT, _PER_MESSAGE, _PER_SCHEMA, _PER_TOOLS = 64, 16, 512, 1024
"""Tokens that a chat template, a message, a schema's instructions and those on tools may add at most, generously."""


@dataclass(frozen=True)
class Capabilities:
    """What a server can be asked for."""

    logprobs: int
    """Most alternatives at each token of a reply; 0: no log-probabilities."""
    prompt_logprobs: int
    """Most alternatives at each token of a prompt; 0: none."""
    schema: bool
    """Replies that satisfy a JSON schema."""
    choices: bool
    """Replies out of a list."""
    completions: bool
    """Raw prompts, as text or token ids."""
    n: bool
    """Several replies to one request."""
    temperature: bool
    """A temperature; without it the server samples as it likes."""
    no_thinking: str | None = None
    """What it is told so that it answers without thinking first; None: nothing has to, or can be said."""


VLLM = Capabilities(logprobs=20, prompt_logprobs=20, schema=True, choices=True, completions=True, n=True, temperature=True)
COMPATIBLE = replace(VLLM, prompt_logprobs=0, choices=False, completions=False)
MESSAGES = Capabilities(logprobs=0, prompt_logprobs=0, schema=True, choices=False, completions=False, n=False, temperature=True)


class Model:
    """A language model behind one or several servers."""

    def __init__(
        self,
        spec: str,
        kind: Kind,
        urls: tuple[str, ...],
        model: str | None,
        price: Price | None,
        count: Callable[[str], int] | None,
        timeouts: Timeouts,
        keys: Mapping[str, str],
    ) -> None:
        """Use `model_named`. model: its name on the server; None reads it from there. keys: of each of the `urls`."""
        self.spec, self.kind, self.urls = spec, kind, urls
        self.price = price
        """None where it is not known; one's own servers cost nothing."""
        self.capabilities = _capabilities(kind, urls[0], model)
        """What it can be asked for."""
        self.context: int | None = None
        """Tokens of prompt and reply together; None where the server does not say, or was not asked yet."""
        self.secrets = tuple(set(keys.values()))
        """Keys, which nobody may see."""
        self._served = model
        self._count = count
        self._timeouts = timeouts
        self._keys = keys

    def __repr__(self) -> str:
        return f"Model({self.spec!r})"

    @property
    def name(self) -> str:
        """Recorded with scores, for example `vllm:judge-1b`. Raises RuntimeError before `check` where the server names it."""
        return f"{self.kind}:{self.served}"

    @property
    def named(self) -> bool:
        """Whether its name is known without asking the server."""
        return self._served is not None

    @property
    def enforces_schemas(self) -> bool:
        """Whether its replies are known to satisfy a schema; a server that is merely compatible may take one and ignore it."""
        return self.capabilities.schema and (self.kind == "vllm" or self.urls[0] == HOSTED[self.kind])

    @property
    def served(self) -> str:
        """What the server calls it. Raises RuntimeError as `name` does."""
        if self._served is None:
            raise RuntimeError("the model's name is read from its server: await model.check() first")
        return self._served

    async def check(self) -> None:
        """Read from the servers which models they have, and the context length. Replicas that do not answer are left for later.

        Raises UserError when none answers, and for a server of another kind, a wrong key, or one that does not have the model.
        """
        missing: UserError | None = None
        answered = False
        for server in self.connect():
            try:
                listed = await server.models()
            except UserError as error:
                if not str(error).startswith("No server answers"):
                    raise
                missing = error
            else:
                answered = True
                self._learn(server.url, listed)
            finally:
                await server.close()
        if missing is not None and not answered:
            raise missing

    def connect(self) -> list[Server]:
        """New connections to all replicas, for one event loop; the caller closes them."""
        from .anthropic_server import AnthropicServer
        from .openai_server import OpenAIServer

        if self.kind == "anthropic":
            return [AnthropicServer(url, self._keys[url], self.capabilities, self._timeouts) for url in self.urls]
        return [OpenAIServer(self.kind, url, self._keys[url], self.capabilities, self._timeouts) for url in self.urls]

    def count_tokens(self, text: str) -> int:
        """Tokens of a text: exact where a tokenizer was given, otherwise an upper bound (every token has a byte at least)."""
        return self._count(text) if self._count is not None else len(text.encode("utf-8", "surrogatepass"))

    def worst(self, request: Request) -> tuple[int, int]:
        """Tokens of the prompt and of all replies at most."""
        if isinstance(request.prompt, str):
            prompt = self.count_tokens(request.prompt) + 1
        elif request.prompt is not None:
            prompt = len(request.prompt) + 1
        else:
            prompt = _PER_PROMPT + sum(self._worst_message(message) for message in request.messages)
        if request.tools:
            prompt += _PER_TOOLS + sum(_PER_MESSAGE + self.count_tokens(str(tool)) for tool in request.tools)
        if request.schema is not None:
            prompt += _PER_SCHEMA + self.count_tokens(str(dict(request.schema)))
        return prompt, max(1, request.max_tokens) * request.n

    def worst_cost(self, request: Request) -> float | None:
        """US dollars that a call may cost at most; None where the price is not known."""
        prompt, completion = self.worst(request)
        return self.cost(prompt, 0, completion, prompt if self.kind == "anthropic" and any(marks(request)) else 0)

    def cost(self, prompt_tokens: int, cached_tokens: int, completion_tokens: int, written_tokens: int = 0) -> float | None:
        """US dollars of a call; None where the price is not known."""
        return None if self.price is None else self.price.of(prompt_tokens, cached_tokens, completion_tokens, written_tokens)

    def call_it(self, served: str) -> None:
        """Take this name as what its server calls it, where the spec names none and the server is not asked."""
        if self._served is None:
            self._served = served

    def _worst_message(self, message: Message) -> int:
        asked = sum(_PER_MESSAGE + self.count_tokens("".join(call)) for call in message.tool_calls)
        return _PER_MESSAGE + self.count_tokens(message.content + (message.tool_call_id or "")) + asked

    def _learn(self, url: str, listed: list[Listed] | None) -> None:
        """Take name and context length from a server's list, or raise."""
        if listed is None:
            if self._served is None:
                raise UserError(f"{url} does not say which models it has: name one, as {self.kind}:{url}#MODEL.")
            return
        names = [model.name for model in listed]
        shown = ", ".join(names[:12]) + (" …" if len(names) > 12 else "") or "none"
        if self.kind == "vllm" and not any(model.owner == "vllm" for model in listed):
            raise UserError(f"{url} is an OpenAI-compatible server, but not vLLM: write openai:{url}#MODEL (it has {shown}).")
        if self._served is None:
            if len(names) != 1:
                raise UserError(f"{url} has several models ({shown}): say which, as {self.kind}:{url}#MODEL.")
            self._served = names[0]
        found = [model for model in listed if model.name == self._served]
        if not found and url == HOSTED.get(self.kind):  # aliases stand for the dated names that are listed
            found = [model for model in listed if model.name.startswith(self._served)]
        if not found:
            raise UserError(f"{url} has no model {self._served!r}; it has {shown}.")
        contexts = [context for context in (found[0].context, self.context) if context]
        self.context = min(contexts) if contexts else None


def model_named(
    spec: str,
    *,
    price: Price | None = None,
    count: Callable[[str], int] | None = None,
    connect_timeout: float = 10.0,
    read_timeout: float = 300.0,
    environment: Mapping[str, str] | None = None,
    offline: bool = False,
) -> Model:
    """The model of this name; nothing is sent yet.

    spec: `vllm:http://127.0.0.1:8000/v1`, `vllm:URL,URL2#MODEL`, `openai:MODEL`, `openai:URL#MODEL` (any server that is
        compatible), `anthropic:MODEL` or `anthropic:URL#MODEL`.
    price: instead of the list price. count: the model's tokenizer, as a function from a text to its number of tokens.
    connect_timeout, read_timeout: seconds. environment: where keys are read from instead of `os.environ`.
    offline: nothing will be sent, because a recorded run is replayed, and no key is needed.

    Raises UserError for anything else, and where a key is needed and missing.
    """
    kind, _, rest = spec.partition(":")
    if kind not in ("vllm", "openai", "anthropic") or not rest:
        raise UserError(f"{spec!r} names no model: write one of {FORMS}.")
    where, _, model = rest.partition("#")
    if "://" in where:
        urls = tuple(_address(kind, url) for url in where.split(",") if url)
    elif kind == "vllm":
        raise UserError(f"{spec!r} has no address: write one of {FORMS}.")
    else:
        urls, model = (HOSTED[kind],), rest
    if price is None:
        price = list_price(kind, model) if urls[0] == HOSTED.get(kind) else None
        if kind == "vllm" or all(is_loopback(url) for url in urls):
            price = FREE
    if price is not None and price.written is None:
        price = replace(price, written=factor("cache write", kind) * price.prompt)
    return Model(
        spec=spec,
        kind=kind,  # type: ignore[arg-type]  # one of the three, see above
        urls=urls,
        model=model or None,
        price=price,
        count=count,
        timeouts=Timeouts(connect_timeout, read_timeout),
        keys={url: NO_KEY if offline else key_for(kind, url, os.environ if environment is None else environment) for url in urls},
    )


def _address(kind: str, url: str) -> str:
    """A base address as the SDKs want it. Raises UserError where it is none."""
    parts = urlsplit(url)
    try:
        parts.port  # noqa: B018  # raises where it is no number
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    if not good:
        raise UserError(f"{url!r} is no address of a server: write one like http://127.0.0.1:8000/v1.")
    if parts.username or parts.password:
        raise UserError("An address must not hold a name or a password: put the key into the environment.")
    url = url.rstrip("/")
    if kind == "anthropic":
        return url.removesuffix("/v1")
    return url if parts.path.strip("/") else f"{url}/v1"


def _capabilities(kind: Kind, url: str, model: str | None) -> Capabilities:
    """What a server of this kind can do; of hosted models, what this one can."""
    name = model or ""
    if kind == "vllm":
        return VLLM
    if url != HOSTED[kind]:
        return COMPATIBLE if kind == "openai" else MESSAGES
    if kind == "openai":
        if re.match(r"gpt-(4|3\.5)|chatgpt-4", name):
            return COMPATIBLE
        newer = re.match(r"gpt-(5\.[1-9]|[6-9])", name)  # earlier ones always think, and take no temperature
        return replace(COMPATIBLE, logprobs=0, temperature=bool(newer), no_thinking="none" if newer else None)
    if re.match(r"claude-(3|(opus|sonnet|haiku)-4(-[0-6])?(-\d{8})?$)", name):
        return MESSAGES
    silent = {"claude-opus-5": "disabled", "claude-sonnet-5": "disabled", "claude-haiku-5-5": "disabled"}
    silent["claude-sonnet-5-5"] = "between_tools"
    return replace(MESSAGES, temperature=False, no_thinking=silent.get(name))
