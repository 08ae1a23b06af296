"""Does a feature of a coarse dictionary fall apart into kinds in a finer one?

The feature of the coarse dictionary is taken that fires most like a wide concept (all birds), and a finer dictionary is trained
at the same hook point. On held-out documents the feature is split into those of the finer one (`tools/splitting.py`), and for
each piece the kind (robins, owls) is looked up that it fires on best, beside how well the coarse feature fires on that kind.
For each kind, the feature of either dictionary that fires most like it is chosen on every other document, and its F1 is from the
documents between them: has only the finer dictionary features for kinds?
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from rich.table import Table

from dragoman.evals.organism.concepts import ANCESTORS, CONCEPTS
from dragoman.evals.organism.corpus import document
from dragoman.evals.organism.document import Document
from dragoman.evals.organism.labels import label_tokens
from dragoman.evals.organism.tokens import CONTEXT, tokenize
from dragoman.store.errors import UserError
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


class Best(NamedTuple):
    """Which features stand for a kind."""

    concept: str
    """The kind, such as `bird.owl`."""
    tokens: int
    """Tokens that carry it, in the documents that F1 is from."""
    coarse: str
    """DICT/INDEX of the coarse dictionary's feature for it."""
    coarse_f1: float
    """How well that fires on it, per token."""
    fine: str
    """Of the finer dictionary, likewise."""
    fine_f1: float
    """Likewise."""
    inside: float
    """Share of the finer feature's firing that lies inside that of the coarse feature for the wide concept."""


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
    best: tuple[Best, ...]
    """Every kind, in the order of the finer F1."""


def measure(
    subject: Subject,
    coarse: Dictionary | Settings,
    documents: Sequence[Document],
    *,
    concept: str = "bird",
    hook: str | None = None,
    settings: Settings | None = None,
    training: int = 20_000,
    share: float | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda line: None,
) -> Fallen:
    """Train a finer dictionary at the coarse one's hook point, and split the coarse one's feature for a concept.

    Args:
        subject: the organism.
        coarse: a dictionary of it, or how to train one on the same text at `hook`.
        documents: held-out documents.
        concept: a concept with kinds.
        hook: where both are trained; None: where the coarse one is.
        settings: of the finer dictionary.
        training: training documents for it.
        share: of the training documents, those that hold the concept; None: as many as come.
        seed: of its training and its text.
        progress: told what is being done.

    Raises:
        UserError: the concept has no kinds, or the hook point does not exist.
    """
    kinds = [name for name in CONCEPTS if name != concept and concept in ANCESTORS[name]]
    if not kinds:
        raise UserError(f"{concept!r} has no kinds: choose a concept such as bird, under which others stand.")
    settings = settings or Settings(features=6144, k=16, tokens=2_000_000, seed=seed)
    text = _training(seed, training, concept, share)

    def trained(name: str, wanted: Settings, hook: str) -> Dictionary:
        progress(f"a dictionary of {wanted.features} features at {hook}, {wanted.tokens:,} tokens")
        with tempfile.TemporaryDirectory() as folder:
            train(folder, subject, text, [hook], wanted, window=CONTEXT - 1, prepend_bos=True)
            return load(f"{name}={folder}", subject)

    if isinstance(coarse, Settings):
        assert hook is not None, "a dictionary that is to be trained needs its hook point"
        coarse = trained("coarse", coarse, hook)
    fine = trained("fine", settings, hook or coarse.facts.hook_in)
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
    table = np.stack([_f1(firing[1].fires, column[name]) for name in kinds])
    wide = [_f1(firing[0].fires, column[name])[best] for name in kinds]
    pieces = [int(piece.feature.split("/")[1]) for piece in found.pieces]
    stand = tuple(
        Kind(piece.feature, kinds[k], float(table[k, f]), float(wide[k]))
        for piece, f, k in zip(found.pieces, pieces, table[:, pieces].argmax(0).tolist(), strict=True)
    )
    inside = np.asarray(firing[1].fires[firing[0].fires[:, [best]].nonzero()[0]].sum(0)).ravel()
    total = np.asarray(firing[1].fires.sum(0)).ravel()
    odd = np.repeat(np.arange(len(windows)) % 2 == 1, [len(window) for window in windows])
    bests = []
    for name in kinds:
        chosen = [int(_f1(one.fires[~odd], column[name][~odd]).argmax()) for one in firing]
        (c, wide_f1), (f, fine_f1) = (
            (feature, float(_f1(one.fires[odd][:, [feature]], column[name][odd])[0]))
            for feature, one in zip(chosen, firing, strict=True)
        )
        here = float(inside[f] / max(1, total[f]))
        carrying = int(column[name][odd].sum())
        bests.append(Best(name, carrying, f"{coarse.facts.name}/{c}", wide_f1, f"{fine.facts.name}/{f}", fine_f1, here))
    bests.sort(key=lambda one: -one.fine_f1)
    return Fallen(concept, float(scores[best]), found, stand, tuple(bests))


def table(found: Fallen) -> Table:
    """The pieces for a terminal."""
    out = Table(title=f"{found.splitting.feature} stands for {found.concept} (F1 {found.f1:.3f}). {found.splitting.summary()}")
    for name in ("piece", "covers", "exclusivity", "best kind", "F1 of the piece", "F1 of the coarse feature"):
        out.add_column(name)
    for piece, kind in zip(found.splitting.pieces, found.kinds, strict=True):
        figures = (f"{piece.share:.1%}", f"{piece.exclusivity:.1%}", kind.concept, f"{kind.f1:.3f}", f"{kind.coarse_f1:.3f}")
        out.add_row(piece.feature, *figures)
    return out


def kinds_table(found: Fallen) -> Table:
    """The kinds for a terminal."""
    out = Table(title=f"Which features stand for the kinds of {found.concept}; F1 per token on the documents not chosen by")
    for name in ("kind", "tokens", "coarse", "F1", "finer", "F1", f"inside {found.splitting.feature}"):
        out.add_column(name)
    for one in found.best:
        figures = (one.coarse, f"{one.coarse_f1:.2f}", one.fine, f"{one.fine_f1:.2f}", f"{one.inside:.0%}")
        out.add_row(one.concept, str(one.tokens), *figures)
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


def _training(seed: int, count: int, concept: str, share: float | None) -> list[texts.Document]:
    """Training documents; with a share, others wait until so large a share of them holds the concept."""
    found: list[texts.Document] = []
    holding = 0
    for number in itertools.count():
        if len(found) == count:
            return found
        one = document(seed, number, split="train")
        holds = any(span.concept == concept for span in one.spans)
        if share is None or holds or holding >= share * (len(found) + 1):
            holding += holds
            found.append(texts.Document(one.text, f"{seed}:{number}"))
    raise AssertionError("numbers end never")
