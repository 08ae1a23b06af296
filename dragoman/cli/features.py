"""Which features a command is about: `all`, `0:200`, `3,5,9`, `sae/7`, `sae/0:200`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dragoman.store.errors import UserError

if TYPE_CHECKING:
    from dragoman.store.features import Store

HELP = "Which features: all, 0:200 (200 left out), 3,5,9, or with a dictionary's name before a slash: sae/0:200."


def select(store: Store, text: str) -> list[int] | None:
    """Global ids of the features that `text` names, ascending; None for all.

    Raises UserError for what cannot be read and for an index out of range.
    """
    if text.strip() == "all":
        return None
    chosen: set[int] = set()
    dictionary = ""
    for part in text.split(","):
        name, slash, index = part.strip().rpartition("/")
        dictionary = f"{name}/" if slash else dictionary
        first, colon, end = index.partition(":")
        if not first.isdigit() or (colon and not end.isdigit()):
            raise UserError(f"{part.strip()!r} names no features: write all, 0:200, 3,5,9, or DICT/INDEX.")
        low = store.id(f"{dictionary}{first}")
        high = store.id(f"{dictionary}{int(end) - 1}") if colon else low
        if high < low:
            raise UserError(f"{part.strip()!r} is an empty range: the first index must be below the second.")
        chosen.update(range(low, high + 1))
    return sorted(chosen)
