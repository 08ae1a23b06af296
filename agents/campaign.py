"""A campaign: many features through the labeler, unattended, within a budget, stopped and resumed at any moment.

1. Resolve the run (store, explainer, judge, features, settings, seed): the same command finds the same run and goes on.
2. Queue the live features that have no outcome yet, the ones most worth a label first.
3. A crew takes one feature after the other. Each is a LangGraph thread, checkpointed after every step; it ends with a label or
   with the reason why there is none, and is then deleted. A step that is repeated after a kill changes nothing.
4. SIGINT and SIGTERM stop at the next step of every feature; SIGUSR1 pauses (features under way are finished), SIGUSR2 goes on.

A budget that is reached, a wrong key and a server that stays away stop the campaign with one sentence. Anything else that goes
wrong stops one feature, is tried again, and is then recorded.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph

from dragoman.evals.gateway.budget import Budget
from dragoman.evals.progress import Progress
from dragoman.evals.runs import resolve, spec, store_hash, working_on
from dragoman.store.errors import UserError
from dragoman.store.features import Store
from dragoman.store.findings import Event
from dragoman.store.records import Run

from .heartbeat import Heartbeat
from .labeler import Labeler
from .office import Office
from .opening import Opened, opening
from .queue import queue
from .settings import Settings
from .threads import threads

log = logging.getLogger(__name__)

STEP = "label"
"""Name of this step in the ledger's failures."""
TRIES = 2
"""Times a feature is begun again after something unexpected."""
DEEPEST = 200
"""Steps of one feature at most; settings bound them far below."""


@dataclass(frozen=True)
class Wish:
    """What is to be labeled, and how; everything here is part of what identifies the run."""

    explainer: str
    """`induction`, or a model by name."""
    judge: str = "pattern"
    """Who says how well a hypothesis does on validation."""
    features: tuple[int, ...] | None = None
    """Global ids; None for all."""
    settings: Settings = field(default_factory=Settings)
    """How the labeler works."""
    seed: int = 0
    """Of everything random."""
    each: Budget = field(default_factory=Budget)
    """What one feature may spend; it decides where a feature's work ends, so that it is part of the run."""


@dataclass(frozen=True)
class Means:
    """What may be spent on it; a campaign that goes on may be given other ones."""

    budget: Budget = field(default_factory=Budget)
    """Tokens and dollars, over all processes of the run."""
    concurrency: int = 32
    """Features in flight."""
    calls: int = 256
    """Model calls in flight to one server at most."""
    patience: float = 600.0
    """Seconds that a server may stay away."""
    reuse: bool = False
    """Take answers to the same questions from other runs."""
    price: str | None = None
    """US dollars a million tokens, where the list does not know the model."""


class Outcome(NamedTuple):
    """How a campaign ended."""

    run: Run
    """The run."""
    labels: int
    """Features with a label."""
    failures: int
    """Features with a reason instead."""
    tokens: int
    """Model tokens spent, over all processes."""
    dollars: float
    """US dollars likewise."""


def campaign(path: Path, wish: Wish, means: Means, fresh: bool = False, progress: bool = True) -> Outcome:
    """Label features with the labeler; resumes where it was stopped.

    Raises UserError when none of the features is live, when another process works on the same run, when the budget is reached,
    and when the server cannot be asked: what was done until then is kept, and the same command goes on.
    """
    return asyncio.run(_campaign(path, wish, means, fresh, progress))


async def _campaign(path: Path, wish: Wish, means: Means, fresh: bool, progress: bool) -> Outcome:
    with Store.open(path) as store:
        chosen = queue(store, wish.features)
        async with opening(store, wish, means, say=_tell if progress else None) as opened:
            run = resolve(store.ledger, "label", identity(store, wish, opened), fresh)
            with working_on(path, store.ledger, run):
                async with opened.office(run.id) as office, threads(path) as saver:
                    graph = Labeler(office).graph().compile(checkpointer=saver)
                    await Crew(store, run.id, office, graph, opened, means).all(chosen, progress)
                    spent = opened.spent()
        labels = len(store.ledger.labeled_features(run.id))
        failures = len({feature for feature, _, _ in store.ledger.failures(run.id)})
        return Outcome(run, labels, failures, *spent)


def identity(store: Store, wish: Wish, opened: Opened) -> dict[str, Any]:
    """What identifies a run; budgets of the whole run, concurrency and patience do not."""
    asked = range(store.width) if wish.features is None else wish.features
    return {
        "store": store_hash(store),
        "explainer": opened.explainer,
        "judge": opened.judge,
        "settings": wish.settings.model_dump(mode="json"),
        "each": [wish.each.tokens, wish.each.dollars],
        "features": spec(asked),
        "seed": wish.seed,
    }


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr)


