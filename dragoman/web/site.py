"""What all pages of one store share: the open store, its model, threads to work in, and the templates."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from starlette.requests import Request

from dragoman.evals.report.build import TABLE
from dragoman.store.catalogue import Catalogue
from dragoman.store.chats import Chats
from dragoman.store.features import Store
from dragoman.store.manifest import LEDGER
from dragoman.store.trails import Trails
from dragoman.store.verdicts import Verdicts
from dragoman.tools.toolbox import Desk
from dragoman.tools.workbench import Workbench

from .pages import Pages

READERS = 3
"""Reads of the store side by side."""
KEPT = 64
"""Computed figures that are kept."""
Result = TypeVar("Result")


class Site:
    """One store with everything that pages need. Use `close` at the end."""

    def __init__(
        self, path: Path, subject: str | None = None, dictionaries: Sequence[str] = (), device: str | None = None
    ) -> None:
        """
        Args:
            path: the store.
            subject: where its model is now, if it has moved; the model is loaded when a page first needs it.
            dictionaries: NAME=SPEC of those that have moved.
            device: to run the model on.

        Raises UserError as `Store.open` does.
        """
        self.path = path
        self.bench = Workbench.open(path, subject, dictionaries, device)
        """The store with its model. What runs the model belongs into `work`."""
        self.store: Store = self.bench.store
        """The store; people see all of it, not only what agents see."""
        self.pages = Pages()
        """The templates."""
        self._reading = ThreadPoolExecutor(READERS, "web-store")
        self._working = ThreadPoolExecutor(1, "web-model")
        self._lock = threading.Lock()
        self._kept: dict[tuple[object, ...], tuple[Any]] = {}

    async def read(self, work: Callable[..., Result], *arguments: object) -> Result:
        """Run something that reads the store in a thread; several go side by side."""
        return await asyncio.get_running_loop().run_in_executor(self._reading, partial(work, *arguments))

    async def work(self, work: Callable[..., Result], *arguments: object) -> Result:
        """Run something that needs the model in a thread, one after the other, with the model's lock held."""

        def locked() -> Result:
            with self.bench.lock:
                return work(*arguments)

        return await asyncio.get_running_loop().run_in_executor(self._working, locked)

    def kept(self, key: tuple[object, ...], work: Callable[[], Result]) -> Result:
        """What was computed for this key before, or is now; a few are kept. What the ledger may change belongs into the key."""
        if (known := self._kept.get(key)) is not None:
            return known[0]  # type: ignore[no-any-return]  # what `work` made
        made = work()
        while len(self._kept) >= KEPT:
            self._kept.pop(next(iter(self._kept)), None)
        self._kept[key] = (made,)
        return made

    @property
    def desk(self) -> Desk:
        """What toolboxes are made of; ask for it inside `work`, because making it reads the train rows."""
        with self._lock:
            return self._desk

    @cached_property
    def live(self) -> frozenset[int]:
        """Ids of the features that fire often enough to be labeled and scored."""
        return frozenset(self.store.features("live"))

    @property
    def trails(self) -> Trails:
        """What agents did."""
        with self._lock:
            return self._trails

    @property
    def verdicts(self) -> Verdicts:
        """What people said."""
        with self._lock:
            return self._verdicts

    @property
    def chats(self) -> Chats:
        """What was said in chats, and what was found."""
        with self._lock:
            return self._chats

    @property
    def catalogue(self) -> Catalogue:
        """The table of all features."""
        with self._lock:
            return self._catalogue

    def close(self) -> None:
        """Wait for what runs, and close the files."""
        for pool in (self._working, self._reading):
            pool.shutdown(wait=True, cancel_futures=True)
        if "_trails" in self.__dict__:
            self._trails.close()
        if "_verdicts" in self.__dict__:
            self._verdicts.close()
        if "_chats" in self.__dict__:
            self._chats.close()
        self.store.close()

    @cached_property
    def _desk(self) -> Desk:
        return Desk.of(self.bench)

    @cached_property
    def _verdicts(self) -> Verdicts:
        return Verdicts(self.path / LEDGER)

    @cached_property
    def _chats(self) -> Chats:
        return Chats(self.path / LEDGER)

    @cached_property
    def _catalogue(self) -> Catalogue:
        return self.store.catalogue(self._verdicts, tuple(TABLE))

    @cached_property
    def _trails(self) -> Trails:
        return Trails(self.path / LEDGER)


def site_of(request: Request) -> Site:
    """The site that a request is for."""
    site: Site = request.app.state.site
    return site
