"""How a tool's result looks in a notebook: coloured tokens where it holds texts, and what an agent reads. All is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from typing import Any

from dragoman.store.display import strip_html, visible

MOST = 20
"""Strips that are drawn."""


def result_html(text: str, data: Mapping[str, Any]) -> str:
    """A result as HTML."""
    threshold, maximum = float(data.get("threshold") or 0.0), float(data.get("maximum") or 0.0)
    strips = "".join(
        strip_html(visible(title), tokens, values, maximum or max(values, default=0.0), threshold)
        for _, (title, tokens, values) in zip(range(MOST), _texts(data), strict=False)
    )
    body = html.escape("\n".join(visible(line) for line in text.split("\n")))
    head, _, rest = body.partition("\n")
    if not strips:
        return f'<pre style="white-space:pre-wrap">{body}</pre>'
    more = f'<details><summary><small>as agents read it</small></summary><pre style="white-space:pre-wrap">{rest}</pre></details>'
    return f"<div>{head}</div>{strips}{more}"


def _texts(data: Mapping[str, Any]) -> Iterator[tuple[str, list[str], list[float]]]:
    """Texts with a value for every token, with a title each."""
    if "tokens" in data and "values" in data:
        yield "as it was", data["tokens"], data["values"]
    for name in ("texts", "variants", "examples"):
        for one in data.get(name, ()):
            if isinstance(one, Mapping) and "tokens" in one and "values" in one:
                title = "; ".join(one["edits"]) if "edits" in one else f"context {one['context']}" if "context" in one else ""
                yield f"{title} max {max(one['values'], default=0.0):.3g}".strip(), one["tokens"], one["values"]
