"""Completions while a client's user writes: names of dictionaries, features, runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from .library import Library
from .prompting import INVESTIGATIONS

MOST = 50
"""Values offered."""


def completions(
    library: Library, prompt: str | None, template: str | None, argument: str, begun: str, dictionary: str
) -> list[str]:
    """What an argument may go on with.

    Args:
        library: the store.
        prompt: name of the prompt that asks, if one does.
        template: address of the resource that asks, if one does.
        argument: what is written.
        begun: what of it is there.
        dictionary: the dictionary of the same address, if it is there already.
    """
    if prompt is not None:
        blanks = [blank for one in INVESTIGATIONS if one.name == prompt for blank in one.blanks]
        fits = any(blank.name == argument and blank.kind == "feature" for blank in blanks)
        return list(islice(_features(library, begun), MOST)) if fits else []
    if template is None:
        return []
    if template.startswith("dragoman://feature/"):
        if argument == "dictionary":
            return [info.name for info in library.outline.dictionaries if info.name.startswith(begun)]
        width = max((info.width for info in library.outline.dictionaries if dictionary in ("", info.name)), default=0)
        return list(islice(_numbers(begun, width), MOST))
    if template.startswith("dragoman://run/"):
        return [run.id for run in library.runs() if run.id.startswith(begun)][:MOST]
    return []


def _features(library: Library, begun: str) -> Iterator[str]:
    name, slash, index = begun.partition("/")
    for info in library.outline.dictionaries:
        if info.name == name if slash else info.name.startswith(name):
            yield from (f"{info.name}/{number}" for number in _numbers(index, info.width))


def _numbers(begun: str, width: int) -> Iterator[str]:
    """The numbers below `width` that begin so, ascending by length."""
    if not begun:
        yield from map(str, range(width))
    elif begun == "0" and width:
        yield begun
    elif re.fullmatch(r"[1-9][0-9]{0,11}", begun):
        for digits in range(len(str(width))):
            low = int(begun) * 10**digits
            yield from map(str, range(low, min(width, low + 10**digits)))
