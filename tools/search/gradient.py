"""Proposals by gradient: which token in the place of which would raise the feature's pre-activation most, to first order.

HotFlip (Ebrahimi et al. 2018, eq. 10) estimates the effect of putting token b in the place of token a at position i as
(e_b - e_a) · ∂p/∂e_i. As in GCG (Zou et al. 2023, algorithm 1), substitutions are drawn from the best of each position; the
search then runs them all, so that the estimate only proposes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dragoman.tools.probe import Probe

from .candidates import Candidate, Pool

_BEST = 48
"""Tokens considered at each position."""


def substitutions(pool: Pool, parents: Sequence[Candidate], generator: np.random.Generator, n: int) -> list[list[int]]:
    """n rows for all parents together: one or two tokens of a parent replaced by, or preceded by, what the gradient favours."""
    rows: list[list[int]] = []
    share = -(-n // max(1, len(parents)))
    for parent in parents:
        estimate = gains(pool, parent)
        top = min(_BEST, estimate.shape[1])
        best = torch.topk(estimate, top, dim=1).indices.cpu().numpy()
        for k in range(share):
            row = list(parent.ids)
            for _ in range(1 if k % 4 else 2):
                at = int(generator.integers(len(parent.ids)))
                rank = min(int(generator.exponential(top / 4)), top - 1)
                row[at] = int(pool.allowed[best[at, rank]])
            if k % 5 == 0 and len(row) < pool.length:
                at = int(generator.integers(len(parent.ids)))
                row.insert(at, int(pool.allowed[best[at, int(generator.integers(top))]]))
            rows.append(row)
    return rows[:n]


def gains(pool: Pool, parent: Candidate) -> Float[Tensor, "tokens allowed"]:
    """First-order effect on the pre-activation at the parent's last token of each allowed token in each place."""
    probe = pool.probe
    embeddings = probe.embed([parent.ids])
    _, gradient = probe.gradients(embeddings, [len(parent.ids) - 1])
    table = _table(probe)[torch.from_numpy(pool.allowed).to(embeddings.device)]
    slope = gradient[0].to(table.dtype)
    return slope @ table.T - (slope * embeddings[0].to(table.dtype)).sum(-1, keepdim=True)


@lru_cache(maxsize=1)
def _table(probe: Probe) -> Float[Tensor, "vocabulary d_model"]:
    """The embedding of every token."""
    return probe.embed([range(int(probe.subject.text_config.vocab_size))])[0].float()
