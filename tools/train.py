"""Training of dictionaries: text through a model, its activations into one or several dictionaries, in one streaming pass.

1. The run is described and hashed; an unfinished run with the same hash goes on from its last checkpoint, any other is refused.
2. Activations come in shuffled blocks (`training/stream.py`); every batch is a step of every dictionary (`training/learner.py`).
3. Log lines are written at fixed steps, and checkpoints at some of these.
4. The dictionaries are folded into raw units and saved; `training.json` comes last.

A checkpoint holds weights, optimizer state and the place in the stream. What the stream gives next follows from the place, the
text and the seed, so a run that was killed and went on ends with the same weights, bit for bit, as one that was not (with the
same number of threads on the same machine).
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dragoman.store.disk import disk_errors
from dragoman.store.errors import UserError
from dragoman.store.locking import write_lock

from .documents import Corpus
from .fingerprint import files_hash
from .subject import Subject
from .training import checkpoint
from .training.checkpoint import PLAN, Checkpoint
from .training.learner import Learner
from .training.log import LOG, Logged, Tally, TrainingLog
from .training.optimizer import Optimizer
from .training.plan import Job, jobs
from .training.save import save
from .training.settings import Settings
from .training.stream import ActivationStream, Place, Reading, Scale, Texts

log = logging.getLogger(__name__)

_LINES = 200
"""Lines of a log."""
_WRITTEN = ("*.safetensors", "*.partial", "cfg.json", "config.yaml", LOG, "training.html")
"""What a run leaves in its folders, besides its plan."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A dictionary that was trained."""

    folder: Path
    """Where it lies, with its log."""
    hooks: tuple[str, ...]
    """Hook points it reads."""
    last: Logged
    """The last line of its log."""


def train(
    out: Path | str,
    model: str | Path | Subject,
    text: str | Path | Texts,
    hooks: Sequence[str],
    settings: Settings | None = None,
    *,
    window: int | None = None,
    prepend_bos: bool | None = None,
    block_tokens: int | None = None,
    separator: str | None = None,
    text_field: str = "text",
    device: str | None = None,
    dtype: str | None = None,
    model_name: str | None = None,
    fresh: bool = False,
    checkpoint_seconds: float = 120.0,
    progress: Callable[[Sequence[Logged]], None] = lambda lines: None,
) -> list[Trained]:
    """Train dictionaries, or go on with an interrupted run; the same call does both.

    Args:
        out: folder of the dictionary; where several hook points are given, holds a folder for each.
        model: folder or hub id of a causal LM, or a loaded Subject.
        text: file, folder, dataset name (see `documents`), or documents that can be read again and again.
        hooks: hook points that are read, a dictionary for each; none for a cross-layer transcoder, which reads every MLP.
        settings: architecture, size and schedule.
        window: tokens of a window, BOS not counted; by default what fits 128 with BOS.
        prepend_bos: whether BOS stands before every window; by default the tokenizer's habit.
        block_tokens: tokens that are held and shuffled together; by default 262,144, and at least one batch.
        separator, text_field: as for `harvest`.
        device, dtype: as for `Subject.load`.
        model_name: how the files name the model; by default as `model` does.
        fresh: throw away what is in `out` from another run of this command.
        checkpoint_seconds: time between checkpoints; they change nothing about the result.
        progress: told each line of the logs, one of every dictionary.

    Raises:
        UserError: anything that the user can mend.
    """
    out, settings = Path(out), settings or Settings()
    subject = model if isinstance(model, Subject) else Subject.load(model, device, dtype)
    subject.name = model_name or subject.name
    work = jobs(subject, hooks, settings)
    texts = Corpus(str(text), separator, text_field) if isinstance(text, (str, Path)) else text
    reading = _reading(subject, work, settings, window, prepend_bos, block_tokens)
    described = _describe(subject, texts, work, settings, reading)
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
    with write_lock(out), disk_errors("training", out):
        if fresh:
            _clear(out)
        done = _begun(out, digest, described)
        if not done:
            _Run(out, subject, texts, work, settings, reading, checkpoint_seconds, progress).finish()
    return [Trained(out / job.folder, job.shape.inputs, TrainingLog(out / job.folder / LOG).last) for job in work]


