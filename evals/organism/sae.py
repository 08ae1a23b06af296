"""The organism's dictionary: a TopK sparse autoencoder on the residual stream after the third block."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from transformers import LlamaForCausalLM

from dragoman.evals.organism.tokens import windows
from dragoman.evals.organism.train import block_mask

LAYER = 2
"""Block, counted from zero, after which the dictionary reads the residual stream."""


@dataclass(frozen=True, slots=True)
class TopK:
    """A TopK autoencoder of raw activations, normalisation folded in; decoder rows have norm 1."""

    w_enc: Tensor
    """Encoder [d, features]."""
    b_enc: Tensor
    """Encoder bias [features]."""
    w_dec: Tensor
    """Decoder [features, d]."""
    b_dec: Tensor
    """Decoder bias [d], subtracted from the input as well."""
    k: int
    """Features active at a token."""

    def encode(self, x: Tensor) -> Tensor:
        """Activations [n, d] to features [n, features], at most k of them above zero."""
        pre = (x - self.b_dec) @ self.w_enc + self.b_enc
        return _keep_top(pre, self.k)

    def decode(self, features: Tensor) -> Tensor:
        """Features [n, features] to activations [n, d]."""
        return features @ self.w_dec + self.b_dec


@torch.no_grad()
def residuals(
    model: LlamaForCausalLM,
    documents: Iterable[NDArray[np.uint16]],
    *,
    bos: int,
    layer: int = LAYER,
    with_neurons: bool = False,
    batch: int = 64,
) -> Iterator[Tensor]:
    """Residual stream after block `layer` (from zero) for each document, float32 [tokens, d], BOS left out.

    Documents are read in windows of 128 with BOS first, as in training and harvest; the forward stops after the block.
    `with_neurons` appends the units of every MLP up to the block, giving [tokens, d + (layer + 1) * hidden].
    """
    neurons = _Neurons(model, layer) if with_neurons else None
    width = model.config.hidden_size + (layer + 1) * model.config.intermediate_size * with_neurons
    pending: list[tuple[int, NDArray[np.uint16]]] = []
    parts: dict[int, list[Tensor]] = {}
    counts: dict[int, int] = {}
    given = 0
    total = 0

    def flush() -> None:
        for (index, _), hidden in zip(pending, _forward(model, [ids for _, ids in pending], bos, layer, neurons), strict=True):
            parts[index].append(hidden)
        pending.clear()

    for index, ids in enumerate(documents):
        total = index + 1
        pieces = windows(len(ids))
        parts[index], counts[index] = [], len(pieces)
        pending.extend((index, ids[a:b]) for a, b in pieces)
        if len(pending) >= batch:
            flush()
            while given in parts and len(parts[given]) == counts[given]:
                yield _join(parts.pop(given), width)
                given += 1
    flush()
    for index in range(given, total):
        yield _join(parts[index], width)
    if neurons is not None:
        neurons.close()


def load_sae(folder: Path) -> TopK:
    """Read a TopK autoencoder in SAELens format."""
    tensors = load_file(folder / "sae_weights.safetensors")
    k = json.loads((folder / "cfg.json").read_text())["k"]
    return TopK(tensors["W_enc"], tensors["b_enc"], tensors["W_dec"], tensors["b_dec"], k)


@torch.no_grad()
def quality(sae: TopK, activations: Tensor) -> tuple[float, float]:
    """Share of variance unexplained on activations [n, d], and share of features that never fire on them."""
    error, fired = 0.0, torch.zeros(sae.w_enc.shape[1], dtype=torch.bool)
    for x in torch.split(activations, 8192):
        features = sae.encode(x.float())
        error += float((x - sae.decode(features)).double().pow(2).sum())
        fired |= (features > 0).any(0)
    total = float((activations.double() - activations.double().mean(0)).pow(2).sum())
    return error / total, float((~fired).float().mean())


def _keep_top(pre: Tensor, k: int) -> Tensor:
    values, indices = pre.topk(k, dim=-1)
    return torch.zeros_like(pre).scatter(-1, indices, values.relu())


def _join(parts: list[Tensor], width: int) -> Tensor:
    return torch.cat(parts) if parts else torch.zeros(0, width)


class _Neurons:
    """Notes what the MLPs' units are in the current forward."""

    def __init__(self, model: LlamaForCausalLM, layer: int) -> None:
        self.seen: list[Tensor] = []
        self._handles = [block.mlp.down_proj.register_forward_pre_hook(self._note) for block in model.model.layers[: layer + 1]]

    def _note(self, module: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.seen.append(inputs[0])

    def take(self) -> list[Tensor]:
        """The units of each MLP [windows, length, hidden], forgotten afterwards."""
        taken, self.seen = self.seen, []
        return taken

    def close(self) -> None:
        """Take the hooks off the model."""
        for handle in self._handles:
            handle.remove()


def _forward(
    model: LlamaForCausalLM, pieces: list[NDArray[np.uint16]], bos: int, layer: int, neurons: _Neurons | None
) -> list[Tensor]:
    """Residuals after `layer` for windows given without BOS; longer and shorter ones share a padded batch."""
    if not pieces:
        return []
    longest = max(len(p) for p in pieces) + 1
    ids = np.full((len(pieces), longest), bos, dtype=np.int64)
    segments = np.full((len(pieces), longest), -1, dtype=np.int64)
    for row, piece in enumerate(pieces):
        ids[row, 1 : len(piece) + 1] = piece
        segments[row, : len(piece) + 1] = 0
    inner = model.model
    x = torch.from_numpy(ids)
    positions = torch.arange(longest).expand(len(pieces), -1)
    hidden = inner.embed_tokens(x)
    embeddings = inner.rotary_emb(hidden, position_ids=positions)
    mask = block_mask(torch.from_numpy(segments))
    for block in inner.layers[: layer + 1]:
        out = block(hidden, attention_mask=mask, position_ids=positions, position_embeddings=embeddings)
        hidden = out[0] if isinstance(out, tuple) else out
    if neurons is not None:
        hidden = torch.cat([hidden, *neurons.take()], dim=-1)
    return [hidden[row, 1 : len(piece) + 1] for row, piece in enumerate(pieces)]
