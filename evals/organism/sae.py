"""The organism's dictionary: a TopK sparse autoencoder on the residual stream after the third block."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import embedding, embedding_bag
from transformers import LlamaForCausalLM

from dragoman.evals.organism.tokens import CONTEXT, windows
from dragoman.evals.organism.train import block_mask

LAYER = 2
"""Block, counted from zero, after which the dictionary reads the residual stream."""


@dataclass(frozen=True, slots=True)
class SAESettings:
    """Size of the dictionary and how long it is trained."""

    features: int = 1536
    """Width of the dictionary."""
    k: int = 16
    """Features active at a token."""
    steps: int = 7000
    """Optimizer steps."""
    batch: int = 1024
    """Tokens in a step."""
    rate: float = 5e-3
    """Peak learning rate of Adam, falling linearly over the last 40 percent."""
    auxiliary: float = 1 / 32
    """Weight of the loss that lets dead features explain what is left over."""
    auxiliary_k: int = 64
    """Dead features used for it at a token."""
    dead_after: int = 100_000
    """Tokens without firing after which a feature counts as dead in training."""


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


@dataclass(frozen=True, slots=True)
class SAEPoint:
    """How far training has come."""

    step: int
    """Optimizer steps taken."""
    unexplained: float
    """Variance unexplained on the last batches."""
    dead: int
    """Features that have not fired for a while."""
    seconds: float
    """Since training began."""


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


def train_sae(
    activations: Tensor,
    settings: SAESettings,
    *,
    seed: int,
    progress: Callable[[SAEPoint], None] = lambda point: None,
) -> TopK:
    """Train on activations [n, d] held in memory and return the dictionary in raw units.

    Inputs are centred on the mean and scaled to a mean squared norm of d for training; both are folded into the result, so that
    it reads raw activations. The same activations, settings and seed give the same dictionary.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    count, d = activations.shape
    centre = activations.float().mean(0)
    scale = float((d / (activations[:200_000].float() - centre).pow(2).sum(1).mean()).sqrt())
    decoder = torch.nn.functional.normalize(torch.randn(settings.features, d), dim=1)
    encoder, bias, b_dec = decoder.clone(), torch.zeros(settings.features), torch.zeros(d)
    parameters = [encoder, bias, decoder, b_dec]
    for p in parameters:
        p.requires_grad_(True)
    optimizer = torch.optim.Adam(parameters, lr=settings.rate, betas=(0.9, 0.999), fused=True)
    silent = torch.zeros(settings.features, dtype=torch.long)
    began = time.monotonic()
    recent: list[float] = []
    for step in range(settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = settings.rate * _schedule(step, settings.steps)
        chosen = torch.from_numpy(rng.integers(0, count, settings.batch))
        x = (activations[chosen].float() - centre) * scale
        h = x - b_dec
        # Only the k features that are kept have gradients: pick them first, then compute them again by themselves.
        with torch.no_grad():
            kept = (h @ encoder.T + bias).topk(settings.k, dim=-1).indices
        values = ((embedding(kept, encoder) * h[:, None]).sum(-1) + bias[kept]).relu()
        error = h - embedding_bag(kept, decoder, per_sample_weights=values, mode="sum")
        loss = error.pow(2).sum(1).mean() / d
        recent.append(float(loss.detach() / x.pow(2).mean()))
        fired = torch.zeros(settings.features, dtype=torch.bool)
        fired[kept[values > 0]] = True
        silent = torch.where(fired, 0, silent + settings.batch)
        dead = silent > settings.dead_after
        if bool(dead.any()):
            pre = h.detach() @ encoder[dead].T + bias[dead]
            loss = loss + settings.auxiliary * _auxiliary_loss(pre, decoder[dead], error.detach(), settings.auxiliary_k)
        torch.autograd.backward(loss)
        assert decoder.grad is not None
        with torch.no_grad():
            decoder.grad -= (decoder.grad * decoder).sum(1, keepdim=True) * decoder
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            decoder /= decoder.norm(dim=1, keepdim=True)
        if (step + 1) % 100 == 0 or step + 1 == settings.steps:
            progress(SAEPoint(step + 1, float(np.mean(recent)), int(dead.sum()), time.monotonic() - began))
            recent = []
    encoder, bias, decoder, b_dec = (p.detach().clone() for p in parameters)
    return TopK(encoder.T.contiguous(), bias / scale, decoder, b_dec / scale + centre, settings.k)


def save_sae(sae: TopK, folder: Path, *, model_name: str = "dragoman-organism", layer: int = LAYER) -> None:
    """Write `cfg.json` and `sae_weights.safetensors` as SAELens 6 does; nothing but the two files is needed to use them."""
    folder.mkdir(parents=True, exist_ok=True)
    d, features = sae.w_enc.shape
    configuration = {
        "d_in": d,
        "d_sae": features,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {
            "sae_lens_version": "6.54.12",
            "model_name": model_name,
            "hook_name": f"blocks.{layer}.hook_resid_post",
            "hook_head_index": None,
            "prepend_bos": True,
            "context_size": CONTEXT,
            "exclude_special_tokens": True,
        },
        "k": sae.k,
        "rescale_acts_by_decoder_norm": False,
        "architecture": "topk",
    }
    (folder / "cfg.json").write_text(json.dumps(configuration, indent=2) + "\n")
    tensors = {"W_enc": sae.w_enc, "b_enc": sae.b_enc, "W_dec": sae.w_dec, "b_dec": sae.b_dec}
    save_file({k: v.float().contiguous() for k, v in tensors.items()}, folder / "sae_weights.safetensors")


def load_sae(folder: Path) -> TopK:
    """Read what `save_sae` wrote."""
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


def _auxiliary_loss(pre: Tensor, w_dec: Tensor, error: Tensor, k: int) -> Tensor:
    """How badly the dead features alone explain the error [n, d], relative to its size."""
    features = _keep_top(pre, min(k, pre.shape[1]))
    left = (error - features @ w_dec).pow(2).sum(1).mean()
    return left / error.pow(2).sum(1).mean().clamp_min(1e-8)


def _schedule(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / min(100, steps), (steps - step) / (0.4 * steps))


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