class _Run:
    """A run in progress."""

    def __init__(
        self,
        out: Path,
        subject: Subject,
        texts: Texts,
        work: Sequence[Job],
        settings: Settings,
        reading: Reading,
        checkpoint_seconds: float,
        progress: Callable[[Sequence[Logged]], None],
    ) -> None:
        self.out, self.work, self.settings = out, work, settings
        self.reading, self.subject = reading, subject
        self.checkpoint_seconds, self.progress = checkpoint_seconds, progress
        self.optimizers = [Optimizer(Learner(job.shape, settings, subject.device)) for job in work]
        self.step, self.seconds = 0, 0.0
        place, scales = None, None
        found = checkpoint.read(out, subject.device)
        if found is not None:
            self.step, self.seconds = found.facts["step"], found.facts["seconds"]
            place = Place(*found.facts["place"])
            scales = {hook: Scale(found.tensors[f"centre.{hook}"], factor) for hook, factor in found.facts["factors"].items()}
            for number, optimizer in enumerate(self.optimizers):
                optimizer.restore(checkpoint.under(found.tensors, f"{number}."))
        self.stream = ActivationStream(
            subject, texts, reading, batch=settings.batch, seed=settings.seed, place=place, scales=scales
        )
        self.logs = [TrainingLog(out / job.folder / LOG, self.step) for job in work]

    def finish(self) -> None:
        """All steps that are left, then the files."""
        settings = self.settings
        every = max(1, settings.steps // _LINES)
        began, saved = time.monotonic() - self.seconds, time.monotonic()
        tallies = [Tally() for _ in self.work]
        batches = iter(self.stream)
        while self.step < settings.steps:
            batch = next(batches)
            for job, optimizer, tally in zip(self.work, self.optimizers, tallies, strict=True):
                x = [batch[hook] for hook in job.shape.inputs]
                tally.add(optimizer.step(x, [batch[hook] for hook in job.shape.outputs], self.step))
            self.step += 1
            if self.step % every == 0 or self.step == settings.steps:
                self.seconds = time.monotonic() - began
                lines = [
                    t.line(self.step, settings, o.learner, self.seconds) for t, o in zip(tallies, self.optimizers, strict=True)
                ]
                for log_, line in zip(self.logs, lines, strict=True):
                    if not math.isfinite(line.loss):
                        raise UserError(
                            f"Training diverged before step {self.step}: the loss is not a number. Lower --rate (it was "
                            f"{settings.peak_rate:.2g}) and begin again with --fresh."
                        )
                    log_.add(line)
                self.progress(lines)
                if time.monotonic() - saved >= self.checkpoint_seconds and self.step < settings.steps:
                    self._save_state()
                    saved = time.monotonic()
        for job, optimizer in zip(self.work, self.optimizers, strict=True):
            save(self.out / job.folder, optimizer.learner, self.stream.scales, self.subject, self.reading)
        checkpoint.write_json(self.out / PLAN, {**json.loads((self.out / PLAN).read_text()), "done": True})
        (self.out / checkpoint.FILE).unlink(missing_ok=True)

    def _save_state(self) -> None:
        scales = self.stream.scales
        tensors = {f"centre.{hook}": scale.centre for hook, scale in scales.items()}
        for number, optimizer in enumerate(self.optimizers):
            tensors |= {f"{number}.{name}": tensor for name, tensor in optimizer.state().items()}
        facts = {
            "step": self.step,
            "seconds": self.seconds,
            "place": list(self.stream.place),
            "factors": {hook: scale.factor for hook, scale in scales.items()},
        }
        checkpoint.write(self.out, Checkpoint(facts, tensors))


# What decides about the result


def _reading(
    subject: Subject,
    work: Sequence[Job],
    settings: Settings,
    window: int | None,
    prepend_bos: bool | None,
    block_tokens: int | None,
) -> Reading:
    prepend = subject.prepends_bos if prepend_bos is None else prepend_bos
    if prepend and subject.bos_id is None:
        raise UserError(f"The tokenizer of {subject.name} has no BOS token: leave BOS out.")
    longest = subject.max_positions - prepend
    if window is not None and not 1 <= window <= longest:
        raise UserError(f"A window of {window} tokens is not possible: {subject.name} takes 1 to {longest}.")
    block = block_tokens if block_tokens is not None else max(1 << 18, settings.batch)
    if block < settings.batch:
        raise UserError(f"A block of {block} tokens is smaller than a batch of {settings.batch}: raise it or lower --batch.")
    hooks = tuple(dict.fromkeys(hook for job in work for hook in job.shape.hooks))
    return Reading(hooks, window or min(128 - prepend, longest), prepend, block)


def _describe(subject: Subject, texts: Texts, work: Sequence[Job], settings: Settings, reading: Reading) -> dict[str, Any]:
    """Everything that decides about the result, as JSON; text that is no file counts by its `place`, if it has one."""
    files = getattr(texts, "files", None)
    return {
        "format": 1,
        "model_hash": subject.info.weights_hash,
        "tokenizer_hash": subject.info.tokenizer_hash,
        "device": subject.device.type,
        "dtype": str(subject.dtype).removeprefix("torch."),
        "text": str(getattr(texts, "place", "")),
        "text_hash": files_hash(files) if files else None,
        "separator": getattr(texts, "separator", None),
        "text_field": getattr(texts, "text_field", None),
        "hooks": [[*job.shape.inputs, *job.shape.outputs] for job in work],
        "settings": asdict(settings),
        "reading": asdict(reading),
    }


def _begun(out: Path, digest: str, described: dict[str, Any]) -> bool:
    """Whether the run is finished; writes down what a new one is.

    Raises:
        UserError: the folder holds another run, or something else.
    """
    file = out / PLAN
    if not file.exists():
        others = sorted(f.name for f in out.iterdir() if not f.name.startswith("."))
        if others:
            raise UserError(f"{out} holds {others[0]} and no training run: give a new folder.")
        checkpoint.write_json(file, {"hash": digest, "done": False, "plan": described})
        return False
    begun = json.loads(file.read_text())
    if begun["hash"] != digest:
        old, new = begun["plan"], json.loads(json.dumps(described))
        changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        raise UserError(
            f"{out} holds a training run with another {' and '.join(changed)}: use the same settings to go on, another folder, "
            "or --fresh to throw it away."
        )
    return bool(begun["done"])


def _clear(out: Path) -> None:
    """Delete what a run of ours wrote; a folder that holds none is not touched."""
    plan = out / PLAN
    if not plan.exists():
        return
    plan_hooks = json.loads(plan.read_text())["plan"]["hooks"]
    for folder in (out, *(out / hooks[0] for hooks in plan_hooks)):
        for pattern in _WRITTEN:
            for file in folder.glob(pattern):
                file.unlink()
        if folder != out and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    plan.unlink()
