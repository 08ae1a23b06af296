"""The model's part of the harvest: windows in, sparse activations of all dictionaries out.

On a CPU several batches are worked on side by side, each by a thread that computes alone (at most `_LANES`; where there are more
cores they are divided among the threads): a small model leaves cores idle when all of them work on one batch.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from .dictionaries import Dictionary, SparseCodes, decode_at, encode_in_chunks, skip_term
from .shards import Fit, Shard
from .source import Batch, excluded, padded, trained_on
from .subject import Subject
from .windows import batches

_FIT_TOKENS = 512
"""Tokens of each shard on which the variance unexplained is measured."""
_LANES = 4

_Read = Callable[[Tensor], dict[str, Tensor]]


@dataclass
class Clock:
    """Seconds spent, by what they were spent on. Of threads that work side by side each counts for its share."""

    forward: float = 0.0
    """The model."""
    encode: float = 0.0
    """The dictionaries."""
    parts: dict[str, float] = field(default_factory=dict)
    """Everything else that was timed."""


class Found(NamedTuple):
    """What a batch gave."""

    shard: Shard
    """Where its windows are from."""
    tokens: int
    """Its tokens."""
    activations: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]
    """Of each dictionary: global feature id, split, token counted over the corpus, value."""
    fits: dict[str, Fit]
    """By the names of the dictionaries that reconstruct something; empty but in the first batches of a shard."""


class Reader(Protocol):
    """Finds the activations on the windows of shards."""

    @property
    def width(self) -> int:
        """Features of all dictionaries together."""
        ...

    def run(self, shards: Iterable[Shard]) -> Generator[Found]:
        """Batch after batch; what comes out has the order of what goes in."""
        ...

    def activations_a_token(self, windows: Sequence[np.ndarray]) -> float:
        """Activations of all dictionaries on some windows, by their tokens."""
        ...


class _Job(NamedTuple):
    shard: Shard
    which: np.ndarray
    """Its windows."""
    fit: int
    """So many of its tokens are used for the variance unexplained."""


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
        self._lanes = 1
        self._lock = threading.Lock()

    @property
    def width(self) -> int:
        """Features of all dictionaries together."""
        return int(self.offsets[-1])

    def run(self, shards: Iterable[Shard]) -> Generator[Found]:
        """Harvest the windows of shards, batch after batch; what comes out has the order of what goes in."""
        with ExitStack() as stack:
            lanes = stack.enter_context(self._side_by_side())
            read = read_fit = stack.enter_context(self.subject.reading(self.hooks))
            if self.fit_hooks != self.hooks:
                read_fit = stack.enter_context(self.subject.reading(self.fit_hooks))
            pool = stack.enter_context(ThreadPoolExecutor(lanes, "forward"))
            stack.callback(pool.shutdown, cancel_futures=True)
            waiting: deque[Future[Found]] = deque()
            for job in self._jobs(shards):
                waiting.append(pool.submit(self._harvest, job, read_fit if job.fit else read))
                if len(waiting) > 2 * lanes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _jobs(self, shards: Iterable[Shard]) -> Iterator[_Job]:
        """The batches of each shard; one without windows where it has none."""
        for shard in shards:
            room = _FIT_TOKENS if self.fitted else 0
            for which in batches(shard.windows, self.batch_size) or [np.zeros(0, np.int64)]:
                tokens = int(shard.windows.lengths[which].sum())
                yield _Job(shard, which, min(room, tokens))
                room -= min(room, tokens)

    @torch.inference_mode()
    def _harvest(self, job: _Job, read: _Read) -> Found:
        shard, which = job.shard, job.which
        batch = padded(shard.windows.rows(which), self.bos)
        found = Found(shard, len(batch.flat), [], {})
        if not found.tokens:
            return found
        inputs = self._capture(batch, read)
        split = shard.splits[which][batch.row]
        place = shard.windows.bounds[which][batch.row] + batch.position + shard.first_token
        ids = batch.ids.reshape(-1)[batch.flat]
        for dictionary, offset in zip(self.dictionaries, self.offsets, strict=False):
            codes = trained_on(self.encode(dictionary, inputs[dictionary.facts.hook_in]), ids, dictionary)
            token = codes.token.cpu().numpy()
            feature = codes.feature.to(torch.int32).cpu().numpy() + np.int32(offset)
            found.activations.append((feature, split[token], place[token], codes.value.float().cpu().numpy()))
        for name, parts in self.fitted.items() if job.fit else ():
            out = excluded(ids, parts[-1])
            rows = torch.arange(len(ids)) if out is None else torch.from_numpy(np.flatnonzero(~out))
            found.fits[name] = measure_fit(parts, {hook: x[rows[: job.fit].to(x.device)] for hook, x in inputs.items()})
        return found

    def activations_a_token(self, windows: Sequence[np.ndarray]) -> float:
        """Activations of all dictionaries on some windows, by their tokens."""
        batch = padded(windows, self.bos)
        if not len(batch.flat):
            return 0.0
        with self.subject.reading(self.hooks) as read, torch.inference_mode():
            inputs = self._capture(batch, read)
            return sum(len(self.encode(d, inputs[d.facts.hook_in]).value) for d in self.dictionaries) / len(batch.flat)

    def _capture(self, batch: Batch, read: _Read) -> dict[str, Tensor]:
        """The tensors at the hook points, one row for each real token."""
        start = time.perf_counter()
        captured = read(torch.from_numpy(batch.ids))
        keep = torch.from_numpy(batch.flat)
        rows = {name: tensor.flatten(0, 1)[keep.to(tensor.device)] for name, tensor in captured.items()}
        self._wait()
        with self._lock:
            self.clock.forward += (time.perf_counter() - start) / self._lanes
        return rows

    def encode(self, dictionary: Dictionary, x: Tensor) -> SparseCodes:
        """Sparse activations of some tokens."""
        start = time.perf_counter()
        codes = encode_in_chunks(dictionary, x)
        self._wait()
        with self._lock:
            self.clock.encode += (time.perf_counter() - start) / self._lanes
        return codes

    @contextmanager
    def _side_by_side(self) -> Iterator[int]:
        """Inside, new threads compute on their share of the cores; the number of threads to use."""
        threads = torch.get_num_threads()
        rope = json.dumps(getattr(self.subject.text_config, "rope_parameters", None), default=str)
        alone = self.subject.device.type != "cpu" or "dynamic" in rope or "longrope" in rope  # these change with their input
        self._lanes = 1 if alone else min(threads, _LANES)
        torch.set_num_threads(threads // self._lanes)
        try:
            yield self._lanes
        finally:
            torch.set_num_threads(threads)
            self._lanes = 1

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
