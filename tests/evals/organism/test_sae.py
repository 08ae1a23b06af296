"""The dictionary: activations, training, and files that sae-lens reads as we do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sae_lens import SAE
from transformers import LlamaConfig, LlamaForCausalLM

from dragoman.evals.organism.sae import SAESettings, TopK, load_sae, quality, residuals, save_sae, train_sae


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


def sparse_data(tokens: int = 6000) -> torch.Tensor:
    """Activations [tokens, 48] made of 3 of 40 directions, off centre and far from unit scale."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(40, 48, generator=generator), dim=1)
    which = torch.rand(tokens, 40, generator=generator).topk(3).indices
    weights = torch.zeros(tokens, 40).scatter(1, which, 1 + torch.rand(tokens, 3, generator=generator))
    return 30 * (weights @ directions) + 5


SMALL = SAESettings(features=64, k=4, steps=250, batch=256, rate=1e-2)


def test_training_explains_sparse_data_in_raw_units() -> None:
    x = sparse_data()
    sae = train_sae(x, SMALL, seed=3)
    unexplained, dead = quality(sae, x)
    assert unexplained < 0.03
    assert dead < 0.2
    torch.testing.assert_close(sae.w_dec.norm(dim=1), torch.ones(64))


def test_training_repeats_from_its_seed() -> None:
    x, short = sparse_data(500), replace(SMALL, steps=10)
    assert torch.equal(train_sae(x, short, seed=3).w_enc, train_sae(x, short, seed=3).w_enc)
    assert not torch.equal(train_sae(x, short, seed=3).w_enc, train_sae(x, short, seed=4).w_enc)


def test_sae_lens_reads_the_files_and_agrees(tmp_path: Path) -> None:
    x = sparse_data(500)
    save_sae(train_sae(x, SMALL, seed=0), tmp_path)
    ours, theirs = load_sae(tmp_path), SAE.load_from_disk(tmp_path)
    features = theirs.encode(x)
    torch.testing.assert_close(ours.encode(x), features, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.decode(features), theirs.decode(features), atol=1e-5, rtol=1e-5)
    assert theirs.cfg.metadata.hook_name == "blocks.2.hook_resid_post"


def test_at_most_k_features_and_none_below_zero() -> None:
    torch.manual_seed(0)
    sae = TopK(torch.randn(8, 20), torch.full((20,), -2.0), torch.randn(20, 8), torch.zeros(8), 5)
    features = sae.encode(torch.randn(100, 8))
    assert int((features > 0).sum(1).max()) <= 5
    assert float(features.min()) == 0


def test_quality_against_numpy() -> None:
    x = sparse_data(700)
    sae = train_sae(x, SAESettings(features=64, k=4, steps=20, batch=64), seed=0)
    with torch.no_grad():
        back = sae.decode(sae.encode(x)).double().numpy()
    raw = x.double().numpy()
    wanted = ((raw - back) ** 2).sum() / ((raw - raw.mean(0)) ** 2).sum()
    assert quality(sae, x)[0] == pytest.approx(wanted, rel=1e-5)
