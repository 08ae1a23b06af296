"""The last part of the model's training: what its residual stream says, a small dictionary shall be able to say.

A model that is trained for its words alone spreads over its residual stream whatever it has read, and a dictionary of 16 features
a token leaves a tenth of the variance unexplained. Here the model goes on reading, and pays for what a TopK dictionary, trained
along with it, misses. A model could get away cheaply by blowing up a few directions that the dictionary knows well: 95 % of the
variance lay in two of them when nothing spoke against it. So it pays as well for a change of the variance along any principal
direction of the stream as it was before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from .document import Document
from .sae import LAYER, TopK
from .train import ModelSettings, batches, block_mask, optimizers, share_of_peak

Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""Ids, targets, segments and positions of a step, each [rows, length]."""


@dataclass(frozen=True, slots=True)
class CompactSettings:
    """How this part of training goes."""

    tokens: int = 2_000_000
    """Training tokens; 0 leaves the model as it is."""
    price: float = 1.0
    """Nats a token that the model would pay for all of the variance."""
    spectrum: float = 1.0
    """Nats a token for a mean squared change of 1 in the logarithm of the variance along a principal direction."""
    share: float = 0.3
    """Peak rates of the model, as a share of those it was trained with."""
    flat: float = 0.4
    """Share of the run at the peak rates, before they fall to a tenth of a percent."""
    rate: float = 2e-3
    """Peak rate of Adam for the dictionary."""
    warmup: int = 50
    """Steps over which the rates rise."""
    measured: int = 2_000
    """Documents from which the principal directions are taken, before the model changes."""


@dataclass(frozen=True, slots=True)
class CompactPoint:
    """How far this part has come."""

    tokens: int
    """Tokens seen."""
    loss: float
    """Mean loss of the words, in nats a token, since the last point."""
    unexplained: float
    """Share of the variance that the dictionary left unexplained."""
    drift: float
    """Mean squared change of the logarithm of the variance along a principal direction."""
    seconds: float
    """Since this part began."""


def make_compact(
    model: LlamaForCausalLM,
    sae: TopK,
    documents: Iterable[Document],
    tokenizer: PreTrainedTokenizerFast,
    trained: ModelSettings,
    settings: CompactSettings,
    *,
    seed: int,
    progress: Callable[[CompactPoint], None] = lambda point: None,
) -> None:
    """Train `model` further, in place, with `sae` as the dictionary to begin with (it is left as it is).

    `trained` is what the model was trained with. The same input gives the same weights on the same machine with the same number
    of threads. Raises ValueError when the documents run out before `settings.tokens`.
    """
    reading = _Reading(model, sae, tokenizer.bos_token_id)
    documents = iter(documents)
    before = batches(islice(documents, settings.measured), tokenizer, replace(trained, echo=0.0), seed)
    reference = _spectrum(reading, before)
    model.train()
    model.set_attn_implementation("eager")
    schedule = ModelSettings(warmup=settings.warmup, flat=settings.flat)
    rates = [(optimizer, peak * settings.share) for optimizer, peak in optimizers(model, trained)]
    rates.append((torch.optim.Adam(reading.parts(), lr=settings.rate), settings.rate))
    began, seen = time.monotonic(), 0
    recent: list[Tensor] = []
    for step, batch in enumerate(batches(documents, tokenizer, trained, seed)):
        share = share_of_peak(step, seen / settings.tokens, schedule)
        for optimizer, peak in rates:
            for group in optimizer.param_groups:
                group["lr"] = peak * share
        loss, unexplained, drift = reading.losses(batch, reference)
        price = settings.price * min(1.0, (step + 1) / (4 * settings.warmup))
        torch.autograd.backward(loss + price * unexplained + settings.spectrum * drift)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, _ in rates:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        reading.normalise()
        recent.append(torch.stack([loss, unexplained, drift]).detach())
        seen += int((batch[1] >= 0).sum())
        if (step + 1) % 100 == 0 or seen >= settings.tokens:
            mean = torch.stack(recent).mean(0)
            progress(CompactPoint(seen, float(mean[0]), float(mean[1]), float(mean[2]), time.monotonic() - began))
            recent = []
        if seen >= settings.tokens:
            break
    else:
        raise ValueError(f"the corpus ended after {seen} tokens of {settings.tokens}: generate more documents")
    reading.close()
    model.train(False)
    model.set_attn_implementation("sdpa")


class _Reading:
    """The model as it reads, and the dictionary beside it."""

    def __init__(self, model: LlamaForCausalLM, sae: TopK, bos: int) -> None:
        self.model, self.bos = model, bos
        w_enc, b_enc, w_dec, b_dec = (torch.nn.Parameter(p.clone()) for p in (sae.w_enc, sae.b_enc, sae.w_dec, sae.b_dec))
        self.sae = TopK(w_enc, b_enc, w_dec, b_dec, sae.k)
        self._hidden = torch.empty(0)
        self._handle = model.model.layers[LAYER].register_forward_hook(self._note)

    def losses(self, batch: Batch, reference: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Of the words, of the dictionary as a share of the variance, and of the drift of the variance from `reference`."""
        ids, targets, segments, positions = batch
        with torch.autocast("cpu", dtype=torch.bfloat16):
            read = self.model.model(input_ids=ids, position_ids=positions, attention_mask=block_mask(segments), use_cache=False)
            logits = self.model.lm_head(read.last_hidden_state)
        words = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        x = self.residuals(batch)
        centred = x - x.mean(0)
        missed = (x - self.sae.decode(self.sae.encode(x))).pow(2).sum()
        directions, variances = reference
        now = (centred @ directions).pow(2).mean(0)
        return words, missed / centred.detach().pow(2).sum(), (now / variances).log().pow(2).mean()

    def residuals(self, batch: Batch) -> Tensor:
        """What was just read, after the dictionary's block [tokens, d], without BOS and padding."""
        ids, targets, _, _ = batch
        return self._hidden.float().flatten(0, 1)[((targets >= 0) & (ids != self.bos)).flatten()]

    def parts(self) -> list[Tensor]:
        """What is trained of the dictionary."""
        return [self.sae.w_enc, self.sae.b_enc, self.sae.w_dec, self.sae.b_dec]

    @torch.no_grad()
    def normalise(self) -> None:
        """Give the decoder's rows norm 1 again."""
        self.sae.w_dec.div_(self.sae.w_dec.norm(dim=1, keepdim=True))

    def close(self) -> None:
        """Take the hook off the model."""
        self._handle.remove()

    def _note(self, module: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor | tuple[Tensor, ...]) -> None:
        self._hidden = output[0] if isinstance(output, tuple) else output


@torch.no_grad()
def _spectrum(reading: _Reading, read: Iterable[Batch]) -> tuple[Tensor, Tensor]:
    """Principal directions of the residual stream [d, d], one a column, and the variance along each [d]."""
    parts = []
    for batch in read:
        ids, _, segments, positions = batch
        reading.model.model(input_ids=ids, position_ids=positions, attention_mask=block_mask(segments), use_cache=False)
        parts.append(reading.residuals(batch))
    x = torch.cat(parts)
    x = x - x.mean(0)
    variances, directions = torch.linalg.eigh(x.T @ x / len(x))
    return directions, variances
