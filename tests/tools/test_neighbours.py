"""Decoder neighbours against all cosines at once in float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dragoman.tools import neighbours as module
from dragoman.tools.dictionaries import load
from dragoman.tools.neighbours import nearest, neighbours
from dragoman.tools.subject import Subject


@pytest.mark.parametrize("chunk", [7, 50, 4096])
def test_nearest_in_chunks(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK", chunk)
    rows = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    cosine, other = nearest(rows, 16)
    unit = rows.double() / rows.double().norm(dim=-1, keepdim=True)
    expected = unit @ unit.T
    expected.fill_diagonal_(-2)
    values, order = expected.topk(16)
    torch.testing.assert_close(cosine.double(), values, rtol=1e-5, atol=1e-6)
    assert torch.equal(other, order)


def test_table_has_global_ids_and_skips_what_is_too_large(
    tiny: Callable[[str], Subject], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = tiny("llama")
    np.save(tmp_path / "three.npy", np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32))
    np.save(tmp_path / "one.npy", np.ones((1, 16), np.float32))
    dictionaries = [
        load("neurons:mlp.0", subject),
        load(f"directions:{tmp_path}/one.npy@resid_post.0", subject),
        load(f"directions:{tmp_path}/three.npy@resid_post.0", subject),
    ]
    table = neighbours(dictionaries)
    assert table is not None
    feature, other = table["feature"].to_numpy(), table["other"].to_numpy()
    assert set(feature) == set(range(24)) | {25, 26, 27}
    assert set(other[feature < 24]) <= set(range(24)) and set(other[feature >= 25]) == {25, 26, 27}
    assert not np.any(feature == other)
    monkeypatch.setattr(module, "LIMIT", 10)
    small = neighbours(dictionaries)
    assert small is not None and set(small["feature"].to_numpy()) == {25, 26, 27}
