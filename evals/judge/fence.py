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

PART = " | "
"""Stands between the parts of a quotation."""

_OPEN, _CLOSE = "\x02", "\x03"


def excerpt(marked: Marked) -> str:
    """The marked tokens between << and >>, with a few tokens around them.

    Neighbouring marked tokens share one pair of marks, and excerpts that meet are one. One that occurs twice in the text is
    widened until there is one place only. All stands on one line, line breaks escaped. A text's own << and >> become look-alikes.
    """
    strings, runs = marked.passage.strings, _runs(marked.highlights)
    return _shown(strings, runs, [_window(strings, first, end) for first, end in runs], GAP)


def quotation(marked: Marked) -> str:
    """The marked parts alone, for a reader who has the whole text before them: `robin | the <<old>>`.

    A part is widened to whole words, and further until it occurs once in the text; what was added stands outside of << and >>,
    which are left out where nothing was. Parts that meet are one. All else is as in `excerpt`.
    """
    strings, runs = marked.passage.strings, _runs(marked.highlights)
    windows = [_place(strings, first, end) for first, end in runs]
    return _shown(strings, runs, windows, PART, plain=True)


def _shown(
    strings: Sequence[str], runs: Sequence[tuple[int, int]], windows: Sequence[tuple[int, int]], gap: str, *, plain: bool = False
) -> str:
    """Windows around runs, joined where they meet, on one line; with `plain`, one that is a run itself has no marks."""
    joined: list[tuple[int, int]] = []
    for start, stop in windows:
        while joined and start <= joined[-1][1]:
            before = joined.pop()
            start, stop = min(start, before[0]), max(stop, before[1])
        joined.append((start, stop))
    bare = {run for run in joined if plain and run in runs and "".join(strings[slice(*run)]).strip()}
    opens = {first for first, end in runs if (first, end) not in bare}
    ends = {end - 1 for first, end in runs if (first, end) not in bare}
    pieces = ["".join(_marked(strings[i], i in opens, i in ends) for i in range(*window)).strip(" ") for window in joined]
    text = fenced(gap.join(pieces)).replace("<<", "‹‹").replace(">>", "››")
    return fenced(text.replace(_OPEN, "<<").replace(_CLOSE, ">>"))  # again, for a tag that a mark completes


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
        if _once(strings, text, start, stop):
            return start, stop
        width += 1


def _place(strings: Sequence[str], first: int, end: int) -> tuple[int, int]:
    """The words that a run is in, and as many tokens around them, by turns before and after, as make them occur once."""
    text, start, stop = "".join(strings), first, end
    while start > 0 and first - start < WORD and _within(strings[start - 1], strings[start]):
        start -= 1
    while stop < len(strings) and stop - end < WORD and _within(strings[stop - 1], strings[stop]):
        stop += 1
    before = True
    while not _once(strings, text, start, stop):
        start, stop = (max(0, start - 1), stop) if before else (start, min(len(strings), stop + 1))
        before = not before
    return start, stop


def _within(left: str, right: str) -> bool:
    """Whether two neighbouring tokens are pieces of one word."""
    return left[-1:].isalpha() and right[:1].isalpha()


def _once(strings: Sequence[str], text: str, start: int, stop: int) -> bool:
    """Whether these tokens stand in the text at one place only, or are all of it."""
    shown = "".join(strings[start:stop])
    return text.find(shown, text.find(shown) + 1) < 0 or stop - start == len(strings)


def _marked(text: str, opens: bool, ends: bool) -> str:
    """The token's text with marks inside of its outer spaces; line breaks and what cannot be printed are escaped."""
    text = "".join(c if c == "\\" else line(c) for c in text)
    if opens:
        core = text.lstrip(" ") or text
        text = text[: len(text) - len(core)] + _OPEN + core
    return text + _CLOSE if ends else text
