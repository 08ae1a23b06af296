"""Models by name: where they are served, what they can do and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["vllm", "openai", "anthropic"]
"""Who serves it: vLLM; OpenAI or any other OpenAI-compatible server; Anthropic."""


@dataclass(frozen=True)
class Price:
    """US dollars for a million tokens."""

    prompt: float
    """Of a prompt."""
    cached: float
    """Of a prompt, read from the server's cache."""
    completion: float
    """Of a reply."""


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
    """A temperature other than its own."""


class Model:
    """A language model behind one or several servers."""

    spec: str
    """As it was asked for."""
    kind: Kind
    """Who serves it."""
    urls: tuple[str, ...]
    """Base addresses of its replicas."""
    price: Price | None
    """None where it is not known; one's own servers cost nothing."""
    capabilities: Capabilities
    """What it can be asked for."""
    context: int | None
    """Tokens of prompt and reply together; None where the server does not say."""

    @property
    def name(self) -> str:
        """Recorded with scores, for example `vllm:judge-1b`; known after `check` where the server names it."""
        raise NotImplementedError

    async def check(self) -> None:
        """Read from the server which models it has, and the context length.

        Raises UserError when it does not answer, is of another kind, refuses the key, or does not have the model.
        """
        raise NotImplementedError

    def count_tokens(self, text: str) -> int:
        """Tokens of a text: exact where a tokenizer was given, otherwise an upper bound (its bytes)."""
        raise NotImplementedError


def model_named(
    spec: str,
    *,
    price: Price | None = None,
    count: Callable[[str], int] | None = None,
    connect_timeout: float = 10.0,
    read_timeout: float = 300.0,
    environment: Mapping[str, str] | None = None,
) -> Model:
    """The model of this name; nothing is sent yet.

    spec: `vllm:http://127.0.0.1:8000/v1`, `vllm:URL,URL2#MODEL`, `openai:MODEL`, `openai:URL#MODEL` (any server that is
        compatible), `anthropic:MODEL` or `anthropic:URL#MODEL`.
    price: instead of the list price. count: the model's tokenizer, as a function from a text to its number of tokens.
    connect_timeout, read_timeout: seconds. environment: where keys are read from instead of `os.environ`.

    Raises UserError for anything else, and where a key is needed and missing.
    """
    raise NotImplementedError
