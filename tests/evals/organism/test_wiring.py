"""The start of training: the circuit looks where it should, and copies better than chance before any training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from dragoman.evals.organism.wiring import echoes, wire

LENGTH = 100


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=500,
        hidden_size=128,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=32,
    )
    built = LlamaForCausalLM(shape)
    built.set_attn_implementation("eager")
    wire(built, 2)
    built.train(False)
    return built


def test_heads_of_the_first_block_look_at_the_previous_token(model: LlamaForCausalLM) -> None:
    ids = torch.randint(3, 500, (4, LENGTH))
    with torch.no_grad():
        attention = model(ids, output_attentions=True).attentions[0]
    previous = attention.diagonal(-1, 2, 3)[..., 8:].mean((0, 2))
    assert (previous[:2] > 0.4).all()
    assert (previous[2:] < 0.1).all()


def test_repeated_tokens_are_copied_better_than_chance(model: LlamaForCausalLM) -> None:
    rows = echoes(500, 3, 40 * LENGTH, LENGTH, np.random.default_rng(0))
    ids = torch.tensor(np.stack(rows).astype(np.int64))
    with torch.no_grad():
        logits = model(ids).logits[:, 50:-1]
    right = logits.log_softmax(-1).gather(2, ids[:, 51:, None])
    assert float(right.mean()) > float(torch.tensor(1 / 500).log()) + 0.5


def test_echoes_repeat_and_hold_no_special_token() -> None:
    rows = echoes(300, 3, 1000, 127, np.random.default_rng(1))
    assert [len(row) for row in rows] == [127] * 8
    for row in rows:
        period = len(set(row.tolist()))
        assert 4 <= period < 24
        assert (row[period:] == row[:-period]).all()
        assert row.min() >= 3
