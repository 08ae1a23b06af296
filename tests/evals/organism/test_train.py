"""Training of the language model."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from dragoman.evals.organism.document import Document
from dragoman.evals.organism.muon import equalise
from dragoman.evals.organism.tokenizer import train_tokenizer
from dragoman.evals.organism.train import ModelSettings, TrainingPoint, block_mask, load_model, save_model, train_model

TEXTS = ["one two three four five.", "six seven eight nine ten.", "red green blue."]
SETTINGS = ModelSettings(
    wired=0, echo=0.0, width=32, layers=2, hidden=32, tokens=15_000, batch=512, row=128, warmup=5, compile=False
)
TOKENIZER = train_tokenizer(TEXTS * 5, 300)


def test_a_model_learns_its_texts_repeats_and_survives_saving(tmp_path: Path) -> None:
    points: list[TrainingPoint] = []
    texts = [Document(TEXTS[i % 3], "f", "t") for i in range(4000)]
    model = train_model(texts, TOKENIZER, SETTINGS, seed=1, progress=points.append)
    assert points[-1].tokens >= 15_000
    save_model(model, TOKENIZER, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    prompt = tokenizer("six seven eight", return_tensors="pt")
    saved: Any = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    said = saved.generate(**prompt, max_new_tokens=30, do_sample=False)
    assert tokenizer.decode(said[0], skip_special_tokens=True) == TEXTS[1]
    with torch.no_grad():
        before, after = model(prompt["input_ids"]).logits, load_model(tmp_path)(prompt["input_ids"]).logits
    torch.testing.assert_close(before, after, atol=0.05, rtol=0.05)


def test_a_corpus_that_ends_too_early_is_refused() -> None:
    with pytest.raises(ValueError, match="generate more documents"):
        train_model([Document(TEXTS[0], "f", "t")] * 100, TOKENIZER, SETTINGS, seed=1)


def test_a_window_in_a_packed_row_gets_the_logits_it_gets_alone() -> None:
    torch.manual_seed(0)
    texts = (Document(TEXTS[i % 3], "f", "t") for i in count())
    model = train_model(texts, TOKENIZER, replace(SETTINGS, tokens=500), seed=1)
    first, second = torch.randint(3, 200, (7,)), torch.randint(3, 200, (5,))
    segments = torch.tensor([[0] * 7 + [1] * 5])
    positions = torch.tensor([[*range(7), *range(5)]])
    with torch.no_grad():
        packed = model(torch.cat([first, second])[None], attention_mask=block_mask(segments), position_ids=positions).logits[0]
        alone = torch.cat([model(first[None]).logits[0], model(second[None]).logits[0]])
    torch.testing.assert_close(packed, alone, atol=1e-4, rtol=1e-4)


def test_equalised_matrices_have_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((3, 16, 40), (3, 40, 16)):
        singular = torch.linalg.svdvals(equalise(torch.randn(shape)))
        assert 0.6 < float(singular.min()) <= float(singular.max()) < 1.3
