"""Texts before and after edits, token by token, and what the edits change in a feature.

Every edit speaks of the tokens of the text as it was, so edits can be combined in any order as long as they do not overlap. After
an edit each new token knows which old one it is: kept tokens are themselves, the tokens of a replaced span are matched from its
end (the last token is the one that has read the whole span), inserted ones are nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from dragoman.store import display
from dragoman.store.errors import UserError

from .edits import MOST_INSERTED, Edit
from .gauge import Gauge
from .prompt import Prompt


@dataclass(frozen=True)
class Edited:
    """A text before and after some edits."""

    before: Prompt
    """The text as it was."""
    after: Prompt
    """The text as it is now."""
    origin: tuple[int | None, ...]
    """Which old token each new one is; None for those that were not there."""
    edits: tuple[str, ...]
    """What was done, in a few words each."""

    def image(self, old: int) -> int | None:
        """Which new token an old one is; None if it is gone."""
        return next((new for new, origin in enumerate(self.origin) if origin == old), None)


def apply(gauge: Gauge, text: str | Prompt, edits: Sequence[Edit]) -> Edited:
    """The text with all edits made at once; they speak of the tokens as they were.

    Raises:
        UserError: a position is out of range, edits overlap, nothing is left, or too much is added.
    """
    prompt = gauge.prompt(text)
    pieces = sorted((piece for edit in edits for piece in edit.pieces(prompt, gauge)), key=lambda p: (p.start, p.stop))
    for one, two in pairwise(pieces):
        if two.start < one.stop:
            raise UserError(
                f"Two edits overlap at token {two.start}: change each token once, or make the edits one after another."
            )
    ids: list[int] = []
    origin: list[int | None] = []
    at = 0
    for piece in pieces:
        if len(piece.ids) > MOST_INSERTED + piece.stop - piece.start:
            raise UserError(f"An edit can add at most {MOST_INSERTED} tokens: use a shorter text.")
        ids += [*prompt.ids[at : piece.start], *piece.ids]
        origin += [*range(at, piece.start), *piece.origin]
        at = piece.stop
    ids += prompt.ids[at:]
    origin += range(at, len(prompt))
    if not ids:
        raise UserError("Nothing is left of the text after these edits: delete less.")
    return Edited(prompt, Prompt.from_ids(gauge.speaker, ids), tuple(origin), tuple(map(str, edits)))


@dataclass(frozen=True)
class Comparison:
    """A feature on a text before and after edits, token aligned with token."""

    feature: str
    """Address of the feature."""
    edits: tuple[str, ...]
    """What was done."""
    before: tuple[str, ...]
    """The tokens as they were."""
    after: tuple[str, ...]
    """The tokens as they are now."""
    before_values: tuple[float, ...]
    """The activation on each of them."""
    after_values: tuple[float, ...]
    """The same for the new ones."""
    origin: tuple[int | None, ...]
    """Which old token each new one is; None for those that were not there."""
    position: int
    """The old token that is looked at: the one given, or the strongest."""
    image: int | None
    """Which new token it is; None if it is gone."""
    threshold: float
    """The feature fires above this."""
    maximum: float
    """Its largest activation on train."""
    canonical: bool
    """Whether the new text, tokenized, gives just these tokens."""
    rows: tuple[tuple[int | None, int | None, float], ...]
    """Old token, new token, and the change of the activation between them, in the order of the new text; a token that is not on
    one side counts as 0 there."""

    @property
    def change(self) -> float | None:
        """By how much the activation changed at the position; None if the token is gone."""
        return None if self.image is None else self.after_values[self.image] - self.before_values[self.position]

    def __str__(self) -> str:
        old = display.strip_line(f"{self._title}\nbefore", self.before, self.before_values, self.threshold)
        return f"{old}\n{display.strip_line('after', self.after, self.after_values, self.threshold)}"

    def __rich__(self) -> object:
        scale = self.maximum or max((*self.before_values, *self.after_values))
        old = display.strip_rich(f"{self._title}\nbefore", self.before, self.before_values, scale, self.threshold)
        return old + "\n" + display.strip_rich("after", self.after, self.after_values, scale, self.threshold)

    def _repr_html_(self) -> str:
        scale = self.maximum or max((*self.before_values, *self.after_values))
        old = display.strip_html(f"{self._title}: before", self.before, self.before_values, scale, self.threshold)
        return old + display.strip_html("after", self.after, self.after_values, scale, self.threshold)

    @property
    def _title(self) -> str:
        now = "gone" if self.image is None else f"{self.after_values[self.image]:.3g} (token {self.image})"
        note = "" if self.canonical else "; the tokenizer would cut the new text otherwise"
        was = self.before_values[self.position]
        return f"{self.feature} at token {self.position}: {was:.3g} → {now}; {'; '.join(self.edits)}{note}"


def compare(gauge: Gauge, text: str | Prompt, edits: Sequence[Edit], position: int | None = None) -> Comparison:
    """A feature before and after edits, in one batched call.

    Args:
        gauge: the feature.
        text: the text.
        edits: made all at once.
        position: the token to look at; by default the one at which the feature is strongest.

    Raises:
        UserError: as `apply`; or the position is not in the text.
    """
    (found,) = compare_each(gauge, text, [edits], position)
    return found


def compare_each(
    gauge: Gauge, text: str | Prompt, variants: Sequence[Sequence[Edit]], position: int | None = None
) -> list[Comparison]:
    """The same for several variants of one text, each with edits of its own; all texts run in shared batches."""
    prompt = gauge.prompt(text)
    made = [apply(gauge, prompt, edits) for edits in variants]
    before, *after = gauge.values([prompt.ids, *(edited.after.ids for edited in made)], cut=len(prompt) > gauge.window)
    if position is None:
        position = int(before.argmax())
    if not 0 <= position < len(before):
        raise UserError(f"There is no token {position} in this text: it has {len(before)} tokens, numbered from 0.")
    return [_comparison(gauge, edited, before, values, position) for edited, values in zip(made, after, strict=True)]


def _comparison(
    gauge: Gauge, edited: Edited, before: Float[np.ndarray, " old"], after: Float[np.ndarray, " new"], position: int
) -> Comparison:
    kept = set(edited.origin)
    gone = [old for old in range(len(before)) if old not in kept]
    rows: list[tuple[int | None, int | None, float]] = []
    for new, old in enumerate(edited.origin):
        while gone and old is not None and gone[0] < old:
            rows.append((gone[0], None, -float(before[gone.pop(0)])))
        rows.append((old, new, float(after[new]) - (0.0 if old is None else float(before[old]))))
    rows += [(old, None, -float(before[old])) for old in gone]
    return Comparison(
        feature=gauge.key,
        edits=edited.edits,
        before=edited.before.strings,
        after=edited.after.strings,
        before_values=tuple(before.tolist()),
        after_values=tuple(after.tolist()),
        origin=edited.origin,
        position=position,
        image=edited.image(position),
        threshold=gauge.threshold,
        maximum=gauge.maximum,
        canonical=edited.after.canonical,
        rows=tuple(rows),
    )
