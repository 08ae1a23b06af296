"""Training of the organism's language model."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from dragoman.evals.organism.document import Document
from dragoman.evals.organism.muon import Muon
from dragoman.evals.organism.tokens import CONTEXT, Rows, pack, token_ids
from dragoman.evals.organism.wiring import echoes, wire


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Shape of the model and how long it is trained."""

    width: int = 128
    """Residual stream, in units; a multiple of 32, the head dimension."""
    layers: int = 4
    """Transformer blocks."""
    hidden: int = 512
    """Units of each block's gated MLP."""
    tokens: int = 8_500_000
    """Training tokens, padding not counted."""
    rate: float = 3e-3
    """Peak learning rate of AdamW, which trains embeddings, norms and the head."""
    matrix_rate: float = 0.02
    """Peak learning rate of Muon, which trains the blocks' matrices."""
    flat: float = 0.6
    """Share of the run at the peak rate, before it falls linearly to a tenth of a percent of it."""
    warmup: int = 100
    """Steps over which the rate rises."""
    decay: float = 0.05
    """Weight decay on matrices."""
    batch: int = 2048
    """Tokens in a step, padding counted."""
    row: int = 256
    """Tokens in a row of a step."""
    wired: int = 2
    """Heads of the first two blocks that start as an induction circuit; 0 starts from random weights alone."""
    echo: float = 0.3
    """Share of random repeated tokens in the first part of training."""
    echo_tokens: int = 500_000
    """How long that part is."""
    compile: bool = True
    """Use torch.compile where it works; without it training takes about 1.5 times as long."""


@dataclass(frozen=True, slots=True)
class TrainingPoint:
    """How far training has come."""

    tokens: int
    """Tokens seen."""
    loss: float
    """Mean loss in nats a token since the last point."""
    rate: float
    """Learning rate of AdamW."""
    seconds: float
    """Since training began."""


def train_model(
    documents: Iterable[Document],
    tokenizer: PreTrainedTokenizerFast,
    settings: ModelSettings,
    *,
    seed: int,
    progress: Callable[[TrainingPoint], None] = lambda point: None,
) -> LlamaForCausalLM:
    """Train a Llama on `documents`, read once and in order, and return it in float32 and evaluation mode.

    The same documents, settings, seed and number of threads give the same weights on the same machine. Raises ValueError
    when the documents run out before `settings.tokens`.
    """
    torch.manual_seed(seed)
    model = LlamaForCausalLM(_config(tokenizer, settings))
    if settings.wired:
        wire(model, settings.wired)
    model.train()
    # On windows this short, attention written out is faster than the fused kernel with a mask.
    model.set_attn_implementation("eager")
    trained_by = optimizers(model, settings)
    loss_of = _loss_function(model, settings)
    began = time.monotonic()
    seen = 0
    recent: list[Tensor] = []
    for step, (ids, targets, segments, positions) in enumerate(batches(documents, tokenizer, settings, seed)):
        share = share_of_peak(step, seen / settings.tokens, settings)
        for optimizer, peak in trained_by:
            for group in optimizer.param_groups:
                group["lr"] = peak * share
        loss = loss_of(ids, targets, segments, positions)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, _ in trained_by:
            optimizer.step()
        model.zero_grad(set_to_none=True)
        recent.append(loss.detach())
        seen += int((targets >= 0).sum())
        if (step + 1) % 100 == 0 or seen >= settings.tokens:
            progress(TrainingPoint(seen, float(torch.stack(recent).mean()), settings.rate * share, time.monotonic() - began))
            recent = []
        if seen >= settings.tokens:
            break
    else:
        raise ValueError(f"the corpus ended after {seen} tokens of {settings.tokens}: generate more documents")
    model.train(False)
    model.set_attn_implementation("sdpa")
    return model


