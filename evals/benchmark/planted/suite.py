"""The suite `planted`: made features over text, each a program with a plain-English truth."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from dragoman.evals.benchmark.records import FreshText, Truth
from dragoman.evals.organism.load import corpus_documents, organism_paths
from dragoman.store.disk import write_atomically
from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.hashing import seed_of
from dragoman.store.records import Split
from dragoman.store.splits import document_hash
from dragoman.tools.documents import Corpus
from dragoman.tools.programs import Program, ProgramSource
from dragoman.tools.programs.harvest import harvest_programs
from dragoman.tools.programs.reading import Reading
from dragoman.tools.speaking import Voice

from .drawing import Drawing
from .fresh import Fresh, Pool
from .material import Material

DOCUMENTS = 1_500
"""Documents of a store."""
WINDOW = 128
"""Tokens of a window."""
POOL = 800
"""Documents that fresh texts of one seed are made from."""
_NEIGHBOURS = 16


class PlantedSuite:
    """Made features over the organism's corpus or the user's text."""

    name = "planted"
    endless = True
    """The features of every seed are new ones."""

    def __init__(
        self,
        text: str | Path | None = None,
        tokenizer: str | Path | None = None,
        documents: int = DOCUMENTS,
        window: int = WINDOW,
    ) -> None:
        """
        Args:
            text: file, folder or dataset name (see `tools/documents.py`); by default the organism's corpus, another part of it
                for every seed. A fifth of a text of one's own is kept out of the store, for fresh texts.
            tokenizer: folder of a model or a fast tokenizer; by default the organism's.
            documents: documents of the store, at most.
            window: tokens of a window.
        """
        self.text, self.documents, self.window = text, documents, window
        self.tokenizer = Path(tokenizer) if tokenizer is not None else None

    def prepare(self, folder: Path, seed: int, features: int) -> PlantedTrial:
        """Draw features, run the text through them into `folder`/store, or open what is there.

        Raises:
            UserError: the text or the tokenizer cannot be read, there is too little text, or the folder holds another trial.
        """
        if features < 1:
            raise UserError(f"A trial needs at least 1 feature, not {features}.")
        organism = organism_paths().model
        voice = Voice.load(self.tokenizer or organism, "" if self.tokenizer else "the organism")
        texts, kept = self._texts(seed)
        material = Material(voice, texts, self.window)
        programs, truths = Drawing(material, seed).features(features)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "text.jsonl"
        if not (folder / "store" / "manifest.json").exists():
            lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
            write_atomically(path, lines.encode())
        with harvest_programs(
            folder / "store",
            programs,
            voice,
            path,
            name=self.name,
            window=self.window,
            more={"suite": self.name, "seed": seed},
            neighbours=neighbours(material, programs),
            progress=False,
        ) as store:
            live = tuple(sorted(store.features("live")))
        return PlantedTrial(folder / "store", live, programs, truths, material, kept, seed, voice)

    def _texts(self, seed: int) -> tuple[list[str], list[str]]:
        """What goes into the store, and what of the user's text is kept for fresh texts."""
        if self.text is None:
            return [document.text for document in corpus_documents(self.documents, corpus_seed(seed))], []
        stored: dict[str, None] = {}
        kept: dict[str, None] = {}
        for document in Corpus(str(self.text)):
            into = kept if int(document_hash(document.text)[-4:], 16) % 5 == 0 else stored
            into[document.text] = None
            if len(stored) == self.documents:
                break
        return list(stored), list(kept)


class PlantedTrial:
    """Made features of one seed, their store, and texts that are not in it."""

    def __init__(
        self,
        store: Path,
        live: tuple[int, ...],
        programs: Sequence[Program],
        truths: Sequence[Truth],
        material: Material,
        kept: Sequence[str],
        seed: int,
        voice: Voice,
    ) -> None:
        self.store, self.features = store, live
        self.programs, self.seed = tuple(programs), seed
        self.truths: Mapping[int, Truth] = {truth.feature: truth for truth in truths}
        self.source = ProgramSource(voice.vocabulary, programs)
        """Activations and truth of all features on any tokens."""
        self._material, self._kept, self._voice = material, kept, voice
        self._pool = lru_cache(4)(self._new_pool)
        self._readings = lru_cache(3)(self._new_reading)

    def fresh(self, feature: int, seed: int, n: int) -> Sequence[FreshText]:
        """At most n texts of each kind; the same for the same seed. Fewer where the text holds no more.

        Raises:
            UserError: there is no such feature, or no text was kept.
        """
        if feature not in self.truths:
            raise UserError(f"There is no feature {feature} in this trial: it has 0 to {len(self.programs) - 1}.")
        siblings = [self.programs[other].term for other in self.truths[feature].siblings]
        rng = random.Random(seed_of("fresh", self.seed, feature, seed))
        return Fresh(self._pool(seed), self.programs[feature].term, siblings, rng).texts(n)

    def holds(self, feature: int, split: Split) -> NDArray[np.bool_]:
        """Whether the program holds at each token of a split of the store, noise aside (tokens,)."""
        return np.asarray(self.programs[feature].term.on(self._readings(split)))

    def _new_reading(self, split: Split) -> Reading:
        with Store.open(self.store) as store:
            tokens = store.tokens(split)
            return Reading(self._material.lexicon, np.split(tokens.ids, tokens.starts[1:-1]))

    def _new_pool(self, seed: int) -> Pool:
        texts = list(self._kept) or [document.text for document in corpus_documents(POOL, corpus_seed(self.seed, "fresh", seed))]
        return Pool(self._voice, self._material.lexicon, texts, self._material.window)


def corpus_seed(*content: object) -> int:
    """The seed of the part of the organism's corpus that belongs to a trial."""
    return seed_of("planted corpus", *content) % 2**31


def neighbours(material: Material, programs: Sequence[Program]) -> pa.Table | None:
    """The features that fire on the same tokens, in the place of directions that point the same way.

    Returns:
        Columns as of `StaticTables.neighbour`; the cosine is that of two columns of ones and zeros over tokens.
    """
    if len(programs) < 2:
        return None
    fires = sparse.csc_matrix(np.stack([program.fires(material.reading) for program in programs], axis=1).astype(np.float32))
    shared = (fires.T @ fires).toarray()
    size = np.sqrt(np.maximum(shared.diagonal(), 1))
    cosine = shared / size[:, None] / size[None, :]
    np.fill_diagonal(cosine, -1)
    top = min(_NEIGHBOURS, len(programs) - 1)
    other = np.argsort(-cosine, axis=1, kind="stable")[:, :top]
    return pa.table(
        {
            "feature": np.repeat(np.arange(len(programs), dtype=np.uint32), top),
            "rank": np.tile(np.arange(top, dtype=np.uint8), len(programs)),
            "other": other.reshape(-1).astype(np.uint32),
            "cosine": np.take_along_axis(cosine, other, 1).reshape(-1).astype(np.float32),
        }
    )
