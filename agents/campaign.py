"""A campaign: many features through the labeler, unattended, within a budget, stopped and resumed at any moment.

1. Resolve the run (store, explainer, judge, features, settings, seed): the same command finds the same run and goes on.
2. Queue the live features that have no outcome yet, the ones most worth a label first.
3. A crew takes one feature after the other. Each is a LangGraph thread, checkpointed after every step; it ends with a label or
   with the reason why there is none, and is then deleted. A step that is repeated after a kill changes nothing.
4. SIGINT and SIGTERM stop at the next step of every feature, a second one at once; SIGUSR1 pauses (features under way are
   finished), SIGUSR2 goes on (`crew.py`).

A budget that is reached, a wrong key and a server that stays away stop the campaign with one sentence. Anything else that goes
wrong stops one feature, is tried again, and is then recorded.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from dragoman.evals.gateway.budget import Budget
from dragoman.evals.runs import resolve, spec, store_hash, working_on
from dragoman.store.features import Store
from dragoman.store.records import Run

from .crew import Crew
from .labeler import Labeler
from .opening import Opened, opening
from .queue import queue
from .settings import Settings
from .threads import threads

SEATS = ("explainer", "judge", "rival", "arbiter")
"""Parts of a wish that name models."""


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
    rival: str | None = None
    """Who holds the other side of a debate, named as the explainer is; None: the explainer holds both."""
    arbiter: str | None = None
    """The model that writes verdicts of debates; None: code does."""


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
    batch: bool = False
    """Ask the first question of every feature in batches, before anything else."""


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
                    office.trails.happened(run.id, "started", content={name: getattr(wish, name) for name in SEATS})
                    graph = Labeler(office).graph().compile(checkpointer=saver)
                    ahead = opened.ahead(office) if means.batch else None
                    await Crew(store, office, graph, means.concurrency, opened.spent).all(chosen, progress, ahead)
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
        "rival": opened.rival,
        "arbiter": opened.arbiter,
        "settings": wish.settings.model_dump(mode="json"),
        "each": [wish.each.tokens, wish.each.dollars],
        "features": spec(asked),
        "seed": wish.seed,
    }


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr)
