"""Builds the whole organism from a seed: corpus, tokenizer, model, dictionary, and what can be said about them."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from dragoman.evals.organism import competence, truth
from dragoman.evals.organism.compact import CompactPoint, CompactSettings, make_compact
from dragoman.evals.organism.corpus import document, generate
from dragoman.evals.organism.document import Document
from dragoman.evals.organism.load import OrganismPaths, organism_paths
from dragoman.evals.organism.sae import LAYER, TopK, load_sae
from dragoman.evals.organism.tokenizer import load_tokenizer, train_tokenizer
from dragoman.evals.organism.tokens import CONTEXT
from dragoman.evals.organism.train import ModelSettings, TrainingPoint, load_model, random_weights, save_model, train_model
from dragoman.store.locking import LOCK_FILE
from dragoman.tools import documents, train
from dragoman.tools.subject import Subject
from dragoman.tools.training.log import Logged
from dragoman.tools.training.settings import Settings

SAE = Settings("topk", features=1536, k=16, tokens=7000 * 1024, batch=1024, rate=5e-3, dead_after=100_000)
"""The shipped dictionary of the residual stream."""
TRANSCODERS = Settings("transcoder", features=768, k=16, tokens=4000 * 1024, batch=1024, rate=5e-3, dead_after=100_000)
"""The shipped transcoders, one a layer."""
CROSS_LAYER = replace(TRANSCODERS, architecture="cross-layer", features=512)
"""The shipped cross-layer transcoder."""


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """Everything that decides what is built, besides the seed."""

    model: ModelSettings = field(default_factory=ModelSettings)
    """The language model and its training."""
    compact: CompactSettings = field(default_factory=CompactSettings)
    """The last part of its training, together with a dictionary."""
    sae: Settings = SAE
    """The dictionary of the residual stream and its training."""
    transcoders: Settings = TRANSCODERS
    """The transcoders and their training."""
    cross_layer: Settings = CROSS_LAYER
    """The cross-layer transcoder and its training."""
    vocabulary: int = 2048
    """Entries of the tokenizer."""
    tokenizer_documents: int = 20_000
    """Training documents that the tokenizer learns from."""
    sae_documents: int = 6_000
    """Training documents, other than the model's, whose activations the dictionaries learn from."""
    test_documents: int = 3_000
    """Held-out documents for competence and truth; 0 measures neither."""
    threads: int = 1
    """Processor threads; results are the same only for the same number."""


@dataclass(frozen=True, slots=True)
class Built:
    """What a build made."""

    paths: OrganismPaths
    """Where model and dictionary were written."""
    competence: tuple[competence.Competence, ...]
    """What the model can do; empty when it was not measured."""
    truth: truth.TruthReport | None
    """What the features stand for; None when it was not measured."""
    seconds: float
    """How long it took."""


# Streams of documents that never meet: the corpus gives other documents for every seed.
_MODEL, _TOKENIZER, _DICTIONARY, _TEST = range(4)
# Documents of the model's stream from this number on are left for the last part of its training.
_UNREAD = 1_000_000
# All of the dictionary's text, so that the model reads it once.
_AT_ONCE = 1 << 22


