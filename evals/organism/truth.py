"""What the dictionary's features stand for, as far as the corpus knows: the concept that each one matches best."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Group
from rich.table import Table
from scipy.sparse import csc_matrix, csr_matrix
from scipy.sparse import vstack as csr_vstack
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from dragoman.evals.organism.concepts import CONCEPTS
from dragoman.evals.organism.document import Document
from dragoman.evals.organism.labels import NEXT, TokenLabels, identity_concepts, label_tokens
from dragoman.evals.organism.matching import Choice, Sweep, choose, f1_of, fires, greedy_union, score, sweep
from dragoman.evals.organism.sae import LAYER, TopK, quality, residuals
from dragoman.evals.organism.tokens import TokenizedDocument, tokenize
from dragoman.evals.organism.train import random_weights
from dragoman.store.splits import document_hash, split_of

TAIL = 0.3
"""Share of a dense unit's values, at each end, that a threshold may let through."""


@dataclass(frozen=True, slots=True)
class FeatureTruth:
    """The concept that a live feature matches best."""

    feature: int
    """Index in the dictionary."""
    concept: str
    """Name of the concept, with `next:` before it where the feature announces it."""
    threshold: float
    """The feature says yes at values of at least this; chosen on validation."""
    validation_f1: float
    """F1 on validation, where concept and threshold were chosen."""
    f1: float
    """F1 per token on test."""
    mcc: float
    """Matthews correlation per token on test."""
    precision: float
    """Precision on test."""
    recall: float
    """Recall on test."""
    positives: int
    """Test tokens that carry the concept."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many units of one kind match a concept well."""

    source: str
    """What the units are: the dictionary's features, or a control."""
    concepts: str
    """`all`, or `without next:`."""
    units: int
    """Units that were scored."""
    good: int
    """Of these, with a test F1 of at least 0.8."""
    fair: int
    """Of these, with a test F1 of at least 0.5."""
    named: int
    """Concepts that some unit matches with a test F1 of at least 0.5, being its best."""


@dataclass(frozen=True, slots=True)
class UnionTruth:
    """How well a few features together find one concept."""

    concept: str
    """Name of the concept."""
    single: float
    """Test F1 of the best single feature, chosen on validation."""
    union: float
    """Test F1 of the union."""
    features: tuple[int, ...]
    """The features of the union, at most eight, chosen greedily on validation."""
    positives: int
    """Test tokens that carry the concept."""


@dataclass(frozen=True, slots=True)
class TruthReport:
    """What is known about the meaning of a dictionary's features."""

    features: tuple[FeatureTruth, ...]
    """Every live feature that meets a concept."""
    counts: tuple[Count, ...]
    """Features and controls counted alike."""
    unions: tuple[UnionTruth, ...]
    """Wide concepts, which many features share."""
    width: int
    """Features in the dictionary."""
    live: int
    """Features that fire in at least 10 train, 5 validation and 10 test documents."""
    unexplained: float
    """Share of the activations' variance that the dictionary leaves unexplained on test tokens."""
    dead: float
    """Share of features that never fire on any of the documents."""
    tokens: dict[str, int]
    """Tokens in each split."""
    concepts: int
    """Concepts that occur often enough to be scored, `next:` ones included."""
    identity: tuple[str, ...]
    """Concepts left out because a single string names them."""


