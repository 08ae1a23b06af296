"""The start of the model's training: weights from which copying is a short way, and rows to practise it on.

Left to itself, a model of this size forms induction heads only after more tokens than a rebuild in a quarter of an hour affords
(none in 7 million). So two heads of the first block start by looking at the previous token, two heads of the second block start
by looking for a token whose previous token is the present one, and what they find is written where the output table starts to
read it. All weights are trained from there on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import LlamaForCausalLM

HEAD = 32
"""Units of an attention head."""
SLOW = 7
"""The first pair of a head's rotary pairs that turns slowly enough to compare contents at a distance."""


@torch.no_grad()
def wire(model: LlamaForCausalLM, heads: int, *, scale: float = 0.2, look: float = 0.8, match: float = 1.6) -> None:
    """Set the first `heads` heads of the first two blocks, the embeddings and the output table so that copying is at hand.

    The embeddings get a direction that all share, without which Llama's heads, having no biases, cannot attend by position.
    """
    width, units = model.config.hidden_size, heads * HEAD
    shared = torch.nn.functional.normalize(torch.randn(width), dim=0)
    embeddings: Tensor = model.model.embed_tokens.weight
    embeddings.normal_(0, scale)
    embeddings.sub_((embeddings @ shared)[:, None] * shared).add_(shared * scale * width**0.5)
    first, second = model.model.layers[0].self_attn, model.model.layers[1].self_attn

    rotary: Any = model.config.rope_parameters
    turn = rotary["rope_theta"] ** (-torch.arange(HEAD // 2) / (HEAD // 2))
    key = look * torch.cat([torch.ones(HEAD // 2), torch.zeros(HEAD // 2)])
    query = look * torch.cat([turn.cos(), -turn.sin()])
    read, write = _orthonormal(width, units, shared), _orthonormal(width, units)
    first.v_proj.weight[:units] = read.T
    first.o_proj.weight[:, :units] = write / 2
    slow = torch.tensor([unit for unit in range(HEAD) if unit % (HEAD // 2) >= SLOW])
    for head in range(heads):
        rows = slice(head * HEAD, (head + 1) * HEAD)
        first.q_proj.weight[rows] = query[:, None] * shared
        first.k_proj.weight[rows] = key[:, None] * shared
        second.q_proj.weight[rows] = 0
        second.k_proj.weight[rows] = 0
        second.q_proj.weight[head * HEAD + slow] = match * read.T[head * HEAD + slow]
        second.k_proj.weight[head * HEAD + slow] = match * write.T[head * HEAD + slow]
    found, said = _orthonormal(width, units, shared), _orthonormal(width, units)
    second.v_proj.weight[:units] = found.T
    second.o_proj.weight[:, :units] = said
    model.lm_head.weight.copy_(0.3 * embeddings @ found @ said.T)


def echoes(vocabulary: int, special: int, tokens: int, length: int, rng: np.random.Generator) -> list[NDArray[np.uint16]]:
    """Documents of `length` tokens, `tokens` in all: 4 to 23 random tokens, none of the `special` first ones, over and over."""
    made = []
    for _ in range(-(-tokens // length)):
        items = rng.choice(np.arange(special, vocabulary), int(rng.integers(4, 24)), replace=False)
        made.append(np.tile(items, length // len(items) + 1)[:length].astype(np.uint16))
    return made


def _orthonormal(width: int, count: int, without: Tensor | None = None) -> Tensor:
    """Random orthonormal columns [width, count], all orthogonal to `without` [width]."""
    if without is None:
        plain: Tensor = torch.linalg.qr(torch.randn(width, count))[0]
        return plain
    columns: Tensor = torch.linalg.qr(torch.cat([without[:, None], torch.randn(width, count)], dim=1))[0]
    return columns[:, 1:]
