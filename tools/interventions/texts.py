"""Texts and prompts as batches of token ids that fit the model and memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from dragoman.store.errors import UserError
from dragoman.tools.source import padded
from dragoman.tools.subject import Subject

from .positions import Layout, left_padded, right_padded

Text = str | Sequence[int]
"""A text, or its token ids without BOS."""
_BYTES = 128 << 20
"""Memory for one batch's logits."""
_ROWS = 32


class TextBatch(NamedTuple):
    """Some texts side by side."""

    ids: Int[Tensor, "batch columns"]
    """Token ids."""
    layout: Layout
    """Where each text stands."""
    first: int
    """Number of the batch's first text."""


def token_ids(subject: Subject, texts: Sequence[Text], bos: bool, room: int = 0) -> list[np.ndarray]:
    """Token ids of each text, without BOS.

    Args:
        subject: its tokenizer is used.
        texts: texts or token ids.
        bos: whether BOS will stand before each.
        room: tokens that will be added to each.

    Raises:
        UserError: there is no text, one has no tokens, ids that the model does not have, or more tokens than the model takes.
    """
    if not texts:
        raise UserError("Give at least one text.")
    found = []
    for number, text in enumerate(texts):
        ids = subject.tokenize(text).ids if isinstance(text, str) else np.array(list(text), np.int32)
        most = subject.max_positions - int(bos) - room
        if not len(ids):
            raise UserError(f"Text {number} has no tokens: write something in it.")
        if len(ids) > most:
            after = f" when {room} more are to come" if room else ""
            raise UserError(f"Text {number} has {len(ids)} tokens; {subject.name} takes at most {most}{after}: shorten it.")
        if ids.min() < 0 or ids.max() >= int(subject.text_config.vocab_size):
            raise UserError(f"Text {number} has a token id that {subject.name} does not know.")
        found.append(ids)
    return found


def bos_of(subject: Subject, bos: bool | None) -> bool:
    """Whether BOS stands before each text: as asked for, else the tokenizer's habit."""
    wanted = subject.prepends_bos if bos is None else bos
    if wanted and subject.bos_id is None:
        raise UserError(f"The tokenizer of {subject.name} has no BOS token to put before the texts.")
    return wanted


def batches(subject: Subject, ids: Sequence[np.ndarray], bos: bool) -> Iterator[TextBatch]:
    """The texts in order, padded on the right, so many at a time that their logits fit in memory."""
    vocabulary = int(subject.text_config.vocab_size)
    at = 0
    while at < len(ids):
        end, longest = at, 0
        while end < len(ids) and end - at < _ROWS:
            longest = max(longest, len(ids[end]) + bos)
            if end > at and 4 * vocabulary * longest * (end - at + 1) > _BYTES:
                break
            end += 1
        rows = list(ids[at:end])
        batch = padded(rows, subject.bos_id if bos else None)
        yield TextBatch(torch.from_numpy(batch.ids), right_padded([len(row) for row in rows], bos), at)
        at = end


def prompt_batch(subject: Subject, ids: Sequence[np.ndarray], bos: bool, generated: int) -> TextBatch:
    """Prompts side by side, padded on the left, with room for what is generated."""
    layout = left_padded([len(row) for row in ids], bos, generated)
    columns = int((layout.first + layout.tokens).max())
    filled = np.full((len(ids), columns), int(ids[0][0]), np.int64)
    for row, own in enumerate(ids):
        filled[row, layout.first[row] :] = own
        if bos and subject.bos_id is not None:
            filled[row, layout.first[row] - 1] = subject.bos_id
    return TextBatch(torch.from_numpy(filled), layout, 0)
