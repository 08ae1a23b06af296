"""Those who work on the features of one run: one feature after the other, several at a time, until told to pause or stop.

A feature is a LangGraph thread, and it is done when its label, or the reason why it has none, is in the ledger and its thread
is gone. One that was interrupted goes on at the step that was not finished.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph

from dragoman.evals.progress import Progress
from dragoman.store.errors import Stopped, UserError
from dragoman.store.features import Store
from dragoman.store.findings import EventKind

from .heartbeat import EVERY, Heartbeat, figure_of
from .office import Office
from .threads import Checkpoints

log = logging.getLogger(__name__)

STEP = "label"
"""Name of this step in the ledger's failures."""
TRIES = 2
"""Times a feature is begun again after something unexpected."""
DEEPEST = 200
"""Steps of one feature at most; settings bound them far below."""
GRACE = 20.0
"""Seconds that steps under way have to end after a signal to stop."""


class Crew:
    """Works on the features of one run."""

    def __init__(
        self,
        store: Store,
        office: Office,
        graph: CompiledStateGraph[Any],
        concurrency: int,
        spent: Callable[[], tuple[int, float]],
    ) -> None:
        """graph: compiled with the store's checkpoints. spent: tokens and dollars so far."""
        assert isinstance(graph.checkpointer, Checkpoints)
        self.store, self.office, self.graph, self.concurrency, self.spent = store, office, graph, concurrency, spent
        self.run = office.run
        self.saver: Checkpoints = graph.checkpointer
        self.going = asyncio.Event()
        self.going.set()
        self.stopped_by: int | None = None
        """The signal."""
        self._admitted = {event.feature for event in office.trails.events(self.run) if event.kind == "admitted"}

    async def all(
        self, chosen: Sequence[int], progress: bool, ahead: Callable[[Sequence[int]], Awaitable[None]] | None = None
    ) -> None:
        """Work on every feature that is not done. Raises UserError where none can go on, and Stopped after a signal.

        ahead: done first, with the features that were not begun.
        """
        done = await self._done() & set(chosen)
        left = sorted((feature for feature in chosen if feature not in done), key=lambda feature: feature not in self._admitted)
        figures = self._figures(done)
        self.heart = Heartbeat(self.store.path, self.run, len(chosen), len(done), figures, self.spent)
        self.heart.beat("running")
        waiting = iter(left)
        with Progress("label", len(chosen), len(done), progress) as self.bar:
            try:
                async with _signals(self), self._beating(), asyncio.TaskGroup() as group:
                    if ahead is not None:
                        begun = self.saver.left_open(self.run)
                        await ahead([feature for feature in left if feature not in begun])
                    for _ in range(min(self.concurrency, len(left))):
                        group.create_task(self._work(waiting))
            except* UserError as errors:
                error = _first(errors)
                kind: EventKind = "budget" if str(error).startswith("The budget") else "stopped"
                self.office.trails.happened(self.run, kind, content={"reason": str(error)})
                self.heart.beat("stopped", str(error))
                raise error from None
            except* asyncio.CancelledError:
                if self.stopped_by is None:
                    self.heart.beat("stopped")
                    raise
        if self.stopped_by is not None:
            self.heart.beat("stopped", f"by {signal.Signals(self.stopped_by).name}")
            raise Stopped(self.stopped_by)
        self.heart.beat("done")

    async def _done(self) -> set[int]:
        """Features with an outcome; those whose last step was not finished are not done."""
        failed = {feature for feature, _, _ in self.store.ledger.failures(self.run)}
        done = self.store.ledger.labeled_features(self.run) | failed
        for feature in self.saver.left_open(self.run) & done:
            state = await self.graph.aget_state(self._thread(feature))
            if set(state.next) <= {"record"}:
                done.discard(feature)
            else:  # given up after something unexpected
                await self.saver.adelete_thread(f"{self.run}:{feature}")
        return done

    def _figures(self, done: set[int]) -> list[float | None]:
        """Figures on validation of the labels there are."""
        return [figure_of(label) for label in self.store.ledger.labels(run=self.run) if label.feature in done]

    async def _work(self, waiting: Iterator[int]) -> None:
        for feature in waiting:
            await self.going.wait()
            if self.stopped_by is not None:
                return
            if feature not in self._admitted:
                self._admitted.add(feature)
                self.office.trails.happened(self.run, "admitted", feature)
            self.heart.in_flight += 1
            try:
                await self._feature(feature)
            finally:
                self.heart.in_flight -= 1

    async def _feature(self, feature: int) -> None:
        """One feature to its end, with a second try after something unexpected."""
        for left in reversed(range(TRIES)):
            try:
                label = await self._steps(feature)
            except UserError:
                raise
            except _Left:
                return
            except Exception as error:
                log.warning("feature %d: something went wrong (%d tries left)", feature, left, exc_info=True)
                self.office.leave(feature)
                if not left:
                    self.store.ledger.add_failure(self.run, feature, STEP, reason_of(error))
                    await self._finished(feature, None)
            else:
                await self._finished(feature, label)
                return

    async def _steps(self, feature: int) -> str | None:
        """The label's id, or None; goes on where a thread was interrupted. Raises _Left when told to stop."""
        thread = self._thread(feature)
        known = await self.graph.aget_state(thread)
        if known.created_at is not None and not known.next:
            return known.values.get("label")
        given: Any = {"feature": feature} if known.created_at is None else None
        state: dict[str, Any] = {}
        stream = self.graph.astream(given, thread, stream_mode="values", durability="sync")
        async with aclosing(cast(AsyncGenerator[dict[str, Any]], stream)) as steps:
            async for state in steps:
                if self.stopped_by is not None and "label" not in state:
                    self.office.leave(feature)
                    raise _Left
        return state.get("label")

    def _thread(self, feature: int) -> RunnableConfig:
        return {"configurable": {"thread_id": f"{self.run}:{feature}"}, "recursion_limit": DEEPEST}

    async def _finished(self, feature: int, label: str | None) -> None:
        figure = None
        if label is not None:
            figure = next(figure_of(one) for one in self.store.ledger.labels(feature, self.run) if one.id == label)
        await self.saver.adelete_thread(f"{self.run}:{feature}")
        self.heart.finished(label is not None, figure)
        self.bar.advance(self.heart.remark())

    @asynccontextmanager
    async def _beating(self) -> AsyncIterator[None]:
        """Write the heartbeat even while nothing is finished."""

        async def beat() -> None:
            while True:
                await asyncio.sleep(EVERY)
                self.heart.beat()

        task = asyncio.create_task(beat())
        try:
            yield
        finally:
            task.cancel()

    def pause(self) -> None:
        """Take no further features."""
        if self.going.is_set() and self.stopped_by is None:
            self.going.clear()
            self.office.trails.happened(self.run, "paused")
            self.heart.beat("paused")

    def resume(self) -> None:
        """Go on."""
        if not self.going.is_set() and self.stopped_by is None:
            self.going.set()
            self.office.trails.happened(self.run, "resumed")
            self.heart.beat("running")

    def stop(self, by: int) -> None:
        """Take no further features, and leave those under way at their next step: they go on with the same command."""
        self.stopped_by = by
        self.going.set()
        self.heart.beat("stopping")


