"""Packed linear layers against the plain ones in float64, and that nothing stays behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from dragoman.tools.linear import PackedLinear, PackedModules, can_pack
from dragoman.tools.subject import Subject

pytestmark = pytest.mark.skipif(not can_pack(torch.zeros(2, 2)), reason="no oneDNN here")


@pytest.mark.parametrize("shape", [(0, 24), (1, 24), (7, 24), (3, 5, 24)])
@pytest.mark.parametrize("bias", [True, False])
def test_packed_linear(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(shape), torch.randn(40, 24)
    b = torch.randn(40) if bias else None
    with torch.inference_mode():
        got = PackedLinear(weight, b)(x)
    expected = x.double() @ weight.double().T + (0 if b is None else b.double())
    torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "llama", "phi3"])
def test_modules_are_packed_only_inside_and_follow_their_weights(family: str, tiny: Callable[[str], Subject]) -> None:
    subject = tiny(family)
    ids = torch.arange(3, 20)[None]

    def plain() -> torch.Tensor:
        seen: list[torch.Tensor] = []
        handle = subject.blocks[1].register_forward_hook(lambda *args: seen.append(args[2]))
        with torch.inference_mode():
            subject.decoder(ids, use_cache=False)
        handle.remove()
        return seen[0]

    before = plain()
    packed = PackedModules(subject.blocks)
    assert len(packed._modules) >= 4 * subject.layers
    torch.testing.assert_close(subject.capture(ids, ["resid_post.1"])["resid_post.1"], before, rtol=1e-5, atol=1e-5)
    assert torch.equal(plain(), before)
    assert not any("forward" in module.__dict__ for module in subject.model.modules())
    projection: Any = subject.blocks[0].get_submodule(subject.family.mlp_projection)
    with torch.no_grad():
        projection.weight.mul_(2)
    assert not torch.allclose(plain(), before)
    torch.testing.assert_close(subject.capture(ids, ["resid_post.1"])["resid_post.1"], plain(), rtol=1e-5, atol=1e-5)
