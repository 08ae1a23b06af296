"""The model's part of the harvest: windows in, sparse activations of all dictionaries out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from .dictionaries import Dictionary, SparseCodes, encode_in_chunks
from .shards import Fit, ShardWriter
from .source import padded
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
        self.offsets = np.cumsum([0, *(d.width for d in dictionaries)])
        self.clock = Clock()

    @torch.inference_mode()
    def run(self, windows: Windows, first_context: int, writer: ShardWriter, advance: Callable[[int], None]) -> dict[str, Fit]:
        """Harvest all windows of a shard into `writer`; `advance` is told the tokens of each batch."""
        fits = {d.facts.name: Fit() for d in self.dictionaries if d.facts.reconstructs}
        for which in batches(windows, self.batch_size):
            batch = padded(windows.rows(which), self.bos)
            inputs = self.capture(batch.ids, batch.flat)
            context = (which + first_context).astype(np.uint32)[batch.row]
            position = batch.position.astype(np.uint16)
            for dictionary, offset in zip(self.dictionaries, self.offsets, strict=False):
                x = inputs[dictionary.facts.hook_in]
                codes = self.encode(dictionary, x)
                token = codes.token.cpu().numpy()
                feature = codes.feature.to(torch.int32).cpu().numpy() + np.int32(offset)
                writer.add(feature.view(np.uint32), context[token], position[token], codes.value.float().cpu().numpy())
                fit = fits.get(dictionary.facts.name)
                if fit is not None and fit.tokens < _FIT_TOKENS:
                    fits[dictionary.facts.name] = fit + measure_fit(dictionary, x[: _FIT_TOKENS - fit.tokens])
            advance(len(batch.flat))
        return fits

    def capture(self, ids: np.ndarray, flat: np.ndarray) -> dict[str, Tensor]:
        """What the dictionaries read, one row for each real token."""
        start = time.perf_counter()
        captured = self.subject.capture(torch.from_numpy(ids), self.hooks)
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


def measure_fit(dictionary: Dictionary, x: Tensor) -> Fit:
    """Sums for the variance unexplained on some tokens, in float64. x: (tokens, d_in)."""
    reconstruction = dictionary.decode(dictionary.encode(x), x).double().cpu()
    target = dictionary.target(x).double().cpu()
    return Fit(
        tokens=len(x),
        residual=float((target - reconstruction).square().sum()),
        square=float(target.square().sum()),
        total=target.sum(0).tolist(),
    )
