"""The last part of the model's training: a small dictionary explains more, without the variance moving into few directions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from dragoman.evals.organism.compact import CompactPoint, CompactSettings, make_compact
from dragoman.evals.organism.corpus import document, generate
from dragoman.evals.organism.document import Document
from dragoman.evals.organism.sae import TopK
from dragoman.evals.organism.tokenizer import train_tokenizer
from dragoman.evals.organism.train import ModelSettings, train_model

MODEL = ModelSettings(wired=0, echo=0, width=32, layers=3, hidden=32, tokens=8_000, batch=1024, warmup=2, compile=False)
COMPACT = CompactSettings(tokens=60_000, warmup=5, measured=40, price=3.0, rate=5e-3)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer((d.text for d in generate(5, 100, split="train")), 500)


@pytest.fixture
def model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    return train_model(generate(5, 1000, split="train"), tokenizer, MODEL, seed=5)


def dictionary() -> TopK:
    torch.manual_seed(0)
    w_dec = torch.nn.functional.normalize(torch.randn(64, 32), dim=1)
    return TopK(w_dec.T.clone(), torch.zeros(64), w_dec, torch.zeros(32), 4)


def documents() -> Iterator[Document]:
    return (document(5, number, split="train") for number in itertools.count(5000))


def trained(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, settings: CompactSettings) -> CompactPoint:
    """The last point of a run."""
    points: list[CompactPoint] = []
    make_compact(model, dictionary(), documents(), tokenizer, MODEL, settings, seed=1, progress=points.append)
    assert points[-1].tokens >= settings.tokens
    return points[-1]


def test_the_dictionary_explains_more_where_the_model_pays_for_it(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    start = {name: value.clone() for name, value in model.state_dict().items()}
    paid = trained(model, tokenizer, COMPACT)
    compact = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(start)
    free = trained(model, tokenizer, replace(COMPACT, price=0.0))
    assert paid.unexplained < 0.8 * free.unexplained
    model.load_state_dict(start)
    assert trained(model, tokenizer, COMPACT).unexplained == paid.unexplained, "the same once more"
    assert all(torch.equal(compact[name], value) for name, value in model.state_dict().items())
    assert not model.training and not model.model.layers[2]._forward_hooks


def test_the_variance_stays_where_it_was_only_where_the_model_pays_for_that(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    start = {name: value.clone() for name, value in model.state_dict().items()}
    held = trained(model, tokenizer, COMPACT)
    model.load_state_dict(start)
    free = trained(model, tokenizer, replace(COMPACT, spectrum=0.0))
    assert held.drift < 0.5 * free.drift


def test_the_dictionary_given_is_left_as_it_is(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    sae = dictionary()
    make_compact(model, sae, documents(), tokenizer, MODEL, replace(COMPACT, tokens=3000), seed=1)
    assert torch.equal(sae.w_dec, dictionary().w_dec) and torch.equal(sae.w_enc, dictionary().w_enc)


def test_a_corpus_that_ends_is_told(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ValueError, match="the corpus ended"):
        make_compact(model, dictionary(), generate(5, 50, split="train"), tokenizer, MODEL, COMPACT, seed=1)
