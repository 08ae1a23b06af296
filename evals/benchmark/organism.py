"""The suite of the model organism: features of the shipped dictionary that match a concept, whose text we make ourselves.

1. Documents of the seed that the model was not trained on are harvested with the shipped dictionary, and with a few neurons and
   random directions: the hard cases.
2. Every live feature is matched with the concept that it finds best (`organism.matching`): concept on validation, F1 on test.
   Features with an F1 of at least `GOOD` are asked about, a sixth of the features being the best of the hard cases.
3. Fresh texts come from documents of another seed: where the concept holds, where only its kin does or the words that go with
   it, and any.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix
from transformers import PreTrainedTokenizerFast

from dragoman.evals.organism.concepts import ANCESTORS, CONCEPTS
from dragoman.evals.organism.corpus import generate
from dragoman.evals.organism.document import Document
from dragoman.evals.organism.labels import NEXT, TokenLabels, identity_concepts, label_tokens
from dragoman.evals.organism.load import organism_paths
from dragoman.evals.organism.matching import choose, score, sweep
from dragoman.evals.organism.tokens import TokenizedDocument, tokenize, windows
from dragoman.store.disk import write_atomically
from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.hashing import seed_of
from dragoman.store.records import Split
from dragoman.store.splits import document_hash, split_of
from dragoman.tools.harvest import harvest

from .records import FreshText, Kind, Truth

GOOD = 0.8
"""F1 per token on test from which a concept counts as the truth of a feature."""
HARD = 6
"""One feature in so many is a neuron or a random direction."""
DOCUMENTS = 1200
"""Documents of a trial's store."""
POOL = 2500
"""Fresh documents from which texts are drawn."""
NEURONS, DIRECTIONS = 32, 16
"""Hard cases among which the best are taken; they fire at most tokens, so that a store of all of them would be large."""
WIDEST = 0.3
"""Of a hard case, which is active nearly everywhere, this share of its values counts."""
TYPICAL = 12
"""Tokens that go with a concept: texts that hold them without the concept are near ones."""


@dataclass(frozen=True)
class OrganismSuite:
    """Makes trials of the shipped organism, or of one that was built elsewhere."""

    name: str = "organism"
    """What it is called in `--suite`."""
    root: Path | None = None
    """Folder that `dragoman organism build` wrote; None for the shipped one."""
    good: float = GOOD
    """F1 from which a feature is asked about."""
    documents: int = DOCUMENTS
    """Documents of a trial's store."""
    pool: int = POOL
    """Fresh documents from which texts are drawn."""
    hard: bool = True
    """Whether neurons and random directions are harvested as well."""
    kinds: tuple[str, ...] = ()
    """Sorts of concepts (`organism.concept.Kind`) that count, `next:` ones left out; empty for all."""

    def prepare(self, folder: Path, seed: int, features: int) -> OrganismTrial:
        """See `Suite`."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = organism_paths(self.root)
        documents = list(generate(_seed("store", seed), self.documents, split="held_out"))
        corpus = folder / "text.jsonl"
        if not corpus.exists():
            write_atomically(corpus, "".join(json.dumps({"text": document.text}) + "\n" for document in documents).encode())
        harvest(
            folder / "store",
            str(paths.model),
            [f"sae={paths.sae}", *(_hard(folder, seed) if self.hard else [])],
            str(corpus),
            progress=False,
        ).close()
        known = folder / f"truths-{features}-{self.good:g}.json"
        rows = [Match(**row) for row in json.loads(known.read_text("utf-8"))] if known.exists() else None
        tokenizer = PreTrainedTokenizerFast.from_pretrained(paths.model)
        trial = OrganismTrial(folder / "store", documents, tokenizer, seed, features, self.good, self.pool, rows, self.kinds)
        if rows is None:
            write_atomically(known, json.dumps([asdict(one) for one in trial.matches]).encode())
        return trial


@dataclass(frozen=True)
class Match:
    """A feature with the concept that it finds best."""

    feature: int
    """Its global id."""
    concept: str
    """The concept's name."""
    f1: float
    """F1 per token on test."""
    hard: bool
    """A neuron or a random direction."""


