"""Tiny models with random weights, one for each family, and a byte-level tokenizer for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from dragoman.tools.subject import Subject

VOCABULARY = 300
D_MODEL, LAYERS, HEADS = 16, 3, 4

_COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": D_MODEL,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_HEADS = {"head_dim": 8}
CONFIGS: dict[str, tuple[type, dict[str, Any]]] = {
    "gpt2": (
        transformers.GPT2Config,
        {"vocab_size": VOCABULARY, "n_embd": D_MODEL, "n_layer": LAYERS, "n_head": HEADS, "n_positions": 64},
    ),
    "gpt_neox": (transformers.GPTNeoXConfig, _COMMON),
    "gpt_neox_sequential": (transformers.GPTNeoXConfig, {**_COMMON, "use_parallel_residual": False}),
    "llama": (transformers.LlamaConfig, _COMMON),
    "mistral": (transformers.MistralConfig, {**_COMMON, "sliding_window": 4}),
    "qwen2": (transformers.Qwen2Config, _COMMON),
    "qwen3": (transformers.Qwen3Config, {**_COMMON, **_HEADS}),
    "gemma2": (transformers.Gemma2Config, {**_COMMON, **_HEADS}),
    "gemma3": (transformers.Gemma3TextConfig, {**_COMMON, **_HEADS}),
    "phi3": (transformers.Phi3Config, _COMMON),
    "olmo2": (transformers.Olmo2Config, _COMMON),
}


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """Byte-level BPE; BOS 1 is put before every text."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(["the cat sat on the mat and the dog ran to the park"] * 20, trainer)
    from tokenizers.processors import TemplateProcessing

    bpe.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    fast: Any = transformers.PreTrainedTokenizerFast
    return fast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="<pad>")


@pytest.fixture(scope="session")
def tiny(tokenizer: Any) -> Callable[[str], Subject]:
    """Makes the tiny subject of a family; norms and biases are random too, so that leaving one out shows."""

    def make(family: str) -> Subject:
        kind, settings = CONFIGS[family]
        torch.manual_seed(0)
        auto: Any = transformers.AutoModelForCausalLM
        model = auto.from_config(kind(**settings))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return Subject(model, tokenizer, f"tiny {family}")

    return make