def save_model(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write weights in half precision, configuration and tokenizer in Hugging Face format."""
    half: torch.nn.Module = copy.deepcopy(model)
    half.to(torch.float16)
    assert isinstance(half, LlamaForCausalLM)
    half.save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)
    tokenizer.save_pretrained(folder)


def load_model(folder: Path) -> LlamaForCausalLM:
    """Read the model in float32 and evaluation mode."""
    model: LlamaForCausalLM = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.train(False)
    return model


def random_weights(model: LlamaForCausalLM, seed: int) -> LlamaForCausalLM:
    """A model of the same shape that has not been trained, in float32 and evaluation mode."""
    torch.manual_seed(seed)
    blank: torch.nn.Module = LlamaForCausalLM(copy.deepcopy(model.config))
    blank.to(torch.float32).train(False)
    assert isinstance(blank, LlamaForCausalLM)
    return blank


def block_mask(segments: Tensor) -> Tensor:
    """Additive attention mask [rows, 1, length, length]: causal, and each window [rows, length] sees itself only."""
    length = segments.shape[-1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    allowed = (segments[:, :, None] == segments[:, None, :]) & causal
    return torch.zeros(allowed.shape).masked_fill(~allowed, float("-inf"))[:, None]


def _config(tokenizer: PreTrainedTokenizerFast, settings: ModelSettings) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.width,
        intermediate_size=settings.hidden,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.width // 32,
        num_key_value_heads=settings.width // 32,
        head_dim=32,
        max_position_embeddings=4 * CONTEXT,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def optimizers(model: LlamaForCausalLM, settings: ModelSettings) -> list[tuple[torch.optim.Optimizer, float]]:
    """Muon for the blocks' matrices, AdamW for everything else, each with its peak rate."""
    inside = {p for p in model.model.layers.parameters() if p.ndim == 2}
    tables = [p for p in model.parameters() if p.ndim == 2 and p not in inside]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": tables, "weight_decay": settings.decay}, {"params": vectors, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, lr=settings.rate, betas=(0.9, 0.95), fused=True)
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    return [(Muon(matrices, settings.matrix_rate, decay=settings.decay), settings.matrix_rate), (adam, settings.rate)]


def share_of_peak(step: int, done: float, settings: ModelSettings) -> float:
    """Share of the peak rate: a short rise, flat, then linear to almost nothing."""
    rise = min(1.0, (step + 1) / settings.warmup)
    fall = min(1.0, (1.0 - done) / (1.0 - settings.flat))
    return max(1e-3, rise * fall)


def batches(
    documents: Iterable[Document], tokenizer: PreTrainedTokenizerFast, settings: ModelSettings, seed: int
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Steps of (ids, targets, segments, positions), each [batch / row, row]; shuffled inside buffers of 4,096 documents."""
    rng = np.random.default_rng(seed)
    stream = token_ids(tokenizer, documents)
    count = settings.batch // settings.row
    kept: list[NDArray[np.uint16]] = []
    given = 0
    while kept := list(islice(stream, 1024 if given < settings.echo_tokens else 4096)):
        size = sum(len(ids) for ids in kept)
        if given < settings.echo_tokens and settings.echo:
            extra = int(size * settings.echo / (1 - settings.echo))
            kept += echoes(len(tokenizer), len(tokenizer.all_special_ids), extra, CONTEXT - 1, rng)
        given += size
        rows = pack(kept, bos=tokenizer.bos_token_id, eos=tokenizer.eos_token_id, length=settings.row, rng=rng)
        order = rng.permutation(len(rows.ids))
        for at in range(0, len(order) - count + 1, count):
            yield _tensors(rows, order[at : at + count])


def _tensors(rows: Rows, chosen: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (
        torch.from_numpy(rows.ids[chosen].astype(np.int64)),
        torch.from_numpy(rows.targets[chosen]),
        torch.from_numpy(rows.segments[chosen].astype(np.int64)),
        torch.from_numpy(rows.positions[chosen].astype(np.int64)),
    )


def _loss_function(model: LlamaForCausalLM, settings: ModelSettings) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Mean loss of a step, in bfloat16 where the processor has it, compiled where the machine can."""

    def loss_of(ids: Tensor, mask: Tensor, targets: Tensor, positions: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = model.model(input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False).last_hidden_state
            logits = model.lm_head(hidden)
        return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten())

    compiled: Callable[..., Tensor] = torch.compile(loss_of, dynamic=False) if settings.compile else loss_of

    def call(ids: Tensor, targets: Tensor, segments: Tensor, positions: Tensor) -> Tensor:
        nonlocal compiled
        mask = block_mask(segments)
        try:
            return compiled(ids, mask, targets, positions)
        except Exception as error:
            if compiled is loss_of:
                raise
            print(f"torch.compile does not work here ({type(error).__name__}); training without it")
            compiled = loss_of
            return loss_of(ids, mask, targets, positions)

    return call