class Crew:
    """Those who work on the features of one run."""

    def __init__(
        self, store: Store, run: str, office: Office, graph: CompiledStateGraph[Any], opened: Opened, means: Means
    ) -> None:
        self.store, self.run, self.office, self.graph, self.opened, self.means = store, run, office, graph, opened, means
        self.going = asyncio.Event()
        self.going.set()
        self.stopping = False
        self._admitted = len(office.trails.events(run))

    async def all(self, chosen: Sequence[int], progress: bool) -> None:
        """Work on every feature that has no outcome yet."""
        ledger = self.store.ledger
        labeled = ledger.labeled_features(self.run)
        done = labeled | {feature for feature, _, _ in ledger.failures(self.run)}
        left = [feature for feature in chosen if feature not in done]
        begun = len(chosen) - len(left)
        self.heart = Heartbeat(self.store.path, self.run, len(chosen), begun, len(labeled & set(chosen)), self.opened.spent)
        self.heart.beat("running")
        waiting = iter(left)
        with Progress("label", len(chosen), begun, progress) as self.bar:
            try:
                async with _signals(self), asyncio.TaskGroup() as group:
                    for _ in range(min(self.means.concurrency, len(left))):
                        group.create_task(self._work(waiting))
            except* UserError as errors:
                self.heart.beat("stopped")
                raise _first(errors) from None
            except* asyncio.CancelledError:
                self.heart.beat("stopped")
                raise KeyboardInterrupt from None
        self.heart.beat("stopped" if self.stopping else "done")
        if self.stopping:
            raise KeyboardInterrupt

    async def _work(self, waiting: Any) -> None:
        for feature in waiting:
            await self.going.wait()
            if self.stopping:
                return
            self._admit(feature)
            self.heart.in_flight += 1
            try:
                await self._feature(feature)
            finally:
                self.heart.in_flight -= 1

    async def _feature(self, feature: int) -> None:
        """One feature to its end, with a second try after something unexpected."""
        thread: RunnableConfig = {"configurable": {"thread_id": f"{self.run}:{feature}"}, "recursion_limit": DEEPEST}
        for left in reversed(range(TRIES)):
            try:
                known = await self.graph.aget_state(thread)
                given: Any = None if known.next else {"feature": feature}
                state = await self.graph.ainvoke(given, thread, durability="sync")
            except UserError:
                raise
            except Exception as error:
                log.warning("feature %d: something went wrong (%d tries left)", feature, left, exc_info=True)
                self.office.leave(feature)
                if not left:
                    reason = f"{type(error).__name__}: {error}".splitlines()[0]
                    self.store.ledger.add_failure(self.run, feature, STEP, reason)
                    self._finished(feature, None)
                    await self._forget(feature)
            else:
                self._finished(feature, state.get("label"))
                await self._forget(feature)
                return

    async def _forget(self, feature: int) -> None:
        assert self.graph.checkpointer is not None and not isinstance(self.graph.checkpointer, bool)
        await self.graph.checkpointer.adelete_thread(f"{self.run}:{feature}")

    def _finished(self, feature: int, label: str | None) -> None:
        figure = None
        if label is not None:
            (found,) = [one for one in self.store.ledger.labels(feature, self.run) if one.id == label]
            figure = found.confidence
        self.heart.finished(label is not None, figure)
        self.bar.advance(self.heart.remark())

    def _admit(self, feature: int) -> None:
        self.office.trails.add_events([Event(run=self.run, ordinal=self._admitted, kind="admitted", feature=feature)])
        self._admitted += 1

    def pause(self) -> None:
        """Take no further features."""
        self.going.clear()
        self.heart.beat("paused")

    def resume(self) -> None:
        """Go on."""
        self.going.set()
        self.heart.beat("running")

    def stop(self) -> None:
        """Take no further features, and leave those under way at their next step: they go on with the same command."""
        self.stopping = True
        self.going.set()
        self.heart.beat("stopping")


@asynccontextmanager
async def _signals(crew: Crew) -> AsyncIterator[None]:
    """SIGUSR1 pauses, SIGUSR2 goes on, SIGTERM and SIGINT stop."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None

    def stop() -> None:
        again = crew.stopping
        crew.stop()
        if again:
            return
        task.cancel()

    wanted: dict[signal.Signals, Callable[[], None]] = {signal.SIGTERM: stop, signal.SIGINT: stop}
    if hasattr(signal, "SIGUSR1"):
        wanted |= {signal.SIGUSR1: crew.pause, signal.SIGUSR2: crew.resume}
    set_up = []
    for number, handler in wanted.items():
        with suppress(NotImplementedError, ValueError, RuntimeError):  # Windows, or not the main thread
            loop.add_signal_handler(number, handler)
            set_up.append(number)
    try:
        yield
    finally:
        for number in set_up:
            loop.remove_signal_handler(number)


def _first(errors: BaseExceptionGroup[UserError]) -> UserError:
    for error in errors.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise RuntimeError("an empty group")
