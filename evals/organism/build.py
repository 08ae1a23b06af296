"""Builds the whole organism from a seed: corpus, tokenizer, model, dictionary, and what can be said about them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from dragoman.evals.organism import competence, truth
from dragoman.evals.organism.corpus import generate
from dragoman.evals.organism.document import Document
from dragoman.evals.organism.load import OrganismPaths, organism_paths
from dragoman.evals.organism.sae import SAEPoint, SAESettings, TopK, residuals, save_sae, train_sae
from dragoman.evals.organism.tokenizer import train_tokenizer
from dragoman.evals.organism.tokens import token_ids
from dragoman.evals.organism.train import ModelSettings, TrainingPoint, load_model, save_model, train_model


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """Everything that decides what is built, besides the seed."""

    model: ModelSettings = field(default_factory=ModelSettings)
    """The language model and its training."""
    sae: SAESettings = field(default_factory=SAESettings)
    """The dictionary and its training."""
    vocabulary: int = 2048
    """Entries of the tokenizer."""
    tokenizer_documents: int = 20_000
    """Training documents that the tokenizer learns from."""
    sae_documents: int = 6_000
    """Training documents, other than the model's, whose activations the dictionary learns from."""
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


def build(out: Path, seed: int = 0, settings: BuildSettings | None = None, *, progress: Callable[[str], None] = print) -> Built:
    """Write `model/`, `sae/`, `competence.json` and `truth.json` to `out`.

    The same seed and settings on the same machine give the same files. The default settings take about 20 minutes on one core.
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
    model = load_model(paths.model)
    progress(f"dictionary: {settings.sae.features} features")
    sae = train_dictionary(model, tokenizer, settings.sae, documents=settings.sae_documents, seed=seed, progress=progress)
    save_sae(sae, paths.sae)
    rows: list[competence.Competence] = []
    report = None
    if settings.test_documents:
        documents = list(generate(_stream(seed, _TEST), settings.test_documents, split="held_out"))
        rows = competence.measure(model, tokenizer, documents)
        (out / "competence.json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
        report = truth.measure(model, tokenizer, sae, documents, progress=progress)
        truth.save_report(report, out / "truth.json")
    return Built(paths, tuple(rows), report, time.monotonic() - began)


def train_dictionary(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    settings: SAESettings,
    *,
    documents: int,
    seed: int,
    progress: Callable[[str], None] = print,
) -> TopK:
    """Train the dictionary on training documents that the model has not seen."""
    ids = token_ids(tokenizer, _documents(seed, _DICTIONARY, documents))
    # Half precision halves the memory; the error, one part in two thousand, is far below what is left unexplained.
    x = torch.cat([part.half() for part in residuals(model, ids, bos=int(tokenizer.bos_token_id))])
    return train_sae(x, settings, seed=seed, progress=lambda point: progress(_sae_line(point)))


def _stream(seed: int, purpose: int) -> int:
    return 4 * seed + purpose


def _documents(seed: int, purpose: int, count: int) -> Iterator[Document]:
    yield from generate(_stream(seed, purpose), count, split="train")


def _model_line(point: TrainingPoint) -> str:
    return f"  {point.tokens:>9} tokens, loss {point.loss:.3f}, rate {point.rate:.1e}, {point.seconds:.0f} s"


def _sae_line(point: SAEPoint) -> str:
    return f"  step {point.step}, unexplained {point.unexplained:.4f}, dead {point.dead}, {point.seconds:.0f} s"
