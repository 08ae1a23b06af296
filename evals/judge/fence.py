"""Marked tokens with a little text around them, on one line that cannot forge marks (see store/fence.py)."""

from __future__ import annotations

from collections.abc import Sequence

from dragoman.store.fence import fenced, line

from .reader import Marked

BEFORE = 3
"""Tokens shown before a run of marked ones."""
AFTER = 2
"""Tokens shown after it."""
WORD = 4
"""So many tokens more, at most, where an excerpt would begin inside of a word."""
GAP = " … "
"""Stands for what is left out between two excerpts."""

_OPEN, _CLOSE = "\x02", "\x03"


def excerpt(marked: Marked) -> str:
    """The marked tokens between << and >>, with a few tokens around them.

    Neighbouring marked tokens share one pair of marks, and excerpts that meet are one. One that occurs twice in the text is
    widened until there is one place only. All stands on one line, line breaks escaped. A text's own << and >> become look-alikes.
    """
    strings, runs = marked.passage.strings, _runs(marked.highlights)
    windows: list[tuple[int, int]] = []
    for first, end in runs:
        start, stop = _window(strings, first, end)
        while windows and start <= windows[-1][1]:
            before = windows.pop()
            start, stop = min(start, before[0]), max(stop, before[1])
        windows.append((start, stop))
    opens, ends = {first for first, _ in runs}, {end - 1 for _, end in runs}
    pieces = ["".join(_marked(strings[i], i in opens, i in ends) for i in range(*window)).strip(" ") for window in windows]
    plain = fenced(GAP.join(pieces)).replace("<<", "‹‹").replace(">>", "››")
    return fenced(plain.replace(_OPEN, "<<").replace(_CLOSE, ">>"))  # again, for a tag that a mark completes


def _runs(highlights: Sequence[int]) -> list[tuple[int, int]]:
    """First position of each run of neighbouring positions, and the one after its last."""
    runs: list[tuple[int, int]] = []
    for at in sorted(set(highlights)):
        if runs and runs[-1][1] == at:
            runs[-1] = (runs[-1][0], at + 1)
        else:
            runs.append((at, at + 1))
    return runs


def _window(strings: Sequence[str], first: int, end: int) -> tuple[int, int]:
    """Tokens around a run, so many that their text occurs once only."""
    text, width = "".join(strings), 1
    while True:
        start, stop = max(0, first - BEFORE * width), min(len(strings), end + AFTER * width)
        while start > 0 and first - start < BEFORE * width + WORD and not strings[start][:1].isspace():
            start -= 1
        shown = "".join(strings[start:stop])
        if text.find(shown, text.find(shown) + 1) < 0 or stop - start == len(strings):
            return start, stop
        width += 1


def _marked(text: str, opens: bool, ends: bool) -> str:
    """The token's text with marks inside of its outer spaces; line breaks and what cannot be printed are escaped."""
    text = "".join(c if c == "\\" else line(c) for c in text)
    if opens:
        core = text.lstrip(" ") or text
        text = text[: len(text) - len(core)] + _OPEN + core
    return text + _CLOSE if ends else text
