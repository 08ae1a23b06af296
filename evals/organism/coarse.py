"""Does a feature of the shipped dictionary fall apart into kinds in a finer one?

The feature of the shipped dictionary is taken that fires most like a wide concept (all birds), and a finer dictionary is trained
at the same hook point. On held-out documents the feature is split into those of the finer one (`tools/splitting.py`), and for
each piece the kind (robins, owls) is looked up that it fires on best, beside how well the coarse feature fires on that kind.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from rich.table import Table

from dragoman.evals.organism.concepts import ANCESTORS, CONCEPTS
from dragoman.evals.organism.corpus import generate
from dragoman.evals.organism.document import Document
from dragoman.evals.organism.labels import label_tokens
from dragoman.evals.organism.tokens import CONTEXT, tokenize
from dragoman.store.records import DictionaryInfo
from dragoman.tools import documents as texts
from dragoman.tools.dictionaries import Dictionary, load
from dragoman.tools.source import SubjectSource
from dragoman.tools.splitting import Firing, Splitting, split
from dragoman.tools.subject import Subject
from dragoman.tools.train import train
from dragoman.tools.training.settings import Settings


class Kind(NamedTuple):
    """What a piece stands for."""

    feature: str
    """DICT/INDEX of the piece."""
    concept: str
    """The kind that it fires on best, such as `bird.owl`."""
    f1: float
    """How well, per token."""
    coarse_f1: float
    """How well the coarse feature fires on that kind."""


@dataclass(frozen=True, slots=True)
class Fallen:
    """A coarse feature and its pieces."""

    concept: str
    """The wide concept."""
    f1: float
    """How well the coarse feature fires on it, per token."""
    splitting: Splitting
    """Its pieces, with coverage and exclusivity."""
    kinds: tuple[Kind, ...]
    """What each piece stands for."""


def measure(
    subject: Subject,
    coarse: Dictionary,
    documents: Sequence[Document],
    *,
    concept: str = "bird",
    settings: Settings | None = None,
    training: int = 20_000,
    seed: int = 0,
    progress: Callable[[str], None] = lambda line: None,
) -> Fallen:
    """Train a finer dictionary at the coarse one's hook point, and split the coarse one's feature for a concept.

    Args:
        subject: the organism.
        coarse: its shipped dictionary.
        documents: held-out documents.
        concept: a concept with kinds.
        settings: of the finer dictionary.
        training: training documents for it.
        seed: of its training and its text.
        progress: told what is being done.
    """
    settings = settings or Settings(features=6144, k=16, tokens=2_000_000, seed=seed)
    hook = coarse.facts.hook_in
    with tempfile.TemporaryDirectory() as folder:
        progress(f"a dictionary of {settings.features} features at {hook}, {settings.tokens:,} tokens")
        train(folder, subject, _Texts(seed, training), [hook], settings, window=CONTEXT - 1, prepend_bos=True)
        fine = load(f"fine={folder}", subject)
    tokenized = list(tokenize(subject.tokenizer, documents))
    windows = [item.ids[: CONTEXT - 1].astype(np.int64).tolist() for item in tokenized]
    kept = np.concatenate([np.arange(len(item.ids)) < CONTEXT - 1 for item in tokenized])
    labels = label_tokens(tokenized, list(CONCEPTS))
    truth = labels.matrix.tocsc()[np.flatnonzero(kept)]
    progress(f"{len(windows)} held-out documents")
    firing = [_firing(subject, dictionary, windows) for dictionary in (coarse, fine)]
    column = {name: truth[:, [n]] for n, name in enumerate(labels.concepts)}
    scores = _f1(firing[0].fires, column[concept])
    best = int(scores.argmax())
    found = split(firing[0], best, firing[1])
    kinds = [name for name in CONCEPTS if name != concept and concept in ANCESTORS[name]]
    table = np.stack([_f1(firing[1].fires, column[name]) for name in kinds])
    wide = [_f1(firing[0].fires, column[name])[best] for name in kinds]
    pieces = [int(piece.feature.split("/")[1]) for piece in found.pieces]
    stand = tuple(
        Kind(piece.feature, kinds[k], float(table[k, f]), float(wide[k]))
        for piece, f, k in zip(found.pieces, pieces, table[:, pieces].argmax(0).tolist(), strict=True)
    )
    return Fallen(concept, float(scores[best]), found, stand)


def table(found: Fallen) -> Table:
    """The pieces for a terminal."""
    out = Table(title=f"{found.splitting.feature} stands for {found.concept} (F1 {found.f1:.3f}). {found.splitting.summary()}")
    for name in ("piece", "covers", "exclusivity", "best kind", "F1 of the piece", "F1 of the coarse feature"):
        out.add_column(name)
    for piece, kind in zip(found.splitting.pieces, found.kinds, strict=True):
        figures = (f"{piece.share:.1%}", f"{piece.exclusivity:.1%}", kind.concept, f"{kind.f1:.3f}", f"{kind.coarse_f1:.3f}")
        out.add_row(piece.feature, *figures)
    return out


def _firing(subject: Subject, dictionary: Dictionary, windows: Sequence[Sequence[int]]) -> Firing:
    """Where features fire on the windows: above 0.2 of their maximum there."""
    found = SubjectSource(subject, dictionary, True).activations(windows)
    begins = np.concatenate([[0], np.cumsum([len(window) for window in windows])])
    most = np.zeros(dictionary.width)
    np.maximum.at(most, found.feature, found.value)
    fires = found.value > 0.2 * most[found.feature]
    rows = begins[found.row[fires]] + found.position[fires]
    ones = np.ones(int(fires.sum()), np.int32)
    matrix = scipy.sparse.csc_matrix((ones, (rows, found.feature[fires])), shape=(int(begins[-1]), dictionary.width))
    return Firing(_info(dictionary), matrix)


def _f1(fires: scipy.sparse.csc_matrix, carries: scipy.sparse.csc_matrix) -> NDArray[np.float64]:
    """F1 per token of every feature for one concept, (width,)."""
    both = np.asarray((fires.T @ carries.astype(np.int64)).todense()).ravel()
    total = np.asarray(fires.sum(0)).ravel() + carries.sum()
    return np.asarray(2 * both / np.maximum(1, total), np.float64)


def _info(dictionary: Dictionary) -> DictionaryInfo:
    return dictionary.facts.info(dictionary.width, 0, None)


@dataclass(frozen=True, slots=True)
class _Texts:
    """The texts of training documents, again and again."""

    seed: int
    count: int

    def __iter__(self) -> Iterator[texts.Document]:
        for number, document in enumerate(generate(self.seed, self.count, split="train")):
            yield texts.Document(document.text, f"{self.seed}:{number}")
