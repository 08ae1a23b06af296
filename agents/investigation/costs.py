"""What a tool call would cost before it is made, so that the user can be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

ASK_OVER = 30_000
"""Tokens through the subject above which the user is asked."""
ALWAYS = ("search_inputs",)
"""Tools that are always asked about."""
_A_TOKEN = 4
"""Characters of a token, roughly."""


class Cost(NamedTuple):
    """What a call would take."""

    tokens: int
    """Tokens through the subject, roughly, at most."""
    words: str
    """What it does, in words."""


def cost(tool: str, arguments: Mapping[str, Any]) -> Cost:
    """The worst that a call may cost, from its arguments; wrong arguments cost nothing, because they are refused."""
    try:
        return _COSTS[tool](arguments) if tool in _COSTS else Cost(0, "")
    except (LookupError, TypeError, ValueError, AttributeError):
        return Cost(0, "")


def must_ask(tool: str, found: Cost, over: int | None) -> bool:
    """Whether the user is asked first. over: tokens above which; None asks never."""
    return over is not None and (found.tokens > over or tool in ALWAYS)


def _search(given: Mapping[str, Any]) -> Cost:
    effort, length = int(given.get("effort", 600)), int(given.get("length", 8))
    return Cost(effort * length, f"a search through up to {effort:,} texts of {length} tokens")


def _minimal(given: Mapping[str, Any]) -> Cost:
    if given.get("others", "cut") == "cut":
        return Cost(_tokens([given.get("text") or ""]) * 8, "one text with ever fewer tokens")
    return Cost(20_000, "one text with every small set of its tokens, as far as the effort goes")


def _generate(given: Mapping[str, Any]) -> Cost:
    prompts, strengths, tokens = list(given["prompts"]), list(given["strengths"]), int(given.get("tokens", 20))
    runs = 1 + 2 * len(strengths)
    each = _tokens(prompts) + len(prompts) * tokens
    words = f"{runs} continuations of {tokens} tokens for each of {len(prompts)} prompts, each read twice"
    return Cost(2 * runs * each, words)


def _steer(given: Mapping[str, Any]) -> Cost:
    prompts = list(given["prompts"])
    return Cost(4 * _tokens(prompts), f"{len(prompts)} prompts, four times each")


def _ablate(given: Mapping[str, Any]) -> Cost:
    texts = list(given.get("texts") or ["x" * 128 * _A_TOKEN] * 4)
    controls = int(given.get("controls", 0))
    beside = f" for the feature and each of {controls} random directions" if controls else ""
    return Cost(2 * (1 + controls) * _tokens(texts), f"{len(texts)} texts, twice each{beside}")


def _tokens(texts: list[str]) -> int:
    return sum(1 + len(text) // _A_TOKEN for text in texts)


_COSTS: Mapping[str, Callable[[Mapping[str, Any]], Cost]] = {
    "search_inputs": _search,
    "minimal_context": _minimal,
    "generate_steered": _generate,
    "steer": _steer,
    "ablate": _ablate,
    "explain_prediction": lambda given: Cost(
        _tokens([given["text"]]) * 330, "each feature that is active on the text taken away by itself, up to 160 of them"
    ),
    "activate": lambda given: Cost(_tokens(list(given["texts"])), f"{len(given['texts'])} texts"),
    "find_features": lambda given: Cost(_tokens([given["text"]]), "one text"),
    "contrast": lambda given: Cost(_tokens([*given["a"], *given["b"]]), "the texts of both sides"),
}
