"""Which features of a store point in similar directions: the largest cosines of decoder directions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int
from torch import Tensor

from .dictionaries import Dictionary

TOP = 16
"""Neighbours kept for a feature."""
LIMIT = 65_536
"""Dictionaries with more features get no table; their neighbours are computed when asked for."""
_CHUNK = 4096


@torch.inference_mode()
def neighbours(dictionaries: Sequence[Dictionary]) -> pa.Table | None:
    """The nearest features of each feature, inside its own dictionary.

    Returns:
        Columns feature, rank from 0, other (global ids), cosine; None if every dictionary is too large or has a single feature.
    """
    parts: list[pa.Table] = []
    offset = 0
    for dictionary in dictionaries:
        width = dictionary.width
        if 1 < width <= LIMIT:
            cosine, other = nearest(dictionary.directions, min(TOP, width - 1))
            top = cosine.shape[1]
            parts.append(
                pa.table(
                    {
                        "feature": np.repeat(np.arange(offset, offset + width, dtype=np.uint32), top),
                        "rank": np.tile(np.arange(top, dtype=np.uint8), width),
                        "other": (other.cpu().numpy().reshape(-1) + offset).astype(np.uint32),
                        "cosine": cosine.cpu().numpy().reshape(-1),
                    }
                )
            )
        offset += width
    return pa.concat_tables(parts) if parts else None


def nearest(directions: Float[Tensor, "width d"], top: int) -> tuple[Float[Tensor, "width top"], Int[Tensor, "width top"]]:
    """The largest cosines of each row with the other rows, and which rows they are; in chunks of 4,096 by 4,096."""
    unit = torch.nn.functional.normalize(directions.float(), dim=-1)
    values, others = [], []
    for row in range(0, len(unit), _CHUNK):
        block = unit[row : row + _CHUNK]
        best = torch.full((len(block), 0), 0.0, device=unit.device)
        who = torch.zeros((len(block), 0), dtype=torch.int64, device=unit.device)
        for column in range(0, len(unit), _CHUNK):
            cosine = block @ unit[column : column + _CHUNK].T
            if row == column:
                cosine.fill_diagonal_(-2.0)
            value, index = torch.topk(cosine, min(top, cosine.shape[1]), dim=-1)
            best, who = torch.cat([best, value], 1), torch.cat([who, index + column], 1)
            best, order = torch.topk(best, min(top, best.shape[1]), dim=-1)
            who = who.gather(1, order)
        values.append(best)
        others.append(who)
    return torch.cat(values), torch.cat(others)
