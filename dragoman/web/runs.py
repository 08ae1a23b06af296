"""Runs: all of them, one with its progress, and what came of each feature."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from dragoman.agents.runs import by_kind, lines, rung_of
from dragoman.evals.summary import CONTESTANTS, SCORERS, summarise
from dragoman.store.accounts import nodes_reached, outcome_rows, step_rows, tool_rows
from dragoman.store.errors import UserError
from dragoman.store.features import Store

from .forms import number
from .pages import Missing
from .progress import progress, stream
from .site import Site, site_of

ROWS = 50
"""Features of a run on a page."""
RUNS = 100
"""Runs on a page."""
NAMES = {"label": "label", "token_lookup": "token lookup", "shuffled": "shuffled label"}
"""Contestants in words."""


async def listed(request: Request) -> Response:
    """All runs, the latest first."""
    site = site_of(request)
    page = number(request.query_params, "page", 1, 1)
    found = (await site.read(lines, site.store))[::-1]
    here = found[(page - 1) * RUNS : page * RUNS]
    return site.pages.page(request, "runs.html.j2", runs=here, total=len(found), page=page, pages=_pages(len(found), RUNS))


async def one(request: Request) -> Response:
    """A run."""
    site = site_of(request)
    page = number(request.query_params, "page", 1, 1)
    return site.pages.page(request, "run.html.j2", **await site.read(_facts, site, request.path_params["run"], page))


async def events(request: Request) -> Response:
    """A run's progress as it goes on."""
    site, run = site_of(request), request.path_params["run"]
    await site.read(existing, site.store, run)
    return StreamingResponse(stream(site, run), media_type="text/event-stream", headers={"cache-control": "no-store"})


def existing(store: Store, run: str) -> str:
    """The id of a run that is there. Raises Missing where it is not."""
    if not any(known.id == run for known in store.ledger.runs()):
        raise Missing(f"There is no run {run[:40]}: the list of runs has all there are.")
    return run


def _facts(site: Site, run: str, page: int) -> dict[str, Any]:
    store = site.store
    existing(store, run)
    path, now = store.ledger.path, progress(site, run)
    row, config = now.line.row, json.loads(now.line.row.config)
    rows = outcome_rows(path, run, (page - 1) * ROWS, ROWS) if row.kind == "label" else []
    total = row.labels + row.failures
    others = [line for line in lines(store) if line.row.kind == row.kind and line.row.id != run][::-1]
    state = (run, store.ledger.last("score"))
    return {
        "now": now,
        "run": now.line,
        "steps": by_kind(step_rows(path, run)),
        "tools": tool_rows(path, run),
        "rungs": Counter(rung_of(nodes) for nodes in nodes_reached(path, run).values()),
        "config": json.dumps(config, indent=1, ensure_ascii=False, sort_keys=True),
        "rows": [(str(store.key(row.feature)), row) for row in rows],
        "page": page,
        "pages": _pages(total, ROWS),
        "total": total,
        "others": others[:RUNS],
        "medians": site.kept(("medians", *state), lambda: _medians(store, run)) if row.kind == "score" else [],
        "about": _labels_of(store, config),
        "debates": [str(store.key(feature)) for feature in site.trails.features(run)] if row.kind == "debate" else [],
    }


def _medians(store: Store, run: str) -> list[tuple[str, list[tuple[str, Any, str]]]]:
    """By scorer the contestants with their medians, and what is not scored."""
    scores = [score for score in store.ledger.scores(run=run) if score.contestant in CONTESTANTS]
    summary = summarise(scores)
    table = []
    for scorer in summary.scorers:
        entries = []
        for contestant in CONTESTANTS:
            if summary.tried(scorer, contestant):
                line = summary.line(scorer, contestant)
                without = ", ".join(f"{count} {reason.removeprefix('unscored: ')}" for reason, count in line.unscored.items())
                entries.append((NAMES[contestant], line.median, without))
        table.append((SCORERS[scorer], entries))
    return table


def _labels_of(store: Store, config: Any) -> str | None:
    """The run whose labels a scoring run is about."""
    about = config.get("labels")
    return about if isinstance(about, str) and any(run.id == about for run in store.ledger.runs()) else None


def _pages(total: int, size: int) -> int:
    return max(1, -(-total // size))


def known_run(store: Store, run: str) -> str:
    """The run that a form names. Raises UserError where there is none."""
    try:
        return existing(store, run)
    except Missing as error:
        raise UserError(str(error)) from None


ROUTES = [
    Route("/runs", listed),
    Route("/runs/{run}", one),
    Route("/runs/{run}/events", events),
]
MENU = [("Runs", "/runs")]
