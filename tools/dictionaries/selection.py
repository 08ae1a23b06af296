"""The k largest pre-activations of each token."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from .dictionary import SparseCodes


def top_k(p: Float[Tensor, "tokens width"], k: int) -> SparseCodes:
    """The k largest entries of each row that are above zero, ordered by row and then by feature."""
    values, features = torch.topk(p, k, dim=-1, sorted=False)
    features, order = torch.sort(features, dim=-1)
    values = values.gather(-1, order)
    keep = values > 0
    token = torch.arange(len(p), device=p.device)[:, None].expand_as(features)
    return SparseCodes(token[keep], features[keep], values[keep])
