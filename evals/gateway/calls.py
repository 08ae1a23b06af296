"""What is asked of a language model, by whom, and what came back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from dragoman.store.errors import UserError


class Place(NamedTuple):
    """Where in a run a call belongs. With the run's seed and the request it makes the key of the cache."""

    feature: int
    """Global id of the feature; -1 for calls that belong to none."""
    step: str
    """Part of the work, for example `score/label/detection`."""
    ordinal: int
    """Which call of that step, from 0."""


class ToolCall(NamedTuple):
    """A tool that a model wants to be called."""

    id: str
    """Its number in the chat: the message with the result carries it."""
    name: str
    """Which tool."""
    arguments: str
    """JSON text as the model wrote it, which may be broken."""

    @property
    def parsed(self) -> dict[str, Any] | None:
        """The arguments by name; None where they are no JSON object."""
        try:
            found = json.loads(self.arguments)
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None


class Tool(NamedTuple):
    """A tool that a model may ask for."""

    name: str
    """Letters, digits, underscores and hyphens."""
    description: str
    """What it does and when to use it."""
    schema: Mapping[str, Any]
    """JSON schema of its arguments, an object."""


class Message(NamedTuple):
    """One message of a chat."""

    role: Literal["system", "user", "assistant", "tool"]
    """Who speaks; `tool` is the result of a tool call."""
    content: str
    """What is said."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Tools that the assistant asks for here."""
    tool_call_id: str | None = None
    """The call that this message is the result of."""


class Unanswered(Exception):
    """One call has no answer, and asking again would not help; the message is the reason, without a full stop.

    For example a refusal, a prompt that is too long, or a reply that cannot be read. Other calls may go on.
    """


class Refused(Unanswered):
    """The model refused to answer."""


class BudgetReached(UserError):
    """The budget of the run is reached; the message is a sentence. Calls under way may still be answered."""


class FeatureSpent(Exception):
    """The budget of one feature is reached; the message is a sentence. Work on that feature ends, other features go on."""


class NotRecorded(UserError):
    """A call that a replay needs is not in the recorded run; the message says which."""


@dataclass(frozen=True)
class Request:
    """One call: either `messages` of a chat, or a raw `prompt` to be continued."""

    messages: tuple[Message, ...] = ()
    """The chat so far; a system message may only come first."""
    prompt: str | tuple[int, ...] | None = None
    """Text or token ids to continue, for servers with a completions endpoint; `messages` are empty then."""
    max_tokens: int = 64
    """Tokens of the reply at most; 0 only with `prompt_logprobs`."""
    temperature: float = 0.0
    """Of sampling."""
    seed: int | None = None
    """Of sampling, where the server takes one."""
    n: int = 1
    """Replies sampled in one call."""
    top_logprobs: int = 0
    """Alternatives wanted at each token of the reply, with their log-probabilities."""
    prompt_logprobs: int = 0
    """Alternatives wanted at each token of the prompt (vLLM only)."""
    schema: Mapping[str, Any] | None = None
    """JSON schema that the reply must satisfy, enforced by the server where it can."""
    choices: tuple[str, ...] = ()
    """The reply must be one of these (vLLM's structured outputs)."""
    pattern: str = ""
    """Regular expression that the whole reply must match, enforced by vLLM's structured outputs and by no other server."""
    stop: tuple[str, ...] = ()
    """Texts that end the reply."""
    tools: tuple[Tool, ...] = ()
    """Tools that the model may ask for."""
    tool_choice: str = "auto"
    """`auto`: it may ask for one; `required`: it must; `none`: it must not; otherwise the name of the one it must ask for."""
    keep: tuple[str, ...] | None = None
    """Tokens whose log-probabilities are wanted of the prompt; others are not kept (the ledger stays small). None keeps all."""


class TokenChance(NamedTuple):
    """A token with its log-probability."""

    token: str
    """Its text."""
    logprob: float
    """Natural logarithm of its probability."""


@dataclass(frozen=True)
class Reply:
    """What came back, and what it cost."""

    texts: tuple[str, ...]
    """The replies, `n` of them."""
    finish: tuple[str, ...]
    """Why each ended: `stop`, `length`, `refusal`, …"""
    logprobs: tuple[tuple[TokenChance, ...], ...] | None
    """For the first reply, at each of its tokens the alternatives, the likeliest first; None where the server gave none."""
    prompt_logprobs: tuple[Mapping[str, float], ...] | None
    """At each token of the prompt, log-probabilities by the token's text: the prompt's own token first, then the alternatives
    (those in `keep`); empty at the first token. None if not asked."""
    prompt_tokens: int
    """Tokens of the prompt, those read from the server's cache included."""
    cached_tokens: int
    """Prompt tokens that the server took from its prefix cache, as far as it tells."""
    completion_tokens: int
    """Tokens written."""
    cost: float | None
    """US dollars at list price; 0 for a server of one's own, None where the price is not known."""
    latency: float
    """Seconds from sending to the whole reply."""
    hit: bool
    """Whether it came from our cache of earlier calls and nothing was sent."""
    call: str
    """Id of the call in the ledger."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Tools that the first reply asks for."""