class _Left(Exception):
    """A feature was left where it is, to go on later."""


def reason_of(error: Exception) -> str:
    """Something unexpected as the reason of a failure: one line."""
    lines = f"{type(error).__name__}: {error}".splitlines()
    return lines[0].rstrip(": ")


@asynccontextmanager
async def _signals(crew: Crew) -> AsyncIterator[None]:
    """SIGUSR1 pauses, SIGUSR2 goes on, SIGTERM and SIGINT stop: after the steps under way, or at once when it comes again."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    late: list[asyncio.TimerHandle] = []

    def stop(number: int) -> None:
        if crew.stopped_by is None:
            crew.stop(number)
            late.append(loop.call_later(GRACE, task.cancel))
        else:
            task.cancel()

    set_up = []

    def handle(name: str, handler: Callable[..., None], *given: Any) -> None:
        number = getattr(signal, name, None)
        with suppress(NotImplementedError, ValueError, RuntimeError):  # Windows, or not the main thread
            if number is not None:
                loop.add_signal_handler(number, handler, *given)
                set_up.append(number)

    handle("SIGINT", stop, signal.SIGINT)
    handle("SIGTERM", stop, signal.SIGTERM)
    handle("SIGUSR1", crew.pause)
    handle("SIGUSR2", crew.resume)
    try:
        yield
    finally:
        for timer in late:
            timer.cancel()
        for number in set_up:
            loop.remove_signal_handler(number)


def _first(errors: BaseExceptionGroup[UserError]) -> UserError:
    for error in errors.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise RuntimeError("an empty group")
