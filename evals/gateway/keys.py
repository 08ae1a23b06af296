"""Keys of services: read from the environment, sent to whom they belong, shown to nobody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from dragoman.store.errors import UserError

HOSTED = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com"}
"""Where the services are."""
VARIABLES = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY", "vllm": "VLLM_API_KEY"}
"""Where their keys are read from; a server with an address of its own may use the one of its protocol."""
NO_KEY = "none"
"""What is sent to servers that need no key, because the SDKs want one."""


def key_for(kind: str, url: str, environment: Mapping[str, str]) -> str:
    """The key for a server. Raises UserError where it is needed and missing."""
    names = [VARIABLES[kind], *([VARIABLES["openai"]] if kind == "vllm" else [])]
    for name in names:
        if environment.get(name, "").strip():
            return environment[name].strip()
    if url == HOSTED.get(kind):
        raise UserError(f"{names[0]} is not set: put your key into the environment (export {names[0]}=…) and run this again.")
    return NO_KEY


def is_loopback(url: str) -> bool:
    """Whether an address is this machine."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def scrub(text: str, secrets: Iterable[str]) -> str:
    """The text without the keys in it."""
    for secret in secrets:
        if secret and secret != NO_KEY:
            text = text.replace(secret, "•••")
    return text
