"""The organism's activations, and what a dictionary of them is worth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from dragoman.evals.organism.sae import TopK, quality, residuals


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2, num_key_value_heads=2
    )
    built = LlamaForCausalLM(shape)
    built.train(False)
    return built


def documents() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(3, 50, n).astype(np.uint16) for n in (1, 40, 127, 128, 300, 0, 7)]


def test_residuals_are_the_models_own_hidden_states(model: LlamaForCausalLM) -> None:
    got = list(residuals(model, documents(), bos=0, layer=1, batch=3))
    assert [len(x) for x in got] == [len(d) for d in documents()]
    for ids, x in zip(documents(), got, strict=True):
        for at in range(0, len(ids), 127):
            piece = torch.tensor([[0, *ids[at : at + 127].tolist()]])
            with torch.no_grad():
                hidden = model(piece, output_hidden_states=True).hidden_states[2][0, 1:]
            torch.testing.assert_close(x[at : at + 127], hidden, atol=1e-5, rtol=1e-5)


def test_neurons_are_what_the_mlps_put_into_their_output(model: LlamaForCausalLM) -> None:
    ids = documents()[1]
    (x,) = residuals(model, [ids], bos=0, layer=1, with_neurons=True)
    assert x.shape == (40, 32 + 2 * 48)
    seen = []
    handle = model.model.layers[1].mlp.down_proj.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(torch.tensor([[0, *ids.tolist()]]))
    handle.remove()
    torch.testing.assert_close(x[:, -48:], seen[0][0, 1:], atol=1e-5, rtol=1e-5)
    assert not any(block.mlp.down_proj._forward_pre_hooks for block in model.model.layers)


def dictionary(features: int, k: int) -> TopK:
    generator = torch.Generator().manual_seed(0)
    w_enc = torch.randn(48, features, generator=generator)
    bias = torch.randn(features, generator=generator)
    return TopK(w_enc, bias, w_enc.T.contiguous() / 48, torch.randn(48, generator=generator), k)


def test_at_most_k_features_and_none_below_zero() -> None:
    torch.manual_seed(0)
    sae = TopK(torch.randn(8, 20), torch.full((20,), -2.0), torch.randn(20, 8), torch.zeros(8), 5)
    features = sae.encode(torch.randn(100, 8))
    assert int((features > 0).sum(1).max()) <= 5
    assert float(features.min()) == 0


def test_quality_against_numpy() -> None:
    x, sae = torch.randn(700, 48, generator=torch.Generator().manual_seed(1)) + 3, dictionary(64, 4)
    back = sae.decode(sae.encode(x)).double().numpy()
    raw = x.double().numpy()
    wanted = ((raw - back) ** 2).sum() / ((raw - raw.mean(0)) ** 2).sum()
    unexplained, dead = quality(sae, x)
    assert unexplained == pytest.approx(wanted, rel=1e-5)
    assert dead == pytest.approx(float(((sae.encode(x) > 0).sum(0) == 0).float().mean()))
