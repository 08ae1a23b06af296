"""Activations for training: text through the model in blocks, each shuffled, without end and in bounded memory.

1. Documents are cut into windows as in a harvest. A block is as many windows, in order, as reach a fixed number of tokens.
2. The block's windows run through the model; what stands at the hook points, one row a token, BOS left out, is centred and scaled
   and kept in half precision.
3. The rows are served in an order that follows from the seed and the block's number; what does not fill a batch is dropped.
4. After the last document it begins again. A text that fits into one block runs through the model only once.

So the stream's state is where the block begins in the text, its number, and the batches served: the contents follow from these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dragoman.store.errors import UserError
from dragoman.tools.documents import Document
from dragoman.tools.source import padded
from dragoman.tools.subject import Subject
from dragoman.tools.windows import tokenized

_SCALE_TOKENS = 32_768
"""Tokens from which centre and scale are taken."""


class Texts(Protocol):
    """Documents that can be read again and again in the same order, such as a Corpus."""

    def __iter__(self) -> Iterator[Document]:
        """All documents."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """How text becomes activations."""

    hooks: tuple[str, ...]
    """Hook points to read."""
    window: int = 128
    """Tokens of a window, BOS not counted."""
    prepend_bos: bool = True
    """Whether BOS stands before every window."""
    block_tokens: int = 1 << 18
    """Tokens that are shuffled together."""
    windows: int = 64
    """Windows in a forward pass."""


class Place(NamedTuple):
    """Where a block begins, and what has been served of it."""

    block: int = 0
    """Number of the block since training began."""
    document: int = 0
    """Document of its first window."""
    window: int = 0
    """Number of the first window in that document."""
    served: int = 0
    """Batches served."""


class Scale(NamedTuple):
    """How the activations at a hook point are centred and scaled: (x - centre) * factor."""

    centre: Float[Tensor, " width"]
    """Their mean."""
    factor: float
    """Makes the mean squared norm equal to the width."""


class _Window(NamedTuple):
    ids: np.ndarray
    document: int
    number: int


class ActivationStream:
    """Batches of activations from `place` on; `place` is always where the next batch comes from."""

    def __init__(
        self,
        subject: Subject,
        texts: Texts,
        reading: Reading,
        *,
        batch: int,
        seed: int,
        place: Place | None = None,
        scales: dict[str, Scale] | None = None,
    ) -> None:
        self.subject, self.texts, self.reading = subject, texts, reading
        self.batch, self.seed, self.place = batch, seed, place or Place()
        self._special = np.array(sorted(subject.special_ids()), np.int32)
        self._bos = subject.bos_id if reading.prepend_bos else None
        self.scales = scales or self._measure()
        self._ahead: Iterator[_Window] = iter(())
        self._rows: dict[str, Tensor] = {}
        self._whole = False
        self._next = self.place

    def __iter__(self) -> Iterator[dict[str, Float[Tensor, "batch width"]]]:
        """Batches without end, float32, by hook point."""
        self._ahead = self._windows(self.place.document, self.place.window)
        while True:
            self._fill()
            rows = len(next(iter(self._rows.values())))
            order = torch.from_numpy(np.random.default_rng([self.seed, self.place.block]).permutation(rows))
            for at in range(self.place.served * self.batch, rows - self.batch + 1, self.batch):
                chosen = order[at : at + self.batch].to(self.subject.device)
                self.place = self.place._replace(served=self.place.served + 1)
                yield {hook: x[chosen].float() for hook, x in self._rows.items()}
            self.place = self._next

    def _fill(self) -> None:
        """Have the rows of the block at `place`."""
        place = self.place
        if not self._whole or not self._rows:
            windows, after = self._take()
            self._whole = place.document == place.window == 0 and after is None
            ahead = after if after is not None else self._first()
            self._ahead = chain([ahead], self._ahead)
            self._rows = self._activations([w.ids for w in windows])
            self._next = Place(place.block + 1, ahead.document, ahead.number)
        else:
            self._next = Place(place.block + 1)
        rows = len(next(iter(self._rows.values())))
        if self._whole and rows < self.batch:
            raise UserError(f"The text has {rows} tokens, fewer than one batch of {self.batch}: give more text or lower --batch.")

    def _take(self) -> tuple[list[_Window], _Window | None]:
        """The windows of a block, and the first after it; None after the last document."""
        taken: list[_Window] = []
        tokens = 0
        for window in self._ahead:
            if tokens >= self.reading.block_tokens:
                return taken, window
            taken.append(window)
            tokens += len(window.ids)
        return taken, None

    def _first(self) -> _Window:
        self._ahead = self._windows(0, 0)
        return next(self._ahead)

    def _windows(self, document: int, window: int) -> Iterator[_Window]:
        length = self.reading.window
        for item in tokenized(self.subject, self.texts, self._special, document):  # type: ignore[arg-type]
            first = window if item.number == document else 0
            for number in range(first, -(-len(item.tokens.ids) // length)):
                yield _Window(item.tokens.ids[number * length : (number + 1) * length], item.number, number)

    # The model

    def _activations(self, windows: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """The rows of all windows, centred and scaled, half precision."""
        total, at = sum(map(len, windows)), 0
        device = self.subject.device
        rows = {h: torch.empty(total, self.subject.width(h), dtype=torch.half, device=device) for h in self.reading.hooks}
        for captured in self._forward(windows):
            count = len(next(iter(captured.values())))
            for hook, x in captured.items():
                scale = self.scales[hook]
                rows[hook][at : at + count] = ((x - scale.centre) * scale.factor).clamp_(-6e4, 6e4)
            at += count
        return rows

    @torch.inference_mode()
    def _forward(self, windows: Sequence[np.ndarray]) -> Iterator[dict[str, Tensor]]:
        """Rows of the real tokens, float32, batch by batch; windows of similar length together."""
        order = np.argsort([-len(w) for w in windows], kind="stable")
        for at in range(0, len(order), self.reading.windows):
            batch = padded([windows[i] for i in order[at : at + self.reading.windows]], self._bos)
            captured = self.subject.capture(torch.from_numpy(batch.ids), self.reading.hooks)
            flat = torch.from_numpy(batch.flat).to(self.subject.device)
            yield {hook: x.flatten(0, 1)[flat].float() for hook, x in captured.items()}

    def _measure(self) -> dict[str, Scale]:
        """Centre and scale of each hook point from the first tokens of the text."""
        windows, tokens = [], 0
        for window in self._windows(0, 0):
            windows.append(window.ids)
            tokens += len(window.ids)
            if tokens >= _SCALE_TOKENS:
                break
        if tokens < 2:
            raise UserError("The text holds no tokens to train on: give more text.")
        sums: dict[str, tuple[Tensor, Tensor]] = {}
        for captured in self._forward(windows):
            for hook, x in captured.items():
                x = x.double()
                total, square = sums.get(hook, (torch.zeros_like(x[0]), torch.zeros_like(x[0])))
                sums[hook] = (total + x.sum(0), square + x.square().sum(0))
        scales = {}
        for hook, (total, square) in sums.items():
            variance = float((square / tokens - (total / tokens).square()).sum())
            if not variance > 0:
                raise UserError(f"The activations at {hook} do not vary or are not finite: there is nothing to learn.")
            scales[hook] = Scale((total / tokens).float(), (len(total) / variance) ** 0.5)
        return scales