class OrganismTrial:
    """A store of the organism with what its features stand for."""

    def __init__(
        self,
        store: Path,
        documents: Sequence[Document],
        tokenizer: PreTrainedTokenizerFast,
        seed: int,
        features: int,
        good: float = GOOD,
        pool: int = POOL,
        matches: Sequence[Match] | None = None,
        kinds: tuple[str, ...] = (),
    ) -> None:
        """
        Args:
            store: made from these documents, its first dictionary being the one that is asked about.
            documents: with the truth about their characters.
            tokenizer: the organism's.
            seed: of the choice of features and of fresh texts.
            features: how many are asked about at most.
            good: F1 from which a feature is asked about.
            pool: fresh documents from which texts are drawn.
            matches: the features with their concepts, where they are known already.
            kinds: sorts of concepts that count, `next:` ones left out; empty for all.

        Raises:
            UserError: the store was made from other documents, or no feature matches well enough.
        """
        self.store, self.documents, self.tokenizer, self.seed, self.pool = store, documents, tokenizer, seed, pool
        self.matches = _chosen(_matched(self, kinds), good, features, seed) if matches is None else tuple(matches)
        if not self.matches:
            raise UserError(f"No feature of this organism matches a concept with an F1 of at least {good:g}: lower it.")

    @cached_property
    def truths(self) -> dict[int, Truth]:
        """What is true, by feature."""
        return _truths(self.matches)

    @cached_property
    def concepts(self) -> dict[int, str]:
        """The concept of each feature."""
        return {row.feature: row.concept for row in self.matches}

    @property
    def features(self) -> tuple[int, ...]:
        """Features that are asked about."""
        return tuple(sorted(self.truths))

    def holds(self, feature: int, split: Split) -> NDArray[np.bool_]:
        """Whether the true concept holds at each token of a split of the store (tokens,)."""
        labels = self.labels[split]
        return _column(labels, self.concepts[feature])

    @cached_property
    def labels(self) -> dict[Split, TokenLabels]:
        """The concepts of every token of the store."""
        parts: dict[Split, list[TokenizedDocument]] = self.tokenized
        return {split: label_tokens(items, tuple(CONCEPTS)) for split, items in parts.items()}

    @cached_property
    def tokenized(self) -> dict[Split, list[TokenizedDocument]]:
        """The store's documents as tokens."""
        parts: dict[Split, list[TokenizedDocument]] = {"train": [], "validation": [], "test": []}
        for item in tokenize(self.tokenizer, self.documents):
            parts[split_of(document_hash(item.document.text))].append(item)
        return parts

    def fresh(self, feature: int, seed: int, n: int) -> Sequence[FreshText]:
        """See `Trial`."""
        pool = self._pools.get(seed)
        if pool is None:
            self._pools.clear()
            pool = self._pools[seed] = _Pool(self.tokenizer, _seed("fresh", self.seed, seed), self.pool)
        rng = np.random.default_rng(_seed("draw", self.seed, seed, feature))
        return pool.draw(self.concepts[feature], n, rng)

    @cached_property
    def _pools(self) -> dict[int, _Pool]:
        return {}