@dataclass(frozen=True, slots=True)
class _Corpus:
    """Labelled tokens of each split."""

    documents: dict[str, list[TokenizedDocument]]
    labels: dict[str, TokenLabels]
    allowed: NDArray[np.bool_]
    identity: frozenset[str]
    bos: int

    def choices(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Which concepts [concepts] may be matched, and what that is called."""
        yield "all", self.allowed
        plain = np.array([not name.startswith(NEXT) for name in self.labels["test"].concepts])
        yield "without next:", self.allowed & plain


def measure(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    sae: TopK,
    documents: Sequence[Document],
    *,
    controls: bool = True,
    random_sae: TopK | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda line: None,
) -> TruthReport:
    """Match every live feature with every concept, on documents that neither model nor dictionary was trained on.

    Documents are split by the hash of their text as in a store. Concept and threshold of a feature maximise F1 per token on
    validation and are scored on test. Concepts that a single string names do not count, nor do those on fewer than 20 validation
    tokens. Controls are counted in the same way: neurons and random directions, of this model and of `random_weights` of it;
    `random_sae` is a dictionary trained on the latter.
    """
    corpus = _corpus(tokenizer, documents)
    sizes = {split: labels.matrix.shape[0] for split, labels in corpus.labels.items()}
    progress(f"tokens: {sizes}; concepts that can be matched: {int(corpus.allowed.sum())}")
    values, unexplained, dead = _features(model, sae, corpus)
    live = _live(values, corpus)
    kept = {split: v[:, live] for split, v in values.items()}
    found = sweep(kept["validation"], corpus.labels["validation"].matrix)
    features = _rows(live, choose(found, corpus.allowed), kept["test"], corpus)
    counts = _sparse_counts("dictionary features", found, live, kept["test"], corpus)
    progress(f"live features: {len(live)} of {sae.w_enc.shape[1]}")
    unions = _unions(found, live, kept, corpus)
    if controls:
        counts += _control_counts(model, len(live), corpus, seed, "", progress)
        blank = random_weights(model, seed)
        counts += _control_counts(blank, len(live), corpus, seed, ", random weights", progress)
        if random_sae is not None:
            other, _, _ = _features(blank, random_sae, corpus)
            alive = _live(other, corpus)
            swept = sweep(other["validation"][:, alive], corpus.labels["validation"].matrix)
            counts += _sparse_counts("dictionary features, random weights", swept, alive, other["test"][:, alive], corpus)
    return TruthReport(
        features,
        tuple(counts),
        unions,
        sae.w_enc.shape[1],
        len(live),
        unexplained,
        dead,
        sizes,
        int(corpus.allowed.sum()),
        tuple(sorted(corpus.identity)),
    )


def tables(report: TruthReport, features: int = 40) -> Group:
    """The report for a terminal; `features` is how many of the best ones are listed."""
    counts = Table(title="Units that match a concept (F1 per token on test)")
    for name in ("units", "concepts"):
        counts.add_column(name)
    for name in ("scored", "F1 >= 0.8", "F1 >= 0.5", "concepts met"):
        counts.add_column(name, justify="right")
    for c in report.counts:
        counts.add_row(c.source, c.concepts, str(c.units), str(c.good), str(c.fair), str(c.named))
    best = Table(title="Best features")
    for name in ("feature", "concept", "F1", "MCC", "precision", "recall", "tokens"):
        best.add_column(name, justify="left" if name == "concept" else "right")
    for f in sorted(report.features, key=lambda f: -f.f1)[:features]:
        figures = (f"{f.f1:.3f}", f"{f.mcc:.3f}", f"{f.precision:.3f}", f"{f.recall:.3f}")
        best.add_row(str(f.feature), f.concept, *figures, str(f.positives))
    wide = Table(title="Wide concepts: one feature, and a union of at most eight")
    for name in ("concept", "single F1", "union F1", "features", "tokens"):
        wide.add_column(name, justify="left" if name == "concept" else "right")
    for u in report.unions:
        wide.add_row(u.concept, f"{u.single:.3f}", f"{u.union:.3f}", str(len(u.features)), str(u.positives))
    line = (
        f"{report.live} of {report.width} features are live; unexplained variance {report.unexplained:.4f}; "
        f"dead {report.dead:.2%}; {report.concepts} concepts, {len(report.identity)} left out because a single string "
        f"names them; tokens {report.tokens}"
    )
    return Group(counts, wide, best, line)


def save_report(report: TruthReport, path: Path) -> None:
    """Write the whole report as JSON."""
    path.write_text(json.dumps(asdict(report), indent=1) + "\n")


def _corpus(tokenizer: PreTrainedTokenizerFast, documents: Sequence[Document]) -> _Corpus:
    parts: dict[str, list[TokenizedDocument]] = {"train": [], "validation": [], "test": []}
    for item in tokenize(tokenizer, documents):
        parts[split_of(document_hash(item.document.text))].append(item)
    if any(len(items) < 20 for items in parts.values()):
        raise ValueError("each split needs at least 20 documents: give more documents")
    labels = {split: label_tokens(items, tuple(CONCEPTS)) for split, items in parts.items()}
    validation = labels["validation"]
    identity = identity_concepts(parts["train"], labels["train"])
    frequent = np.bincount(validation.matrix.indices, minlength=len(validation.concepts)) >= 20
    allowed = frequent & np.array([name not in identity for name in validation.concepts])
    return _Corpus(parts, labels, allowed, identity, int(tokenizer.bos_token_id))


def _features(model: LlamaForCausalLM, sae: TopK, corpus: _Corpus) -> tuple[dict[str, csc_matrix], float, float]:
    """Sparse features [tokens, features] of each split, variance unexplained on test, and share dead on all documents."""
    values, unexplained = {}, 0.0
    for split, items in corpus.documents.items():
        x = torch.cat(list(residuals(model, (item.ids for item in items), bos=corpus.bos)))
        values[split] = csc_matrix(csr_vstack([_sparse(sae.encode(part)) for part in torch.split(x, 8192)]))
        if split == "test":
            unexplained, _ = quality(sae, x)
    silent = sum(np.diff(v.indptr) for v in values.values()) == 0
    return values, unexplained, float(np.mean(silent))


def _sparse(features: Tensor) -> csr_matrix:
    return csr_matrix(features.numpy())


def _live(values: dict[str, csc_matrix], corpus: _Corpus) -> NDArray[np.int64]:
    """Features that exceed 0.2 of their train maximum in at least 10 train, 5 validation and 10 test documents."""
    threshold = 0.2 * values["train"].max(axis=0).toarray().ravel()
    alive = threshold > 0
    for split, least in (("train", 10), ("validation", 5), ("test", 10)):
        v = values[split]
        owner = np.repeat(np.arange(v.shape[1]), np.diff(v.indptr))
        fired = v.data > threshold[owner]
        documents = corpus.labels[split].document[v.indices[fired]].astype(np.int64)
        pairs = np.unique(owner[fired] * (documents.max(initial=0) + 1) + documents) // (documents.max(initial=0) + 1)
        alive &= np.bincount(pairs, minlength=v.shape[1]) >= least
    return np.flatnonzero(alive)


def _rows(units: NDArray[np.int64], choice: Choice, test: csc_matrix, corpus: _Corpus) -> tuple[FeatureTruth, ...]:
    m = score(choice, test, corpus.labels["test"].matrix)
    names = corpus.labels["test"].concepts
    return tuple(
        FeatureTruth(
            int(units[i]),
            names[m.concept[i]],
            float(m.threshold[i]),
            float(m.validation_f1[i]),
            float(m.f1[i]),
            float(m.mcc[i]),
            float(m.precision[i]),
            float(m.recall[i]),
            int(m.positives[i]),
        )
        for i in np.flatnonzero(m.concept >= 0)
    )


def _count(source: str, concepts: str, units: int, f1: NDArray[np.float64], concept: NDArray[np.int64]) -> Count:
    return Count(source, concepts, units, int((f1 >= 0.8).sum()), int((f1 >= 0.5).sum()), len(set(concept[f1 >= 0.5].tolist())))


def _sparse_counts(source: str, found: Sweep, units: NDArray[np.int64], test: csc_matrix, corpus: _Corpus) -> list[Count]:
    counts = []
    for concepts, allowed in corpus.choices():
        m = score(choose(found, allowed), test, corpus.labels["test"].matrix)
        counts.append(_count(source, concepts, len(units), m.f1, m.concept))
    return counts


def _control_counts(
    model: LlamaForCausalLM, directions: int, corpus: _Corpus, seed: int, suffix: str, progress: Callable[[str], None]
) -> list[Count]:
    """Neurons of the blocks up to the dictionary's, and random directions of its residual stream."""
    width = model.config.hidden_size
    both = {
        split: torch.cat(
            list(residuals(model, (item.ids for item in corpus.documents[split]), bos=corpus.bos, layer=LAYER, with_neurons=True))
        )
        for split in ("validation", "test")
    }
    matrix = torch.randn(width, directions, generator=torch.Generator().manual_seed(seed))
    counts = []
    readings = {
        "neurons": {split: x[:, width:] for split, x in both.items()},
        "random directions": {split: x[:, :width] @ matrix for split, x in both.items()},
    }
    for source, x in readings.items():
        counts += _dense_counts(source + suffix, x["validation"], x["test"], corpus)
        progress(f"control: {source}{suffix}")
    return counts


def _dense_counts(source: str, validation: Tensor, test: Tensor, corpus: _Corpus, block: int = 128) -> list[Count]:
    """Count units with values everywhere [tokens, units]; each may point either way, whichever is better on validation."""
    results: dict[str, list[tuple[NDArray[np.float64], NDArray[np.int64]]]] = {name: [] for name, _ in corpus.choices()}
    for at in range(0, validation.shape[1], block):
        sides = []
        for sign in (1.0, -1.0):
            v, t = (sign * x[:, at : at + block].numpy() for x in (validation, test))
            cut = np.quantile(v, 1 - TAIL, axis=0)
            sides.append((sweep(_above(v, cut), corpus.labels["validation"].matrix), _above(t, cut)))
        for concepts, allowed in corpus.choices():
            chosen = [choose(found, allowed) for found, _ in sides]
            scored = [score(c, t, corpus.labels["test"].matrix) for c, (_, t) in zip(chosen, sides, strict=True)]
            first = chosen[0].f1 >= chosen[1].f1
            f1 = np.where(first, scored[0].f1, scored[1].f1)
            results[concepts].append((f1, np.where(first, chosen[0].concept, chosen[1].concept)))
    return [
        _count(source, name, validation.shape[1], np.concatenate([f for f, _ in parts]), np.concatenate([c for _, c in parts]))
        for name, parts in results.items()
    ]


def _above(values: NDArray[np.floating], cut: NDArray[np.float64]) -> csc_matrix:
    """Values [tokens, units] that reach their unit's cut; a stored zero counts as a value."""
    unit, token = np.nonzero((values >= cut).T)
    starts = np.concatenate([[0], np.bincount(unit, minlength=values.shape[1]).cumsum()])
    return csc_matrix((values[token, unit], token.astype(np.int32), starts.astype(np.int32)), shape=values.shape)


def _unions(found: Sweep, live: NDArray[np.int64], kept: dict[str, csc_matrix], corpus: _Corpus) -> tuple[UnionTruth, ...]:
    """Every document type and every concept with a narrower one below it."""
    parents = {c.parent for c in CONCEPTS.values() if c.parent} | {c.name for c in CONCEPTS.values() if c.kind == "document"}
    names = corpus.labels["test"].concepts
    carried = {split: corpus.labels[split].matrix.tocsc() for split in ("validation", "test")}
    rows = []
    for column in np.flatnonzero(corpus.allowed):
        if names[column] not in parents:
            continue
        carries = {split: fires(m, int(column), 1) for split, m in carried.items()}
        chosen = greedy_union(found, int(column), kept["validation"], carries["validation"], range(len(live)))
        said = [fires(kept["test"], unit, threshold) for unit, threshold in chosen]
        if said:
            features = tuple(int(live[unit]) for unit, _ in chosen)
            single, union = f1_of(said[0], carries["test"]), f1_of(np.logical_or.reduce(said), carries["test"])
            rows.append(UnionTruth(names[column], single, union, features, int(carries["test"].sum())))
    return tuple(sorted(rows, key=lambda row: -row.union))
