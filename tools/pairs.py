"""Minimal pairs: many small edits around a firing token, each with what it changes in the text and in the activation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dragoman.store import display
from dragoman.store.errors import UserError

from .edit import Edited, apply
from .edits import Case, Delete, Edit, Insert, OfItsKind, Repeat, Shift, Space, Substitute, Swap, Truncate
from .gauge import Focus, Gauge
from .kinds import LONGEST
from .prompt import Prompt

LIMIT = 300
"""Edits that are tried at most."""
_SHIFTS = (1, 4, 16)
_AROUND = 24
"""Characters shown on each side of a change."""


@dataclass(frozen=True)
class Pair:
    """One edit and its effect at the position."""

    edit: str
    """What was done."""
    old: str
    """The part of the text that changed, with a little around it."""
    new: str
    """The same part afterwards."""
    after: float
    """The activation afterwards."""
    change: float
    """After minus before."""
    fires: bool
    """Whether the feature still fires."""
    canonical: bool
    """Whether the new text, tokenized, gives just these tokens."""


@dataclass(frozen=True)
class Pairs:
    """All pairs around one token."""

    feature: str
    """Address of the feature."""
    strings: tuple[str, ...]
    """The tokens of the text."""
    position: int
    """The token that is looked at; every edit keeps it in some form."""
    before: float
    """The activation there in the text as it is."""
    threshold: float
    """The feature fires above this."""
    pairs: tuple[Pair, ...]
    """The largest changes first."""
    tried: int
    """Edits tried; more than there are pairs where the list was cut."""

    def __str__(self) -> str:
        rows: list[dict[str, object]] = [
            {"after": f"{p.after:.3g}", "change": f"{p.change:+.3g}", "edit": p.edit, "text": p.new} for p in self.pairs
        ]
        return f"{self._title}\n{display.table_text(['after', 'change', 'edit', 'text'], rows, self._note)}"

    def _repr_html_(self) -> str:
        rows: list[dict[str, object]] = [
            {"after": p.after, "change": p.change, "edit": p.edit, "before": p.old, "text": p.new} for p in self.pairs
        ]
        return display.table_html(["after", "change", "edit", "before", "text"], rows, f"{self._title}; {self._note}")

    @property
    def _title(self) -> str:
        token = display.visible_token(self.strings[self.position])
        return f"{self.feature} at token {self.position} ({token}): {self.before:.3g}, fires above {self.threshold:.3g}"

    @property
    def _note(self) -> str:
        silenced = sum(not pair.fires for pair in self.pairs)
        return f"{len(self.pairs)} of {self.tried} edits, {silenced} of these silence it"


def minimal_pairs(
    probe: Gauge,
    text: str | Prompt,
    position: int | None = None,
    reach: int = 8,
    substitutes: int = 2,
    limit: int = 60,
) -> Pairs:
    """Every small edit of the tokens up to the position, and the activation at the position after each; one batched call.

    For each of the last `reach` tokens: deleted, replaced by a neutral one, in other cases, with other white space, repeated,
    swapped with the next, something neutral before it. Each word there: replaced by others of its kind. Further, the prefix cut
    off at each token, and the whole shifted. The token at the position is never deleted; where it is replaced, the last token of
    what stands there then is read.

    Args:
        probe: the feature.
        text: the text; of a long one, the window that holds the position.
        position: the token to look at; by default the one at which the feature is strongest.
        reach: tokens before the position that are edited.
        substitutes: others of its kind tried for each word.
        limit: pairs returned.

    Raises:
        UserError: the position is not in the text, or the feature does not fire and no position is given.
    """
    if reach < 0 or substitutes < 0 or not 1 <= limit <= LIMIT:
        raise UserError(f"Reach and substitutes cannot be below 0, and 1 to {LIMIT} pairs can be listed.")
    focus = probe.focus(text, position)
    prompt = Prompt.from_ids(probe.speaker, focus.ids)
    at, seen, tried = len(prompt) - 1, {prompt.ids}, []
    longest = probe.longest
    for edit in small_edits(probe, prompt, reach, substitutes):
        edited = apply(probe, prompt, [edit])
        image = edited.image(at)
        if image is None or edited.after.ids in seen or image >= longest:
            continue
        seen.add(edited.after.ids)
        tried.append((edited, image))
        if len(tried) == LIMIT:
            break
    values = probe.at([edited.after.ids[: image + 1] for edited, image in tried])
    order = sorted(range(len(tried)), key=lambda n: -abs(values[n] - focus.value))
    return Pairs(
        feature=probe.key,
        strings=focus.prompt.strings,
        position=focus.position,
        before=focus.value,
        threshold=probe.threshold,
        pairs=tuple(_pair(probe, tried[n][0], float(values[n]), focus) for n in order[:limit]),
        tried=len(tried),
    )


def small_edits(probe: Gauge, prompt: Prompt, reach: int, substitutes: int) -> Iterator[Edit]:
    """The edits of `minimal_pairs`, not yet made; the position is the prompt's last token, which no edit deletes."""
    last = len(prompt) - 1
    neutral = _neutral(probe)
    for at in range(last, max(-1, last - reach - 1), -1):
        if at < last:
            yield Delete(at)
            yield Swap(at, at + 1)
            yield Repeat(at)
        if neutral is not None:
            yield Substitute(at, neutral)
            yield Insert(at, neutral)
        for case in ("lower", "upper", "title"):
            yield Case(at, case)  # type: ignore[arg-type]
        for space in ("remove", "add", "double", "newline"):
            yield Space(at, space)  # type: ignore[arg-type]
    if probe.kinds is not None:
        kinds = probe.kinds
        for start, stop in kinds.words(prompt.ids):
            if stop > last - reach and stop - start <= LONGEST:
                found = kinds.like(prompt.ids[start:stop], substitutes)
                yield from (OfItsKind(start, stop, choice) for choice in range(len(found)))
    for at in range(last, 0, -1):
        yield Truncate(at)
    if neutral is not None:
        yield from (Shift(by) for by in _SHIFTS)


def _neutral(probe: Gauge) -> str | None:
    """A token that means nothing to the feature; None where there is no corpus, or none on which it is never active."""
    try:
        return probe.speaker.vocabulary[probe.neutral]
    except UserError:
        return None


def _pair(probe: Gauge, edited: Edited, value: float, focus: Focus) -> Pair:
    old, new = edited.before.text, edited.after.text
    first = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    tail = next(
        (n for n, (a, b) in enumerate(zip(reversed(old[first:]), reversed(new[first:]), strict=False)) if a != b),
        min(len(old), len(new)) - first,
    )
    return Pair(
        edit=edited.edits[0],
        old=_around(old, first, len(old) - tail),
        new=_around(new, first, len(new) - tail),
        after=value,
        change=value - focus.value,
        fires=probe.fires(value),
        canonical=edited.after.canonical,
    )


def _around(text: str, start: int, end: int) -> str:
    low, high = max(0, start - _AROUND), min(len(text), end + _AROUND)
    return ("…" if low else "") + text[low:high] + ("…" if high < len(text) else "")
