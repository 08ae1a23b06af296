"""Feature ids as ranges, short enough for configurations."""

from __future__ import annotations

from collections.abc import Iterable


def spec(features: Iterable[int]) -> str:
    """Feature ids as ranges, for configurations: 0:3,7 stands for 0, 1, 2 and 7."""
    parts: list[str] = []
    ordered = sorted(set(features))
    start = 0
    for at in range(1, len(ordered) + 1):
        if at == len(ordered) or ordered[at] != ordered[at - 1] + 1:
            first, last = ordered[start], ordered[at - 1]
            parts.append(str(first) if first == last else f"{first}:{last + 1}")
            start = at
    return ",".join(parts)


def features_of(text: str) -> list[int]:
    """The ids that `spec` wrote."""
    ids: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, end = part.partition(":")
        ids += range(int(first), int(end) if end else int(first) + 1)
    return ids
