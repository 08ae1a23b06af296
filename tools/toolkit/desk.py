"""What all toolboxes of one store share: its train rows, what gives activations of new texts, and tables made from them once.

A desk holds no store. What it needs of one it has as functions, so that nothing on it leads to other rows than those of train.
It is used from several threads: readings of the model go one at a time, everything else side by side.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64

from dragoman.store.errors import ToolError
from dragoman.store.features import Store
from dragoman.store.manifest import FEATURES
from dragoman.store.query import QueryResult
from dragoman.store.records import HUMAN, Context, DictionaryInfo, Label, TrainStats
from dragoman.store.view import TrainView
from dragoman.tools.dictionaries import Dictionary
from dragoman.tools.gauge import Gauge, SourceGauge
from dragoman.tools.kinds import Kinds
from dragoman.tools.patterns import PatternText, usage_of
from dragoman.tools.probe import Probe
from dragoman.tools.prompt import Prompt, Speaker
from dragoman.tools.query import train_query
from dragoman.tools.source import FeatureSource, SubjectSource
from dragoman.tools.subject import Subject
from dragoman.tools.workbench import Workbench

TRIGGERS = 12
"""Tokens on which a feature fires most often; near misses hold one of them."""
KEPT = 32
"""Features whose train activations are at hand as arrays of their own."""
READ = 256
"""Features that can be read on new texts without being set up again."""
Query = Callable[[str, Callable[[], Sequence[Label]]], QueryResult]
"""Runs a SELECT over train rows."""


class Rows(NamedTuple):
    """The train activations of a feature."""

    at: Int64[np.ndarray, " n"]
    """Indices of the active tokens among all train tokens, ascending."""
    values: Float32[np.ndarray, " n"]
    """The activation on each."""


class Machine:
    """A model with its dictionaries, each loaded when first needed."""

    def __init__(
        self, subject: Callable[[], Subject], dictionary: Callable[[str], Dictionary], *, prepend_bos: bool, special: bool
    ) -> None:
        """
        Args:
            subject: loads the model.
            dictionary: loads a dictionary by its name.
            prepend_bos: whether BOS stands before every window.
            special: whether special tokens that stand in a text are kept.
        """
        self._subject, self._dictionary = subject, lru_cache(None)(dictionary)
        self.prepend_bos, self.special = prepend_bos, special

    @cached_property
    def subject(self) -> Subject:
        """The model. Raises `UserError` where it cannot be loaded."""
        return self._subject()

    def dictionary(self, name: str) -> Dictionary:
        """A dictionary. Raises `UserError` where it cannot be loaded."""
        return self._dictionary(name)


class Desk:
    """Shared by the toolboxes of one store; cheap to bind to a feature. Also a context manager."""

    def __init__(
        self,
        train: TrainView,
        dictionaries: Sequence[DictionaryInfo],
        *,
        name: str = "store",
        window: int = 128,
        machine: Machine | None = None,
        speaker: Speaker | None = None,
        sources: Mapping[str, FeatureSource] | None = None,
        labels: Callable[[], Sequence[Label]] = tuple,
        query: Query | None = None,
        lock: threading.RLock | None = None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            train: the store's train rows.
            dictionaries: the store's dictionaries.
            name: of the store, for words.
            window: tokens of a window, BOS not counted.
            machine: the model; without one, tools that change a forward pass raise ToolError.
            speaker: cuts texts into tokens, where there is no model.
            sources: gives activations by name of dictionary, where there is no model.
            labels: gives the ledger's labels, without notes and evidence, and without those of people, who may have seen more.
            query: runs a SELECT over train rows, given the labels that may be seen.
            lock: held by whoever runs the model; by default one of its own.
            close: called at the end.
        """
        self.train, self.dictionaries, self.name, self.window = train, tuple(dictionaries), name, window
        self.machine = machine
        self._speaker, self._sources, self._close = speaker, dict(sources or {}), close
        self.labels, self.query = labels, query
        self.lock = lock or threading.RLock()
        """Held while the model runs, and while tables are made."""
        train.hold()
        self._rows = lru_cache(KEPT)(lambda feature: Rows(*train.activations(feature)))
        self._gauge = lru_cache(READ)(self._new_gauge)

    @classmethod
    def of(cls, bench: Workbench) -> Desk:
        """The desk of a workbench, which stays the caller's to close."""
        return _desk(cls, bench, lambda: None)

    @classmethod
    def open(cls, path: Path | str, model: str | Path | Subject | None = None, dictionaries: Sequence[str] = ()) -> Desk:
        """Open a store; the arguments are those of `Workbench`. Nothing of the model is read yet."""
        bench = Workbench(Store.open(path), model, dictionaries)
        return _desk(cls, bench, lambda: bench.store.close())

    def __repr__(self) -> str:
        return f"Desk({self.name!r}: {self.train!r})"

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    # Train rows

    def stats(self, feature: int) -> TrainStats:
        """Train statistics of a feature."""
        return self.train.stats(feature)

    def rows(self, feature: int) -> Rows:
        """Its train activations; kept for a while."""
        return self._rows(feature)

    def triggers(self, feature: int) -> Int64[np.ndarray, " tokens"]:
        """Ids of the tokens on which it fires most often on train, at most `TRIGGERS`."""
        rows = self.rows(feature)
        fired = self.train.tokens.ids[rows.at[rows.values > self.stats(feature).threshold]]
        tokens, counts = np.unique(fired, return_counts=True)
        return tokens[np.lexsort((tokens, -counts))][:TRIGGERS].astype(np.int64)

    @cached_property
    def text(self) -> PatternText:
        """The train tokens, ready for patterns; shared, and not safe without the lock."""
        with self.lock:
            return PatternText(self.train.tokens, usage_of(self.train.tokens))

    @cached_property
    def kinds(self) -> Kinds:
        """Finds spans of one kind on train; not safe without the lock."""
        return Kinds(self.train)

    def context(self, number: int) -> Context:
        """A train context. Raises `UserError` where it is none."""
        return self.train.contexts([number])[0]

    # New texts

    @property
    def readable(self) -> bool:
        """Whether activations of new texts can be had."""
        return self.machine is not None or bool(self._sources and self._speaker)

    @property
    def speaker(self) -> Speaker:
        """What cuts texts into tokens. Raises ToolError where there is nothing."""
        if self.machine is not None:
            return self.machine.subject
        if self._speaker is None:
            raise ToolError("There is no model here, so no activations of new texts: use stored examples.")
        return self._speaker

    def source(self, name: str) -> FeatureSource:
        """What gives the activations of a dictionary. Raises ToolError where there is nothing."""
        if self.machine is not None:
            return SubjectSource(self.machine.subject, self.machine.dictionary(name), self.machine.prepend_bos)
        if name not in self._sources:
            raise ToolError(f"There is nothing here that gives activations of {name} on new texts: use stored examples.")
        return self._sources[name]

    def model(self) -> Machine:
        """The model. Raises ToolError where there is none."""
        if self.machine is None:
            raise ToolError("There is no model here whose forward pass could be changed: use activate and edit_and_compare.")
        return self.machine

    def gauge(self, feature: int) -> Gauge:
        """Reads one feature on new texts; use it with the lock held."""
        return self._gauge(feature)

    def probe(self, feature: int) -> Probe:
        """The same with a model. Raises ToolError where there is none."""
        self.model()
        gauge = self.gauge(feature)
        assert isinstance(gauge, Probe)
        return gauge

    def prompt(self, text: str) -> Prompt:
        """A text's tokens. Raises ToolError for one that holds none."""
        prompt = Prompt.from_text(self.speaker, text, self.machine is not None and self.machine.special)
        if not len(prompt):
            raise ToolError("A text holds no tokens: give one with at least one token.")
        return prompt

    def stored(self, context: Context) -> Prompt:
        """A stored context as it was cut."""
        text = "".join(context.strings)
        ends = np.cumsum([len(string) for string in context.strings]).tolist()
        canonical = tuple(self.speaker.tokenize(text).ids.tolist()) == context.ids
        return Prompt(text, context.ids, context.strings, tuple(zip([0, *ends[:-1]], ends, strict=True)), canonical)

    def _new_gauge(self, feature: int) -> Gauge:
        key, stats = self.train.key(feature), self.stats(feature)
        if self.machine is not None:
            return Probe(
                self.machine.subject,
                self.machine.dictionary(key.dictionary),
                key.index,
                prepend_bos=self.machine.prepend_bos,
                window=self.window,
                threshold=stats.threshold,
                maximum=stats.max,
                train=self.train,
                kinds=self.kinds,
            )
        return SourceGauge(
            self.speaker,
            self.source(key.dictionary),
            key.index,
            str(key),
            window=self.window,
            threshold=stats.threshold,
            maximum=stats.max,
            train=self.train,
            kinds=self.kinds,
        )


def _desk(kind: type[Desk], bench: Workbench, close: Callable[[], None]) -> Desk:
    store = bench.store
    machine = None
    if bench.has_model:
        machine = Machine(
            lambda: bench.subject,
            lambda name: bench.dictionary(name),
            prepend_bos=bench.prepend_bos,
            special=bool(store.manifest.plan.get("include_special")),
        )
    return kind(
        bench.train,
        store.dictionaries,
        name=store.path.name,
        window=int(store.manifest.plan.get("window", 128)),
        machine=machine,
        speaker=None if machine else bench.speaker,
        sources=None if machine else {info.name: bench.source(info.name) for info in store.dictionaries},
        labels=lambda: [bare(label) for label in store.ledger.labels() if label.agent != HUMAN],
        query=lambda sql, labels: train_query(store.path / FEATURES, sql, labels),
        lock=bench.lock,
        close=close,
    )


def bare(label: Label) -> Label:
    """A label without what only people and scorers need: its notes and its evidence."""
    return label.model_copy(update={"notes": "{}", "evidence": ()})
