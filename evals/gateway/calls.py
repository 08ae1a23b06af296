"""What is asked of a language model, by whom, and what came back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple


class Place(NamedTuple):
    """Where in a run a call belongs. With the run's seed and the request it makes the key of the cache."""

    feature: int
    """Global id of the feature; -1 for calls that belong to none."""
    step: str
    """Part of the work, for example `score/label/detection`."""
    ordinal: int
    """Which call of that step, from 0."""


class Message(NamedTuple):
    """One message of a chat."""

    role: Literal["system", "user", "assistant"]
    """Who speaks."""
    content: str
    """What is said."""


class Unanswered(Exception):
    """One call has no answer, and asking again would not help; the message is the reason, without a full stop.

    For example a refusal, a prompt that is too long, or a reply that cannot be read. Other calls may go on.
    """


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
    stop: tuple[str, ...] = ()
    """Texts that end the reply."""
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
