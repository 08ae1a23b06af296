"""Models by name, for agents: `anthropic:…`, `openai:…`, `vllm:URL[#model]`, and `induction`, which is no language model.

Agents speak to language models through langchain-core's chat-model interface, which LangGraph knows. Behind it is the gateway of
`evals`, not langchain-anthropic or langchain-openai: budgets are reserved before a call leaves, a call is in the ledger with its
request before it is sent and with its reply before that is used, and a replay reads it from there. The wrappers send by
themselves, try again by themselves and hide what vLLM adds to a reply, so that none of this could hold; the gateway uses the
SDKs of Anthropic and OpenAI directly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from dragoman.evals.gateway.models import FORMS, model_named
from dragoman.store.errors import UserError

from .chat import GatewayChat
from .structured import Structured, Unreadable, structured

if TYPE_CHECKING:
    from dragoman.evals.gateway.gateway import Gateway
    from dragoman.evals.gateway.prices import Price

__all__ = ["GatewayChat", "Structured", "Unreadable", "chat_named", "is_induction", "structured"]

INDUCTION = "induction"
"""The researcher that needs no language model."""


def is_induction(spec: str) -> bool:
    """Whether a name means the explainer without a language model, which sits in the same seat but is no chat model."""
    return spec == INDUCTION


def chat_named(
    spec: str,
    gateway: Gateway,
    *,
    max_tokens: int = 1024,
    temperature: float = 0.0,
    seed: int | None = None,
    price: Price | None = None,
    count: Callable[[str], int] | None = None,
    read_timeout: float = 300.0,
    environment: Mapping[str, str] | None = None,
) -> GatewayChat:
    """The chat model of this name, bound to no place yet; nothing is sent.

    spec, price, count, read_timeout, environment: as `evals.gateway.models.model_named` takes them.
    max_tokens, temperature, seed: of every call, unless it says otherwise.

    Raises UserError for a name that names nothing, for `induction`, and where a key is missing, unless the gateway replays a run.
    """
    if is_induction(spec):
        raise UserError(f"induction is no language model and cannot be talked to: write one of {FORMS}.")
    replays = gateway.recorded is not None
    model = model_named(spec, price=price, count=count, read_timeout=read_timeout, environment=environment, offline=replays)
    return GatewayChat(gateway=gateway, model=model, max_tokens=max_tokens, temperature=temperature, seed=seed)