def build(out: Path, seed: int = 0, settings: BuildSettings | None = None, *, progress: Callable[[str], None] = print) -> Built:
    """Write `model/`, `sae/`, `transcoders/`, `cross_layer/`, `competence.json` and `truth.json` to `out`.

    The same seed and settings on the same machine give the same files, but for the times in the training logs. The default
    settings take about 40 minutes on one core.
    """
    settings = settings or BuildSettings()
    began = time.monotonic()
    torch.set_num_threads(settings.threads)
    paths = organism_paths(out)
    progress(f"tokenizer: {settings.vocabulary} entries from {settings.tokenizer_documents} documents")
    tokenizer = train_tokenizer((d.text for d in _documents(seed, _TOKENIZER, settings.tokenizer_documents)), settings.vocabulary)
    progress(f"model: {settings.model.tokens} tokens")
    trained = train_model(
        _documents(seed, _MODEL, 10**9), tokenizer, settings.model, seed=seed, progress=lambda point: progress(_model_line(point))
    )
    save_model(trained, tokenizer, paths.model)
    count = settings.sae_documents
    if settings.compact.tokens:
        compact_model(paths, settings, seed=seed, progress=progress)
    model = load_model(paths.model)
    train_dictionary(paths, settings.sae, count=count, seed=seed, progress=progress)
    train_transcoders(paths, settings.transcoders, settings.cross_layer, count=count, seed=seed, progress=progress)
    sae = load_sae(paths.sae)
    rows: list[competence.Competence] = []
    report = None
    if settings.test_documents:
        tests = list(generate(_stream(seed, _TEST), settings.test_documents, split="held_out"))
        rows = competence.measure(model, tokenizer, tests)
        (out / "competence.json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
        report = truth.measure(model, tokenizer, sae, tests, progress=progress)
        truth.save_report(report, out / "truth.json")
    return Built(paths, tuple(rows), report, time.monotonic() - began)


def compact_model(paths: OrganismPaths, settings: BuildSettings, *, seed: int, progress: Callable[[str], None] = print) -> None:
    """The last part of the model's training, from the weights in its folder, in whose place it writes the new ones."""
    with TemporaryDirectory() as folder:
        beside = replace(paths, sae=Path(folder))
        train_dictionary(beside, settings.sae, count=settings.sae_documents, seed=seed, progress=progress)
        sae = load_sae(beside.sae)
    model, tokenizer = load_model(paths.model), load_tokenizer(paths.model)
    progress(f"model, together with a dictionary: {settings.compact.tokens} tokens")
    make_compact(
        model,
        sae,
        (document(_stream(seed, _MODEL), number, split="train") for number in itertools.count(_UNREAD)),
        tokenizer,
        settings.model,
        settings.compact,
        seed=seed,
        progress=lambda point: progress(_compact_line(point)),
    )
    save_model(model, tokenizer, paths.model)


def train_dictionary(
    paths: OrganismPaths, settings: Settings, *, count: int, seed: int, progress: Callable[[str], None] = print
) -> None:
    """Train the dictionary on `count` training documents that the model has not seen, and write it to its place."""
    subject = Subject.load(paths.model, "cpu")
    _train(paths.sae, subject, [f"resid_post.{LAYER}"], settings, count, seed, progress)


def train_transcoders(
    paths: OrganismPaths,
    each: Settings,
    cross_layer: Settings,
    *,
    count: int,
    seed: int,
    progress: Callable[[str], None] = print,
) -> None:
    """Train a transcoder for each layer, and the cross-layer transcoder, on the same documents; write them to their places."""
    subject = Subject.load(paths.model, "cpu")
    _train(paths.transcoders, subject, [f"mlp_in.{layer}" for layer in range(subject.layers)], each, count, seed, progress)
    _train(paths.cross_layer, subject, [], cross_layer, count, seed, progress)


def _train(
    folder: Path, subject: Subject, hooks: list[str], settings: Settings, count: int, seed: int, progress: Callable[[str], None]
) -> None:
    progress(f"{folder.name}: {settings.architecture} of {settings.features} features")
    train.train(
        folder,
        subject,
        _Texts(_stream(seed, _DICTIONARY), count),
        hooks,
        replace(settings, seed=seed),
        window=CONTEXT - 1,
        prepend_bos=True,
        block_tokens=_AT_ONCE,
        model_name="dragoman-organism",
        fresh=True,
        progress=lambda lines: progress(_dictionary_line(lines)),
    )
    (folder / LOCK_FILE).unlink()


def random_dictionary(
    trained: Path, settings: Settings = SAE, *, count: int = 6_000, seed: int = 0, progress: Callable[[str], None] = print
) -> TopK:
    """A dictionary made in the same way of a model of the same shape as the one in folder `trained`, but with random weights."""
    with TemporaryDirectory() as folder:
        paths = organism_paths(Path(folder))
        save_model(random_weights(load_model(trained), seed), load_tokenizer(trained), paths.model)
        train_dictionary(paths, settings, count=count, seed=seed, progress=progress)
        return load_sae(paths.sae)


@dataclass(frozen=True, slots=True)
class _Texts:
    """The texts of training documents, again and again."""

    seed: int
    count: int

    def __iter__(self) -> Iterator[documents.Document]:
        for number, made in enumerate(generate(self.seed, self.count, split="train")):
            yield documents.Document(made.text, f"{self.seed}:{number}")


def _stream(seed: int, purpose: int) -> int:
    return 4 * seed + purpose


def _documents(seed: int, purpose: int, count: int) -> Iterator[Document]:
    yield from generate(_stream(seed, purpose), count, split="train")


def _model_line(point: TrainingPoint) -> str:
    return f"  {point.tokens:>9} tokens, loss {point.loss:.3f}, rate {point.rate:.1e}, {point.seconds:.0f} s"


def _compact_line(point: CompactPoint) -> str:
    figures = f"loss {point.loss:.3f}, unexplained {point.unexplained:.4f}, drift {point.drift:.4f}"
    return f"  {point.tokens:>9} tokens, {figures}, {point.seconds:.0f} s"


def _dictionary_line(lines: Sequence[Logged]) -> str:
    unexplained = " ".join(f"{line.unexplained:.4f}" for line in lines)
    dead = " ".join(f"{line.dead:.2%}" for line in lines)
    return f"  step {lines[0].step}, unexplained {unexplained}, dead {dead}, {lines[0].seconds:.0f} s"
