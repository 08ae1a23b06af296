"""Campaigns in this process, with a scripted researcher in a thread of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dragoman.agents.campaign import Means, Outcome, Wish, campaign
from dragoman.agents.settings import Settings
from dragoman.evals.gateway.budget import Budget
from dragoman.store.features import Store
from tests.agents.answering import MODEL, researcher
from tests.agents.ledgers import rows
from tests.evals.gateway.server import ScriptedServer

SETTINGS = Settings(rounds=1, tests=2)


@contextmanager
def scripted() -> Iterator[ScriptedServer]:
    """The researcher, who is trouble now and then."""
    with ScriptedServer(researcher(trouble=True), models=(MODEL,), context=100_000) as server:
        yield server


def live(path: Path, n: int) -> tuple[int, ...]:
    """The first live features of a store."""
    with Store.open(path) as store:
        return tuple(store.features("live")[:n])


def run(
    path: Path,
    url: str,
    features: tuple[int, ...],
    means: Means | None = None,
    settings: Settings = SETTINGS,
    each: int | None = None,
) -> Outcome:
    """Label features. each: tokens for one."""
    wish = Wish(url if "#" in url else f"vllm:{url}", features=features, settings=settings, each=Budget(tokens=each))
    return campaign(path, wish, means or Means(), progress=False)


def run_of(path: Path) -> str:
    """Id of the only run of a store."""
    ((found,),) = rows(path, "SELECT id FROM run WHERE kind = 'label'")
    return str(found)
