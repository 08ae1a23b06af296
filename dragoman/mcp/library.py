"""What the server can see of a store: train rows, labels without figures, and runs. Nothing else of this package opens one.

Labels that people wrote are left out: they may have read what agents must not.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from dragoman.store.manifest import LEDGER
from dragoman.store.records import HUMAN, DictionaryInfo, Label, Run
from dragoman.store.trails import Trails
from dragoman.tools.toolbox import Desk, Toolbox
from dragoman.tools.toolkit.desk import bare
from dragoman.tools.workbench import Workbench

RUN = "mcp"
"""The run that notes of clients are kept under."""
_SHOWN = ("explainer", "judge", "labels", "rung", "features", "seed")
"""What is shown of a run's configuration."""


class Outline(NamedTuple):
    """What a store is made of."""

    name: str
    """Its folder's name."""
    model: str
    """The language model's name, without the folders it lies in."""
    layers: int
    """Its blocks."""
    dictionaries: tuple[DictionaryInfo, ...]
    """Its dictionaries."""
    tokens: int
    """Train tokens."""
    contexts: int
    """Train contexts."""


class Library:
    """A store as agents see it. Use `Library.open`."""

    def __init__(self, bench: Workbench, seed: int, note: Callable[[str], None]) -> None:
        """
        Args:
            bench: the open store with its model.
            seed: of everything that tools draw at random.
            note: takes a note down.
        """
        desk, store, ledger = Desk.of(bench), bench.store, bench.store.ledger
        self.toolbox = Toolbox(desk, RUN, None, seed=seed, note=lambda given: note(str(given["text"])), other_runs=True)
        """The tools; no feature is under study, so calls name one."""
        self.view = desk.train
        """The train rows."""
        model, tokens = store.subject, desk.train.tokens
        name = PurePath(model.name).name if PurePath(model.name).is_absolute() else model.name
        self.outline = Outline(store.path.name, name, model.layers, store.dictionaries, len(tokens.ids), tokens.n_contexts)
        """What the store is made of."""
        self._label, self._every, self._names, self._runs = ledger.label, ledger.labels, ledger.names, ledger.runs
        self._labeled = ledger.labeled_features

    @classmethod
    @contextmanager
    def open(
        cls, path: Path, model: str | None = None, dictionaries: Sequence[str] = (), device: str | None = None, seed: int = 0
    ) -> Iterator[Library]:
        """Open a store; the arguments are those of `Workbench.open`. The model is loaded when a tool first needs it.

        Raises UserError as `Store.open` does.
        """
        with ExitStack() as stack:
            bench = stack.enter_context(Workbench.open(path, model, dictionaries, device))
            lock = threading.Lock()
            trails: list[Trails] = []

            def note(text: str) -> None:
                with lock:
                    if not trails:
                        trails.append(Trails(path / LEDGER))
                        stack.callback(trails[0].close)
                    trails[0].add_note(RUN, -1, text)

            yield cls(bench, seed, note)

    def label(self, id: str) -> Label | None:
        """A label, without notes and evidence."""
        found = self._label(id)
        return None if found is None or found.agent == HUMAN else bare(found)

    def labels_of(self, feature: int) -> list[Label]:
        """All labels of a feature, likewise, the newest first."""
        return [bare(label) for label in reversed(self._labels(feature=feature))]

    def named(self, after: int = -1, most: int = 100) -> list[tuple[int, str]]:
        """Labeled features whose ids come after `after`, each with the name of its newest label."""
        return self._names(after, most, HUMAN)

    def runs(self) -> list[Run]:
        """All runs, in the order of their first start."""
        return self._runs()

    def labeled(self, run: str) -> list[int]:
        """Features that a run has labeled."""
        return sorted(self._labeled(run))

    def labels_in(self, run: str, feature: int) -> list[Label]:
        """A run's labels of a feature, without notes and evidence."""
        return [bare(label) for label in self._labels(feature=feature, run=run)]

    def settings(self, run: Run) -> Mapping[str, Any]:
        """What is told of a run's configuration."""
        config = json.loads(run.config)
        return {name: config[name] for name in _SHOWN if config.get(name) is not None}

    def key(self, feature: int) -> str:
        """Address of a feature."""
        return str(self.view.key(feature))

    def _labels(self, feature: int, run: str | None = None) -> list[Label]:
        return [label for label in self._every(feature=feature, run=run) if label.agent != HUMAN]
