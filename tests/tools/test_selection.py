"""The k largest of each row against a full sort, ties and short rows included."""

from __future__ import annotations

import pytest
import torch

from dragoman.tools.dictionaries.selection import top_k


@pytest.mark.parametrize(("width", "k"), [(4096, 16), (4096, 1), (1024, 4), (1000, 4), (64, 5), (4096, 100), (1536, 32), (5, 5)])
def test_top_k(width: int, k: int) -> None:
    p = torch.randn(40, width, generator=torch.Generator().manual_seed(k))
    p[3] = -1.0
    p[4, : width // 2] = 7.0  # ties: any k of them
    p[5, ::7] *= 100
    codes = top_k(p, k)
    assert bool((codes.value > 0).all())
    order = codes.token * width + codes.feature
    assert bool((order.diff() > 0).all())
    torch.testing.assert_close(codes.value, p[codes.token, codes.feature])
    for row in range(40):
        mine = codes.value[codes.token == row].sort(descending=True).values
        expected = p[row].sort(descending=True).values[:k]
        torch.testing.assert_close(mine, expected[expected > 0])
