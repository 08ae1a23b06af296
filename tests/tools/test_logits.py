"""Linear logit effects against the model itself, in float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dragoman.store.errors import UserError
from dragoman.store.records import TokenValue
from dragoman.tools import logits
from dragoman.tools.dictionaries import load
from dragoman.tools.logits import causal_effects, direct_effects, linear_effects, logit_effects
from dragoman.tools.subject import Subject

Tiny = Callable[[str], Subject]
FAMILIES = ["gpt2", "gpt_neox", "llama", "qwen3", "gemma2", "gemma3", "olmo2"]


@pytest.mark.parametrize("family", FAMILIES)
def test_effects_are_the_derivative_of_the_logits_with_the_norms_scale_held(family: str, tiny: Tiny) -> None:
    """The final norm and the head, in float64, with the scale frozen: the exact linear effect of moving along a direction."""
    subject = tiny(family)
    directions = torch.randn(5, 16, generator=torch.Generator().manual_seed(1))
    norm: Any = subject.decoder.get_submodule(subject.family.final_norm)
    x = torch.randn(16, generator=torch.Generator().manual_seed(2)).double()
    centred = family in ("gpt2", "gpt_neox")
    spread = x - x.mean() if centred else x
    scale = (spread.pow(2).mean() + 1e-6).sqrt()

    def head(vector: torch.Tensor) -> torch.Tensor:
        moved = vector - vector.mean() if centred else vector
        weight = norm.weight.double()
        normed = moved / scale * (1 + weight if family.startswith("gemma") else weight)
        logits: torch.Tensor = normed @ subject.unembedding().double().T
        return logits

    with torch.inference_mode():
        expected = torch.stack([(head(x + d.double()) - head(x)) * scale for d in directions])
        expected -= expected.mean(-1, keepdim=True)
        torch.testing.assert_close(direct_effects(subject, directions).double(), expected, rtol=1e-4, atol=1e-5)


def test_table_holds_the_ten_largest_and_smallest(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logits, "_BYTES", 4 * 300 * 3)  # chunks of three features
    subject = tiny("llama")
    save_file({"d": torch.randn(7, 16)}, tmp_path / "d.safetensors")
    neurons, directions = load("neurons:mlp.1", subject), load(f"directions:{tmp_path}/d.safetensors@resid_post.1", subject)
    hidden = load(f"hidden=directions:{_rows(tmp_path, 24)}@mlp_hidden.0", subject)
    table = logit_effects(subject, [neurons, hidden, directions])
    assert table is not None
    got = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
    assert set(got["feature"]) == set(range(24)) | set(range(28, 35)), "hidden units have no place in the residual stream"
    effects = direct_effects(subject, directions.directions).numpy()
    for feature in range(7):
        for side, order in (("promoted", np.argsort(-effects[feature])), ("suppressed", np.argsort(effects[feature]))):
            rows = (got["feature"] == 28 + feature) & (got["side"] == side)
            assert got["rank"][rows].tolist() == list(range(10))
            assert got["token"][rows].tolist() == order[:10].tolist()
            np.testing.assert_allclose(got["value"][rows], effects[feature][order[:10]], rtol=1e-5)
    assert logit_effects(subject, [hidden]) is None


def _rows(folder: Path, width: int) -> Path:
    file = folder / "rows.npy"
    np.save(file, np.eye(4, width, dtype=np.float32))
    return file


def test_one_feature_linear_and_causal(tiny: Callable[[str], Subject], tmp_path: Path) -> None:
    subject = tiny("llama")
    directions = load(f"directions:{_rows(tmp_path, 16)}@resid_post.1", subject)
    linear = linear_effects(subject, directions, 2, top=5, chosen=[7])
    effects = direct_effects(subject, directions.directions)[2]
    assert [value for _, value in linear.promoted] == pytest.approx(effects.topk(5).values.tolist(), rel=1e-5)
    assert [value for _, value in linear.suppressed] == pytest.approx((-(-effects).topk(5).values).tolist(), rel=1e-5)
    assert linear.chosen == (TokenValue(subject.vocabulary[7], float(effects[7])),)
    assert "Linear logit effects" in repr(linear) and "<table>" in linear._repr_html_()

    causal = causal_effects(subject, directions, 2, 3.0, ["the cat sat"], strength=2.0, chosen=[7])
    ids = torch.tensor([[1, *subject.tokenize("the cat sat").ids.tolist()]])
    clean = subject.logits(ids)[0, -1]

    def add(_: object, __: object, out: torch.Tensor) -> torch.Tensor:
        return torch.cat([out[:, :1], out[:, 1:] + 6.0 * directions.directions[2]], 1)

    handle = subject.blocks[1].register_forward_hook(add)
    steered = subject.logits(ids)[0, -1]
    handle.remove()
    shift = (steered - steered.mean()) - (clean - clean.mean())
    assert causal.effects.chosen[0].shift == pytest.approx(float(shift[7]), rel=1e-4, abs=1e-6)
    assert causal.effects.tokens == 1 and "Causal logit effects" in repr(causal)
    with pytest.raises(UserError, match="no linear logit effect; measure the causal one"):
        linear_effects(subject, load(f"directions:{_rows(tmp_path, 24)}@mlp_hidden.1", subject), 0)
    with pytest.raises(UserError, match="There is no feature rows/4"):
        linear_effects(subject, directions, 4)
