"""The model's part of the harvest: windows in, sparse activations of all dictionaries out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from .dictionaries import Dictionary, SparseCodes, decode_at, encode_in_chunks, skip_term
from .shards import Fit, ShardWriter
from .source import excluded, padded, trained_on
from .subject import Subject
from .windows import Windows, batches

_FIT_TOKENS = 512
"""Tokens of each shard on which the variance unexplained is measured."""


@dataclass
class Clock:
    """Seconds spent, by what they were spent on."""

    forward: float = 0.0
    """The model."""
    encode: float = 0.0
    """The dictionaries."""
    parts: dict[str, float] = field(default_factory=dict)
    """Everything else that was timed."""


class ForwardPass:
    """Runs windows through the subject and its dictionaries."""

    def __init__(self, subject: Subject, dictionaries: Sequence[Dictionary], prepend_bos: bool, batch_size: int) -> None:
        self.subject, self.dictionaries, self.batch_size = subject, dictionaries, batch_size
        self.bos = subject.bos_id if prepend_bos else None
        self.hooks = sorted({d.facts.hook_in for d in dictionaries})
        self.fitted = {d.facts.name: parts for d in dictionaries if (parts := fit_parts(d, dictionaries))}
        outputs = {parts[-1].facts.hook_out for parts in self.fitted.values()}
        self.fit_hooks = sorted({*self.hooks, *outputs})
        self.offsets = np.cumsum([0, *(d.width for d in dictionaries)])
        self.clock = Clock()

    @torch.inference_mode()
    def run(self, windows: Windows, first_context: int, writer: ShardWriter, advance: Callable[[int], None]) -> dict[str, Fit]:
        """Harvest all windows of a shard into `writer`; `advance` is told the tokens of each batch."""
        fits = {name: Fit() for name in self.fitted}
        for which in batches(windows, self.batch_size):
            batch = padded(windows.rows(which), self.bos)
            fitting = any(fit.tokens < _FIT_TOKENS for fit in fits.values())
            inputs = self.capture(batch.ids, batch.flat, self.fit_hooks if fitting else self.hooks)
            context = (which + first_context).astype(np.uint32)[batch.row]
            position = batch.position.astype(np.uint16)
            ids = batch.ids.reshape(-1)[batch.flat]
            for dictionary, offset in zip(self.dictionaries, self.offsets, strict=False):
                x = inputs[dictionary.facts.hook_in]
                codes = self.encode(dictionary, x)
                codes = trained_on(codes, ids, dictionary)
                token = codes.token.cpu().numpy()
                feature = codes.feature.to(torch.int32).cpu().numpy() + np.int32(offset)
                writer.add(feature.view(np.uint32), context[token], position[token], codes.value.float().cpu().numpy())
            for name, parts in self.fitted.items() if fitting else ():
                room = _FIT_TOKENS - fits[name].tokens
                if room > 0:
                    out = excluded(ids, parts[-1])
                    rows = torch.arange(len(ids)) if out is None else torch.from_numpy(np.flatnonzero(~out))
                    some = {hook: x[rows[:room].to(x.device)] for hook, x in inputs.items()}
                    fits[name] = fits[name] + measure_fit(parts, some)
            advance(len(batch.flat))
        return fits

    def capture(self, ids: np.ndarray, flat: np.ndarray, hooks: Sequence[str] | None = None) -> dict[str, Tensor]:
        """What the dictionaries read (or the tensors at other hook points), one row for each real token."""
        start = time.perf_counter()
        captured = self.subject.capture(torch.from_numpy(ids), self.hooks if hooks is None else hooks)
        keep = torch.from_numpy(flat)
        rows = {name: tensor.flatten(0, 1)[keep.to(tensor.device)] for name, tensor in captured.items()}
        self._wait()
        self.clock.forward += time.perf_counter() - start
        return rows

    def encode(self, dictionary: Dictionary, x: Tensor) -> SparseCodes:
        """Sparse activations of some tokens."""
        start = time.perf_counter()
        codes = encode_in_chunks(dictionary, x)
        self._wait()
        self.clock.encode += time.perf_counter() - start
        return codes

    def _wait(self) -> None:
        if self.subject.device.type == "cuda":
            torch.cuda.synchronize(self.subject.device)


def measure_fit(parts: Sequence[Dictionary], tensors: Mapping[str, Tensor]) -> Fit:
    """Sums for the variance of the tensor at a hook point that is left unexplained, in float64.

    Args:
        parts: what adds up to the reconstruction there, the dictionary whose `hook_out` it is last: an autoencoder or transcoder
            by itself, or the layers of a cross-layer transcoder up to one.
        tensors: by hook point, (tokens, width), everything that the parts read and the tensor that they reconstruct.
    """
    last = parts[-1]
    hook = last.facts.hook_out
    target = last.target(tensors[hook]).double().cpu()
    reconstruction = torch.zeros_like(target)
    for part in parts:
        x = tensors[part.facts.hook_in]
        reconstruction += decode_at(part, hook, part.encode(x), x).double().cpu()
    skip = skip_term(last, tensors[last.facts.hook_in])
    if skip is not None:
        reconstruction += skip.double().cpu()
    return Fit(
        tokens=len(target),
        residual=float((target - reconstruction).square().sum()),
        square=float(target.square().sum()),
        total=target.sum(0).tolist(),
    )


def fit_parts(dictionary: Dictionary, dictionaries: Sequence[Dictionary]) -> list[Dictionary]:
    """What adds up to the tensor at the dictionary's `hook_out`, itself last; nothing if that is not all there."""
    facts = dictionary.facts
    if not facts.reconstructs:
        return []
    if not facts.whole:
        return [dictionary]
    parts = {d.facts.part: d for d in dictionaries if d.facts.whole == facts.whole}
    before = [parts[n] for n in range(facts.part + 1) if n in parts]
    return before if len(before) == facts.part + 1 else []
