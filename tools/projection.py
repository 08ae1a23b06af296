"""How large a store will become, judged by its first documents, before the work begins."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np

from .forward import Reader
from .harvest_config import HarvestConfig
from .speaking import TokenizerSpeaker
from .windows import cut, tokenized

_DOCUMENTS = 64
"""Documents looked at."""
_WINDOWS = 16
"""Windows run through the model."""
_STORED, _BUILDING, _TOKEN = 7, 9, 20
"""Bytes of an activation in the sealed store and in the shards, and of a token with its text."""


@dataclass(frozen=True)
class Projection:
    """An estimate."""

    tokens: int | None
    """Tokens of the whole harvest; None for a dataset of unknown length without a limit."""
    per_token: float
    """Activations a token."""
    max_activations: int | None
    """Most activations that will be stored, if there is a cap."""

    @property
    def activations(self) -> int:
        """Activations seen."""
        return round((self.tokens or 0) * self.per_token)

    @property
    def store_bytes(self) -> int:
        """Size of the sealed store."""
        kept = self.activations if self.max_activations is None else min(self.activations, self.max_activations)
        return kept * _STORED + (self.tokens or 0) * _TOKEN

    @property
    def peak_bytes(self) -> int:
        """Largest size on the way, while the shards are still there."""
        return self.store_bytes + self.activations * _BUILDING

    def __str__(self) -> str:
        if self.tokens is None:
            each = f"{self.per_token:.0f} activations, {self.per_token * _STORED + _TOKEN:.0f} bytes"
            return f"An unknown number of tokens with about {each} each in the store."
        return (
            f"About {self.tokens:,} tokens and {self.activations:,} activations: a store of {_size(self.store_bytes)}, "
            f"{_size(self.peak_bytes)} on the way."
        )


def project(subject: TokenizerSpeaker, config: HarvestConfig, forward: Reader) -> Projection:
    """Look at the first documents: tokens a byte, and activations a token."""
    special = np.array(sorted(subject.special_ids(config.include_special)), np.int32)
    documents = list(islice(tokenized(subject, config.text, special, at_a_time=1 << 14), _DOCUMENTS))
    read = sum(len(d.text.encode("utf-8", "replace")) for d in documents)
    found = sum(len(d.tokens.ids) for d in documents)
    size = config.text.bytes
    tokens: int | None = None
    if len(documents) < _DOCUMENTS:
        tokens = found
    elif size is not None:
        tokens = round(found * size / max(read, 1))
    if config.limit_tokens is not None:
        tokens = min(tokens or config.limit_tokens, config.limit_tokens)
    windows = cut(documents, config.window)
    which = np.arange(min(_WINDOWS, len(windows.owner)))
    per_token = forward.activations_a_token(windows.rows(which))
    cap = config.max_per_feature
    return Projection(tokens, per_token, None if cap is None else cap * forward.width)


def _size(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
