"""Attention patterns and norm scales held at what they were in a clean pass, so that an edit acts only through the rest.

Recorded in a clean pass and replayed in an edited one over the same tokens. Frozen patterns still move the edited values; a
frozen norm divides by the clean scale (the mean that LayerNorm takes off stays live, it is linear).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from dragoman.store.errors import UserError
from dragoman.tools.subject import Subject

Freezable = Literal["attention", "norms"]
FREEZABLE: tuple[Freezable, ...] = ("attention", "norms")

_NAME = "dragoman_frozen"
_ARGUMENT = "_dragoman_tape"


@dataclass
class Tape:
    """What a clean pass computed."""

    what: tuple[Freezable, ...]
    """What is held."""
    patterns: dict[int, Float[Tensor, "batch heads query key"]] = field(default_factory=dict)
    """Attention pattern of each layer."""
    scales: dict[str, Float[Tensor, "batch position 1"]] = field(default_factory=dict)
    """1 / scale of each norm on the residual stream, by the name of its module."""
    replaying: bool = False
    """Whether it is being replayed instead of recorded."""


def check(what: Sequence[str]) -> tuple[Freezable, ...]:
    """Raises `UserError` for something that cannot be frozen."""
    for name in what:
        if name not in FREEZABLE:
            raise UserError(f"{name!r} cannot be frozen: choose from {', '.join(FREEZABLE)}.")
    return tuple(name for name in FREEZABLE if name in what)


@contextmanager
def taped(subject: Subject, tape: Tape) -> Iterator[None]:
    """Inside, forward passes are recorded on the tape, or follow it where `replaying` is set."""
    handles = _norm_hooks(subject, tape) if "norms" in tape.what else []
    config = subject.text_config
    implementation = config._attn_implementation
    attentions = [block.get_submodule(subject.family.attention) for block in subject.blocks]
    try:
        if "attention" in tape.what:
            _register()
            config._attn_implementation = _NAME
            for number, module in enumerate(attentions):
                module.__dict__[_ARGUMENT] = (tape, number)
        yield
    finally:
        config._attn_implementation = implementation
        for module in attentions:
            module.__dict__.pop(_ARGUMENT, None)
        for handle in handles:
            handle.remove()


def _norm_hooks(subject: Subject, tape: Tape) -> list[Any]:
    centred = subject.family.norm == "layer"

    def install(name: str, norm: nn.Module) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
            x = args[0].float()
            x = x - x.mean(-1, keepdim=True) if centred else x
            if not tape.replaying:
                epsilon = next(float(getattr(module, n)) for n in ("variance_epsilon", "eps") if hasattr(module, n))
                tape.scales[name] = (x.pow(2).mean(-1, keepdim=True) + epsilon).rsqrt()
                return None
            weight: Any = module.weight
            weight = weight.float() + 1 if subject.family.norm == "rms_plus_one" else weight.float()
            bias: Any = getattr(module, "bias", None)
            out: Tensor = x * tape.scales[name] * weight + (0 if bias is None else bias)
            return out.to(output.dtype)

        return norm.register_forward_hook(hook)

    inside = f".{subject.family.attention}."  # norms of queries and keys belong to the patterns
    return [
        install(name, module)
        for name, module in subject.decoder.named_modules()
        if "norm" in type(module).__name__.lower() and hasattr(module, "weight") and inside not in f".{name}."
    ]


def _register() -> None:
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(_NAME, _attention)  # type: ignore[no-untyped-call]
    ALL_MASK_ATTENTION_FUNCTIONS.register(_NAME, ALL_MASK_ATTENTION_FUNCTIONS["eager"])  # type: ignore[no-untyped-call]


def _attention(
    module: nn.Module,
    query: Float[Tensor, "batch heads query d_head"],
    key: Float[Tensor, "batch groups key d_head"],
    value: Float[Tensor, "batch groups key d_head"],
    attention_mask: Float[Tensor, "batch 1 query key"] | None,
    scaling: float | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Float[Tensor, "batch query heads d_head"], Tensor]:
    """Attention written out, recording its pattern or taking the recorded one."""
    tape, layer = module.__dict__[_ARGUMENT]
    share = query.shape[1] // key.shape[1]
    value = value.repeat_interleave(share, dim=1)
    if tape.replaying:
        pattern = tape.patterns[layer]
    else:
        scores = query @ key.repeat_interleave(share, dim=1).transpose(-1, -2)
        scores = scores * (query.shape[-1] ** -0.5 if scaling is None else scaling)
        if softcap is not None:
            scores = softcap * torch.tanh(scores / softcap)
        if attention_mask is not None:
            scores = scores + attention_mask
        tape.patterns[layer] = pattern = torch.softmax(scores.float(), dim=-1).to(value.dtype)
    return (pattern @ value).transpose(1, 2).contiguous(), pattern