class _Pool:
    """Windows of fresh documents, with what holds where."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int, documents: int) -> None:
        self.items = list(tokenize(tokenizer, generate(seed, documents, split="held_out")))
        self.labels = label_tokens(self.items, tuple(CONCEPTS))
        self.ids = np.concatenate([item.ids for item in self.items]).astype(np.int64)
        self.windows: list[tuple[int, int, int]] = []
        bounds, base = [0], 0
        for number, item in enumerate(self.items):
            for start, end in windows(len(item.ids)):
                self.windows.append((number, start, end))
                bounds.append(base + end)
            base += len(item.ids)
        self.bounds = np.array(bounds, np.int64)

    def draw(self, concept: str, n: int, rng: np.random.Generator) -> list[FreshText]:
        """About n texts of each kind."""
        here = _column(self.labels, concept)
        true = self._any(here)
        kin = np.zeros(len(here), bool)
        for other in kin_of(concept):
            kin |= _column(self.labels, other)
        typical = np.isin(self.ids, _typical(self.ids, here))
        near = self._any(kin) & ~true, self._any(typical) & ~true
        said: dict[int, Kind] = {}
        for row in _some(np.flatnonzero(true), n, rng):
            said[int(row)] = "true"
        for rows in near:
            for row in _some(np.flatnonzero(rows), n - n // 2, rng):
                said.setdefault(int(row), "near")
        for row in _some(np.arange(len(true)), n, rng):
            said.setdefault(int(row), "random")
        return [self._text(row, kind, here) for row, kind in said.items()]

    def _any(self, tokens: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Windows in which something holds at any token (windows,)."""
        sums = np.concatenate([[0], np.cumsum(tokens)])
        return np.asarray(sums[self.bounds[1:]] > sums[self.bounds[:-1]])

    def _text(self, row: int, kind: Kind, here: NDArray[np.bool_]) -> FreshText:
        number, start, end = self.windows[row]
        item, at = self.items[number], slice(start, end)
        first, last = int(item.starts[start]), int(item.ends[at].max())
        offsets = tuple((int(a) - first, int(b) - first) for a, b in zip(item.starts[at], item.ends[at], strict=True))
        fires = tuple(bool(one) for one in here[self.bounds[row] : self.bounds[row + 1]])
        return FreshText(tuple(int(i) for i in item.ids[at]), item.document.text[first:last], fires, kind, offsets)


def kin_of(concept: str) -> tuple[str, ...]:
    """Concepts that a vague or careless label takes for this one: its parents, their other children, its children, and of one
    without any of these the concepts of its family that are of the same sort. `next:X` is next to `next:` of X's kin.
    """
    before = NEXT if concept.startswith(NEXT) else ""
    own = CONCEPTS[concept.removeprefix(NEXT)]
    found = {*ANCESTORS[own.name]}
    found |= {c.name for c in CONCEPTS.values() if c.parent is not None and c.parent in (own.parent, own.name)}
    if not found:
        found = {c.name for c in CONCEPTS.values() if c.family == own.family and c.kind == own.kind}
    return tuple(sorted(before + name for name in found - {own.name}))


def said(concept: str) -> str:
    """A concept in plain English."""
    own = CONCEPTS[concept.removeprefix(NEXT)]
    return f"The token right before the start of this: {own.description}" if concept.startswith(NEXT) else own.description


def _hard(folder: Path, seed: int) -> list[str]:
    """Neurons of the third block's MLP and random directions of the residual stream after it, as dictionaries."""
    rng = np.random.default_rng(_seed("hard", seed))
    made = {
        "neurons": (np.eye(512, dtype=np.float32)[np.sort(rng.permutation(512)[:NEURONS])], "mlp_hidden.2"),
        "directions": (rng.standard_normal((DIRECTIONS, 128)).astype(np.float32), "resid_post.2"),
    }
    specs = []
    for name, (matrix, hook) in made.items():
        file = folder / f"{name}.npy"
        np.save(file, matrix)
        specs.append(f"{name}=directions:{file}@{hook}")
    return specs


