"""Texts that the model itself finds likely, so that a search does not end in a pile of tokens (after Thompson, Straznickas and
Rager 2024, "Fluent dreaming for language models").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from dragoman.tools.probe import Probe
from dragoman.tools.source import padded

from .candidates import Candidate, Ids, Pool

_ENTRIES = 1 << 23
"""Log-probabilities held at a time."""


def log_probability(probe: Probe, rows: Sequence[Ids]) -> Float[np.ndarray, " rows"]:
    """Mean log-probability of each row's tokens in nats, each given those before it; without BOS the first one counts as 0."""
    means = np.zeros(len(rows), np.float64)
    lead = int(probe.bos is not None)
    for first, batch, table in _tables(probe, rows):
        for n, row in enumerate(batch):
            own = torch.tensor(row[1 - lead :], device=table.device)
            given = table[n, : len(row) - 1 + lead]
            means[first + n] = float(given.gather(-1, own[:, None]).sum()) / len(row)
    return means


def likely(pool: Pool, parents: Sequence[Candidate], generator: np.random.Generator, n: int) -> list[list[int]]:
    """n copies of parents in which one token is replaced by, or preceded by, one drawn from what the model expects there."""
    rows: list[list[int]] = []
    lead = int(pool.probe.bos is not None)
    chosen = [parents[int(i)] for i in generator.integers(0, len(parents), n)]
    allowed = torch.from_numpy(pool.allowed)
    for _, batch, table in _tables(pool.probe, [candidate.ids for candidate in chosen]):
        for k, ids in enumerate(batch):
            row = list(ids)
            at = int(generator.integers(1 - lead, max(len(row), 2 - lead)))
            p = table[k, at - 1 + lead].cpu()[allowed].double().exp().numpy()
            token = int(pool.allowed[generator.choice(len(p), p=p / p.sum())])
            if at >= len(row) or (len(row) < pool.length and generator.integers(2)):
                row.insert(at, token)
            else:
                row[at] = token
            rows.append(row)
    return rows


@torch.inference_mode()
def _tables(probe: Probe, rows: Sequence[Ids]) -> Iterator[tuple[int, Sequence[Ids], Float[Tensor, "rows tokens vocabulary"]]]:
    """Log-probabilities of the next token at each position of the rows, BOS first where there is one; in batches."""
    longest = max((len(row) for row in rows), default=1) + 1
    step = max(1, _ENTRIES // (longest * int(probe.subject.text_config.vocab_size)))
    for first in range(0, len(rows), step):
        batch = rows[first : first + step]
        logits = probe.subject.logits(torch.from_numpy(padded(batch, probe.bos).ids))
        probe.forwards += len(batch)
        probe.tokens += sum(map(len, batch))
        yield first, batch, torch.log_softmax(logits, -1)
