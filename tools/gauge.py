"""One feature of anything that has features: its activation on any token sequences.

A `Probe` reads it from a subject and a dictionary, a `SourceGauge` from any FeatureSource. Edits, minimal contexts and occlusion
need no more than this.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from dragoman.store.errors import UserError
from dragoman.store.view import TrainView

from .kinds import Kinds
from .prompt import Prompt, Speaker
from .source import FeatureSource


@dataclass(frozen=True)
class Focus:
    """The token at which a feature is looked at, and what can influence it there."""

    prompt: Prompt
    """The text."""
    start: int
    """First token of the window that holds the position: nothing before it is seen."""
    position: int
    """The token, counted in the whole text."""
    value: float
    """The feature's activation there."""

    @property
    def ids(self) -> tuple[int, ...]:
        """Ids of the window up to the position and with it; attention is causal, so nothing after it matters."""
        return self.prompt.ids[self.start : self.position + 1]


class Gauge(ABC):
    """Reads one feature. Counts what it runs: sequences in `forwards`, their tokens (BOS not among them) in `tokens`."""

    def __init__(
        self,
        speaker: Speaker,
        key: str,
        index: int,
        *,
        window: int,
        threshold: float = 0.0,
        maximum: float = 0.0,
        train: TrainView | None = None,
        kinds: Kinds | None = None,
    ) -> None:
        """
        Args:
            speaker: cuts texts into tokens.
            key: the feature's address.
            index: its row in its dictionary or source.
            window: tokens of a window, BOS not counted; longer texts are cut.
            threshold: the feature fires above this.
            maximum: its largest activation on train, 0 where it is not known.
            train: the rows it comes from, for what needs a corpus.
            kinds: finds spans of one kind in them.
        """
        self.speaker, self.key, self.index = speaker, key, index
        self.window, self.threshold, self.maximum = window, threshold, maximum
        self.train, self.kinds = train, kinds
        self.forwards = self.tokens = 0

    @abstractmethod
    def values(self, rows: Sequence[Sequence[int]], cut: bool = True) -> list[Float[np.ndarray, " tokens"]]:
        """The activation on every token of each row of ids (BOS not among them).

        Rows longer than a window are cut, as a harvest does; with `cut` false only those that cannot be read whole.
        """

    @abstractmethod
    def at(self, rows: Sequence[Sequence[int]], positions: Sequence[int] | None = None) -> Float[np.ndarray, " rows"]:
        """The activation at one position of each row, by default its last; rows are at most a window long."""

    def both(
        self, rows: Sequence[Sequence[int]]
    ) -> tuple[list[Float[np.ndarray, " tokens"]], list[Float[np.ndarray, " tokens"]]]:
        """Activations and pre-activations on every token of each row, at most a window long; where there are no
        pre-activations the activations stand for them.
        """
        values = self.values(rows, cut=False)
        return values, values

    @property
    def has_pre_activations(self) -> bool:
        """Whether there are pre-activations."""
        return False

    @property
    def longest(self) -> int:
        """Most tokens that can be read whole, BOS not counted."""
        return 1 << 30

    @property
    def words(self) -> list[str]:
        """The text of every token id that can be read."""
        return self.speaker.vocabulary

    def prompt(self, text: str | Prompt) -> Prompt:
        """The text, tokenized if it is not yet.

        Raises:
            UserError: it holds no tokens.
        """
        prompt = text if isinstance(text, Prompt) else Prompt.from_text(self.speaker, text)
        if not len(prompt):
            raise UserError("The text is empty: give one with at least one token.")
        return prompt

    def fires(self, value: float) -> bool:
        """Whether an activation is above the threshold."""
        return value > self.threshold

    def focus(self, text: str | Prompt, position: int | None = None) -> Focus:
        """Where to look: the position given, or the one at which the feature is strongest.

        Raises:
            UserError: the position is not in the text, or none is given and the feature does not fire.
        """
        prompt = self.prompt(text)
        (values,) = self.values([prompt.ids])
        if position is None:
            position = int(values.argmax())
            if not self.fires(values[position]):
                raise UserError(
                    f"{self.key} does not fire on this text (its strongest value is {values[position]:.3g}, it fires above "
                    f"{self.threshold:.3g}): give a text on which it does, or a position."
                )
        if not 0 <= position < len(prompt):
            raise UserError(f"There is no token {position} in this text: it has {len(prompt)} tokens, numbered from 0.")
        return Focus(prompt, position - position % self.window, position, float(values[position]))

    @cached_property
    def neutral(self) -> int:
        """A token that means nothing to the feature: the commonest train token on which it is never active.

        Raises:
            UserError: there is no store to look in, or no such token.
        """
        if self.train is None:
            raise UserError("Say which token stands for a neutral one: there is no corpus to find it in.")
        counts = np.bincount(self.train.tokens.ids)
        active, _ = self.train.activations(self.train.id(self.key))
        counts[self.train.tokens.ids[active]] = 0
        if not counts.any():
            raise UserError(f"{self.key} is active on every token of the corpus: say which one stands for a neutral token.")
        return int(counts.argmax())

    def token(self, text: str) -> int:
        """The id of a text that is a single token inside a text.

        Raises:
            UserError: it is none, or several.
        """
        ids = self.speaker.tokenize_inside(text)
        if len(ids) != 1:
            raise UserError(f"{text!r} is {len(ids)} tokens here; give the text of a single one (mind a leading space).")
        return ids[0]


class SourceGauge(Gauge):
    """One feature of a FeatureSource."""

    def __init__(
        self,
        speaker: Speaker,
        source: FeatureSource,
        index: int,
        key: str,
        *,
        window: int,
        threshold: float = 0.0,
        maximum: float = 0.0,
        train: TrainView | None = None,
        kinds: Kinds | None = None,
    ) -> None:
        """`source` has the feature at `index`; the others as of `Gauge`."""
        super().__init__(speaker, key, index, window=window, threshold=threshold, maximum=maximum, train=train, kinds=kinds)
        self.source = source

    def values(self, rows: Sequence[Sequence[int]], cut: bool = True) -> list[Float[np.ndarray, " tokens"]]:
        """The activation on every token of each row; without `cut`, rows are read whole."""
        length = self.window if cut else max(map(len, rows), default=1) or 1
        pieces = [(n, a) for n, row in enumerate(rows) for a in range(0, len(row), length)]
        found = [np.zeros(len(row), np.float32) for row in rows]
        windows = [rows[n][a : a + length] for n, a in pieces]
        self.forwards += len(windows)
        self.tokens += sum(map(len, windows))
        got = self.source.activations(windows)
        mine = got.feature == self.index
        for piece, position, value in zip(got.row[mine], got.position[mine], got.value[mine], strict=True):
            row, first = pieces[int(piece)]
            found[row][first + int(position)] = value
        return found

    def at(self, rows: Sequence[Sequence[int]], positions: Sequence[int] | None = None) -> Float[np.ndarray, " rows"]:
        """The activation at one position of each row, by default its last."""
        places = [len(row) - 1 for row in rows] if positions is None else positions
        values = self.values(rows, cut=False)
        return np.array([row[place] for row, place in zip(values, places, strict=True)], np.float32)
