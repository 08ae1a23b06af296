"""The nouns of traffic with language models: a call, a batch."""

from __future__ import annotations

from typing import Literal

from .records import Record


class ModelCall(Record):
    """One call to a language model. It is written before it is sent, with the worst that it may cost."""

    id: str
    """Hash of run, key and attempt."""
    run: str
    """The run it was made in."""
    feature: int
    """Global id of the feature; -1 for calls that belong to none."""
    step: str
    """Part of the work, for example `score/label/detection`."""
    ordinal: int
    """Which call of that step, from 0."""
    attempt: int
    """How many rows of this run had the same key before."""
    key: str
    """Hash of seed, feature, step, ordinal, model and request: the key of the cache."""
    model: str
    """For example `vllm:judge-1b`."""
    request: str
    """What was asked, as JSON."""
    reply: str | None = None
    """What came back, as JSON; None until settled."""
    status: Literal["reserved", "settled", "failed", "stopped", "feature_spent"]
    """Reserved calls of a process that has ended count as spent. stopped: not answered, because the run ended (a budget, a server
    that was away); feature_spent: not sent, because the feature's budget was reached."""
    reason: str | None = None
    """Why it failed."""
    tokens: int
    """Counted against a budget: the worst case until settled, then prompt and reply; 0 where a server refused."""
    cost: float | None
    """US dollars, counted likewise; None where the price is not known."""
    prompt_tokens: int | None = None
    """Tokens of the prompt; None until settled."""
    cached_tokens: int | None = None
    """Those of them read from the server's prefix cache, as far as it tells."""
    completion_tokens: int | None = None
    """Tokens of the reply."""
    latency: float | None = None
    """Seconds from sending to the whole reply."""
    hit: bool = False
    """Taken from another run and not sent; tokens and cost are the original ones."""
    started: str
    """UTC time it was reserved."""


class ModelBatch(Record):
    """Many calls handed to a service at once, to be answered within a day."""

    id: str
    """Hash of the run and its calls; the service is told it."""
    run: str
    """The run it was made in."""
    model: str
    """For example `openai:gpt-4.1-mini`."""
    server: str
    """Address it was handed to."""
    remote: str | None
    """The service's id; None until its answer is known."""
    status: Literal["prepared", "submitted", "read", "refused"]
    """prepared: written, and perhaps handed in; read: every call has an outcome."""
    calls: int
    """How many it holds."""
    started: str
    """UTC time it was written."""
