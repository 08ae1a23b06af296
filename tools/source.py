"""Where activations come from: token ids in, sparse activations out.

The store and the scorers speak to a FeatureSource. A subject with a dictionary is one; a planted program is another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch

from .dictionaries import Dictionary, SparseCodes, encode_in_chunks
from .subject import Subject


class SparseActivations(NamedTuple):
    """The activations above zero on some windows, ordered by row, position and feature."""

    row: np.ndarray
    """int32 (n,): which window."""
    position: np.ndarray
    """int32 (n,): which token of the window, BOS not counted."""
    feature: np.ndarray
    """int32 (n,): index in the dictionary."""
    value: np.ndarray
    """float32 (n,): the activation."""


class FeatureSource(Protocol):
    """Something with features that fire on tokens."""

    @property
    def width(self) -> int:
        """Number of features."""
        ...

    def activations(self, windows: Sequence[Sequence[int]]) -> SparseActivations:
        """Activations above zero on windows of token ids (no BOS, EOS or PAD among them)."""
        ...


class SubjectSource:
    """A subject with a dictionary."""

    def __init__(self, subject: Subject, dictionary: Dictionary, prepend_bos: bool | None = None, batch_size: int = 16) -> None:
        """
        Args:
            subject: the model.
            dictionary: reads one of its hook points.
            prepend_bos: whether BOS stands before every window; by default as the dictionary says, else the tokenizer's habit.
                For windows of a store give the store's `subject.prepend_bos`.
            batch_size: windows a forward pass.
        """
        self.subject, self.dictionary, self.batch_size = subject, dictionary, batch_size
        habit = dictionary.facts.prepend_bos
        self.prepend_bos = subject.prepends_bos if habit is None else habit
        if prepend_bos is not None:
            self.prepend_bos = prepend_bos

    @property
    def width(self) -> int:
        """Number of features."""
        return self.dictionary.width

    @torch.inference_mode()
    def activations(self, windows: Sequence[Sequence[int]]) -> SparseActivations:
        """Activations above zero on windows of token ids."""
        parts = []
        for first in range(0, len(windows), self.batch_size):
            rows = windows[first : first + self.batch_size]
            batch = padded(rows, self.subject.bos_id if self.prepend_bos else None)
            hook = self.dictionary.facts.hook_in
            x = self.subject.capture(torch.from_numpy(batch.ids), [hook])[hook]
            codes = encode_in_chunks(self.dictionary, x.flatten(0, 1)[torch.from_numpy(batch.flat).to(x.device)])
            codes = trained_on(codes, batch.ids.reshape(-1)[batch.flat], self.dictionary)
            token = codes.token.cpu().numpy()
            parts.append(
                SparseActivations(
                    (batch.row[token] + first).astype(np.int32),
                    batch.position[token],
                    codes.feature.cpu().numpy().astype(np.int32),
                    codes.value.float().cpu().numpy(),
                )
            )
        if not parts:
            none = np.zeros(0, np.int32)
            return SparseActivations(none, none, none, np.zeros(0, np.float32))
        row, position, feature, value = (np.concatenate(column) for column in zip(*parts, strict=True))
        return SparseActivations(row, position, feature, value)


def trained_on(codes: SparseCodes, ids: np.ndarray, dictionary: Dictionary) -> SparseCodes:
    """The activations without those on tokens that the dictionary was not trained on; `ids` are the tokens."""
    out = excluded(ids, dictionary)
    if out is None:
        return codes
    keep = torch.from_numpy(~out).to(codes.token.device)[codes.token]
    return SparseCodes(codes.token[keep], codes.feature[keep], codes.value[keep])


def excluded(ids: np.ndarray, dictionary: Dictionary) -> np.ndarray | None:
    """Which of the tokens the dictionary was not trained on; None if none of them."""
    out = np.isin(ids, dictionary.facts.excluded_ids) if dictionary.facts.excluded_ids else None
    return out if out is not None and bool(out.any()) else None


class Batch(NamedTuple):
    """Windows side by side, padded on the right."""

    ids: np.ndarray
    """int64 (rows, longest), BOS first where it is wanted."""
    flat: np.ndarray
    """int64 (tokens,): where each real token (not BOS, not padding) stands in the flattened ids."""
    row: np.ndarray
    """int32 (tokens,): its window."""
    position: np.ndarray
    """int32 (tokens,): its position in the window, BOS not counted."""


def padded(rows: Sequence[Sequence[int] | np.ndarray], bos: int | None) -> Batch:
    """Put windows side by side. Padding repeats the window's last token, which is harmless: attention is causal."""
    lead = 0 if bos is None else 1
    lengths = np.array([len(row) for row in rows], np.int64)
    longest = int(lengths.max(initial=0)) + lead
    flat_ids = np.concatenate([np.asarray(row, np.int64) for row in rows]) if len(rows) else np.zeros(0, np.int64)
    row = np.repeat(np.arange(len(rows)), lengths)
    position = np.arange(len(flat_ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    last = np.array([r[-1] if len(r) else 0 for r in rows], np.int64)
    ids = np.repeat(last[:, None], longest, axis=1)
    if bos is not None:
        ids[:, 0] = bos
    flat = row * longest + position + lead
    ids.reshape(-1)[flat] = flat_ids
    return Batch(ids, flat, row.astype(np.int32), position.astype(np.int32))
