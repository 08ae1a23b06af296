"""Completion: commands, features with the names of their labels, steps of the thread."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from dragoman.agents.investigation.commands import COMMANDS
from dragoman.store.display import visible

if TYPE_CHECKING:
    from dragoman.store.chats import ChatStep
    from dragoman.store.features import Store

MOST = 40
"""Features offered."""
SHOWN = 50
"""Characters of a label's name."""
STRATA = ("top", "quantile", "random active", "near miss", "random silent")
_ADDRESS = re.compile(r"(?:([\w.\-:]+)/)?(\d*)")


class Words(Completer):
    """Completes the word under the cursor by what may stand there."""

    def __init__(
        self, store: Store, own: Sequence[tuple[str, str]], steps: Callable[[], Sequence[ChatStep]], direct: bool
    ) -> None:
        """own: words of the session with what they do; steps: those of the thread; direct: whether commands are read."""
        self._store, self._own, self._steps, self._direct = store, own, steps, direct

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """What the line may go on with."""
        words = document.text_before_cursor.split(" ")
        first, last = words[0].lower(), words[-1]
        if len(words) == 1:
            yield from self._first(last)
        elif first == "open" and len(words) == 2:
            for step in self._steps():
                if step.name.startswith(last.upper()):
                    yield _completion(step.name, last, step.tool)
        elif self._direct and first == "help" and len(words) == 2:
            yield from (_completion(one.name, last, one.said) for one in COMMANDS if one.name.startswith(last.lower()))
        elif self._direct and first == "examples" and len(words) == 3:
            yield from (_completion(stratum, last) for stratum in STRATA if stratum.startswith(last.lower()))
        elif self._wants_feature(first, len(words)):
            yield from self._features(last)

    def _first(self, begun: str) -> Iterator[Completion]:
        if self._direct:
            yield from (_completion(one.name, begun, one.said) for one in COMMANDS if one.name.startswith(begun.lower()))
        yield from (_completion(name, begun, said) for name, said in self._own if name.startswith(begun.lower()))

    def _wants_feature(self, first: str, place: int) -> bool:
        """Whether the word at this place of a command is a feature."""
        command = next((one for one in COMMANDS if one.name == first), None)
        if not self._direct or command is None:
            return False
        return place - 2 < command.form.count("FEATURE") and command.form.startswith("FEATURE")

    def _features(self, begun: str) -> Iterator[Completion]:
        """Features whose address begins so, with their labels; the number alone where there is one dictionary."""
        match = _ADDRESS.fullmatch(begun)
        dictionaries = self._store.dictionaries
        if match is None or (match[1] and match[1] not in [info.name for info in dictionaries]):
            yield from (_completion(f"{info.name}/", begun) for info in dictionaries if info.name.startswith(begun))
            return
        named = match[1] is not None or len(dictionaries) > 1
        for info in dictionaries:
            if match[1] not in (None, info.name):
                continue
            for index in _numbers(match[2], info.width, MOST):
                number = info.offset + index
                names = self._store.ledger.names(number - 1, 1)
                said = names[0][1] if names and names[0][0] == number else ""
                yield _completion(f"{info.name}/{index}" if named else str(index), begun, said)


def _numbers(begun: str, width: int, most: int) -> list[int]:
    """The first numbers below `width` that begin so, ascending by length."""
    if begun.startswith("0"):
        return [0] if begun == "0" and width else []
    found: list[int] = []
    low, high = (int(begun), int(begun) + 1) if begun else (0, width)
    while low < width and len(found) < most:
        found += range(low, min(high, width, low + most - len(found)))
        low, high = (10 * low, 10 * high) if begun else (width, width)
    return found


def _completion(text: str, begun: str, said: str = "") -> Completion:
    shown = visible(said[:SHOWN]) + ("…" if len(said) > SHOWN else "")
    return Completion(text, start_position=-len(begun), display=visible(text), display_meta=shown)