def _matched(trial: OrganismTrial, kinds: tuple[str, ...]) -> list[Match]:
    """The best concept of every live feature, the best features first."""
    with Store.open(trial.store) as store:
        live = store.features("live")
        easy = store.dictionaries[0].width
        values = {split: _values(store, split, live, easy) for split in ("validation", "test")}
        for split in ("validation", "test"):
            ids = np.concatenate([item.ids for item in trial.tokenized[split]])
            if not np.array_equal(ids, store.tokens(split).ids):
                raise UserError(f"{trial.store} was made from other documents: choose another folder with --out.")
    validation, test = trial.labels["validation"], trial.labels["test"]
    identity = identity_concepts(trial.tokenized["train"], trial.labels["train"])
    frequent = np.bincount(validation.matrix.indices, minlength=len(validation.concepts)) >= 20
    allowed = frequent & np.array([name not in identity for name in validation.concepts])
    if kinds:
        allowed &= np.array([name in CONCEPTS and CONCEPTS[name].kind in kinds for name in validation.concepts])
    columns = np.flatnonzero(allowed)
    first = choose(sweep(values["validation"], validation.matrix[:, columns]), np.ones(len(columns), bool))
    found = score(first, values["test"], test.matrix[:, columns])
    rows = [
        Match(feature, validation.concepts[columns[found.concept[n]]], float(found.f1[n]), feature >= easy)
        for n, feature in enumerate(live)
        if found.concept[n] >= 0
    ]
    return sorted(rows, key=lambda row: -row.f1)


def _values(store: Store, split: Split, features: Sequence[int], easy: int) -> csc_matrix:
    """Activations [tokens, features]; of hard cases the largest only."""
    tokens = len(store.tokens(split).ids)
    parts = [store.activations(feature, split) for feature in features]
    for n, feature in enumerate(features):
        flat, values = parts[n]
        if feature >= easy and len(values) > WIDEST * tokens:
            order = np.sort(np.argsort(-values, kind="stable")[: int(WIDEST * tokens)])
            parts[n] = (flat[order], values[order])
    ends = np.cumsum([0, *(len(flat) for flat, _ in parts)])
    made = csc_matrix(
        (np.concatenate([v for _, v in parts]), np.concatenate([f for f, _ in parts]).astype(np.int32), ends.astype(np.int32)),
        shape=(tokens, len(features)),
    )
    made.sort_indices()
    return made


def _chosen(rows: Sequence[Match], good: float, features: int, seed: int) -> list[Match]:
    """Features to ask about: good ones in an order from the seed, each followed by one of its kin, and the best hard cases."""
    hard = [row for row in rows if row.hard][: features // HARD]
    easy = [row for row in rows if not row.hard and row.f1 >= good]
    order = [easy[n] for n in np.random.default_rng(_seed("choose", seed)).permutation(len(easy))]
    taken: dict[int, Match] = {}
    for row in order:
        near = next((one for one in order if one.feature not in taken and _related(row, one)), None)
        for one in (row, near):
            if one is not None and len(taken) < features - len(hard):
                taken.setdefault(one.feature, one)
    return [*taken.values(), *hard]


def _related(one: Match, other: Match) -> bool:
    """Whether they stand for different concepts that are kin."""
    return one.concept != other.concept and (other.concept in kin_of(one.concept) or one.concept in kin_of(other.concept))


def _truths(rows: Sequence[Match]) -> dict[int, Truth]:
    return {
        row.feature: Truth(
            feature=row.feature,
            text=said(row.concept),
            pattern=None,
            level=None,
            kind=CONCEPTS[row.concept.removeprefix(NEXT)].family,
            siblings=tuple(other.feature for other in rows if _related(row, other)),
            hard=row.hard,
        )
        for row in rows
    }


def _typical(ids: NDArray[np.int64], here: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The tokens that occur with a concept most often, among those that are more frequent with it than in the whole text."""
    size = int(ids.max(initial=0)) + 1
    inside, total = np.bincount(ids[here], minlength=size), np.bincount(ids, minlength=size)
    lift = inside / np.maximum(total, 1) > here.mean()
    return np.argsort(-np.where(lift, inside, 0), kind="stable")[:TYPICAL].astype(np.int64)


def _column(labels: TokenLabels, concept: str) -> NDArray[np.bool_]:
    """Where a concept holds [tokens]."""
    return np.asarray(labels.matrix[:, labels.concepts.index(concept)].toarray().ravel() > 0)


def _some(rows: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return np.asarray(rng.permutation(rows)[:n], np.int64)


def _seed(*parts: object) -> int:
    return seed_of("bench", *parts)
