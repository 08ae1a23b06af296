"""Means measured on the train rows of a store: baselines of features from its statistics, of units by running train contexts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from dragoman.store.errors import UserError
from dragoman.store.records import TrainStats
from dragoman.store.tokens import TokenTable
from dragoman.tools.source import padded
from dragoman.tools.subject import Subject

from .edits import Baseline, Means

TOKENS = 8_192
"""Train tokens that means of units are measured on, at most."""


class TrainRows(Protocol):
    """What is read of a store: train rows only. A `TrainView` is one."""

    @property
    def tokens(self) -> TokenTable:
        """All train tokens."""
        ...

    def stats(self, feature: int) -> TrainStats:
        """Train statistics of a feature, by its global id."""
        ...


def baseline(train: TrainRows, features: Sequence[int], kind: Literal["zero", "mean", "mean active"], name: str) -> Baseline:
    """What to set features to when they are ablated.

    Args:
        train: the store's train rows.
        features: global ids.
        kind: `zero`, `mean` (over all train tokens), or `mean active` (over those on which the feature is active).
        name: the store's name, for the words.
    """
    if kind == "zero":
        return Baseline("zero", (0.0,) * len(features))
    stats = [train.stats(feature) for feature in features]
    amounts = tuple(s.mean * s.density if kind == "mean" else s.mean for s in stats)
    return Baseline(kind, amounts, f"train rows of {name}")


def unit_means(
    subject: Subject, train: TrainRows, points: Sequence[str], name: str, *, bos: bool, tokens: int = TOKENS, seed: int = 0
) -> Means:
    """Mean vectors at hook points over train contexts drawn at random, BOS left out.

    Args:
        subject: the model.
        train: the store's train rows.
        points: names of hook points.
        name: the store's name, for the words.
        bos: whether BOS stands before each context, as in the store.
        tokens: about so many tokens.
        seed: of the drawing.
    """
    table = train.tokens
    if not len(table.ids):
        raise UserError(f"{name} has no train tokens to take a mean over.")
    lengths = np.diff(table.starts)
    order = np.random.default_rng(seed).permutation(len(lengths))
    chosen = order[: 1 + int(np.searchsorted(np.cumsum(lengths[order]), tokens))]
    rows = [table.ids[table.starts[r] : table.starts[r + 1]] for r in chosen]
    return mean_of(subject, rows, points, f"train tokens of {name}, {len(chosen):,} contexts, seed {seed}", bos=bos)


@torch.inference_mode()
def mean_of(
    subject: Subject, texts: Sequence[np.ndarray], points: Sequence[str], source: str, *, bos: bool, window: int | None = None
) -> Means:
    """Mean vectors at hook points over all tokens of some texts, BOS left out.

    Args:
        subject: the model.
        texts: token ids without BOS.
        points: names of hook points.
        source: what the texts are, in words.
        bos: whether BOS stands before each text.
        window: only the first so many tokens of each text; None: all.
    """
    sums: dict[str, Tensor] = {str(subject.check(p)): torch.zeros(subject.width(p), dtype=torch.float64) for p in points}
    total = 0
    for first in range(0, len(texts), 16):
        batch = padded([text[:window] for text in texts[first : first + 16]], subject.bos_id if bos else None)
        where = torch.from_numpy(batch.flat)
        for point, x in subject.capture(torch.from_numpy(batch.ids), list(sums)).items():
            sums[point] += x.flatten(0, 1)[where.to(x.device)].float().sum(0).cpu().double()
        total += len(batch.flat)
    return Means({p: (s / max(1, total)).float() for p, s in sums.items()}, f"mean over {total:,} {source}")
