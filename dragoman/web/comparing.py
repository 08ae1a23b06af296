"""Side by side: two runs, two labels; and one label by itself."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from dragoman.agents.runs import Line, lines, named
from dragoman.evals.beside import labels_beside, runs_beside
from dragoman.evals.summary import SCORERS
from dragoman.store.accounts import OutcomeRow, outcome_rows
from dragoman.store.errors import UserError
from dragoman.store.records import Label, Run

from . import pair
from .forms import number
from .pages import Missing
from .runs import known_run
from .site import Site, site_of

ROWS = 50
"""Features of two runs on a page."""
RUNS = 100
"""Runs that can be chosen from."""


async def start(request: Request) -> Response:
    """What can be put side by side."""
    if "features" in request.query_params:
        return await pair.page(request)
    site = site_of(request)
    feature = request.query_params.get("feature", "").strip()
    return site.pages.page(request, "compare.html.j2", **await site.read(_choices, site, feature))


async def runs(request: Request) -> Response:
    """Two runs side by side."""
    site, given = site_of(request), request.query_params
    page = number(given, "page", 1, 1)
    values = await site.read(_runs, site, given.get("a", ""), given.get("b", ""), page)
    return site.pages.page(request, "compare_runs.html.j2", **values)


async def labels(request: Request) -> Response:
    """Two labels side by side."""
    site, given = site_of(request), request.query_params
    return site.pages.page(
        request, "compare_labels.html.j2", **await site.read(_labels, site, given.get("a", ""), given.get("b", ""))
    )


async def label(request: Request) -> Response:
    """One label, with its scores."""
    site = site_of(request)
    return site.pages.page(request, "label.html.j2", **await site.read(_label, site, request.path_params["id"]))


async def experiment(request: Request) -> Response:
    """Where an experiment stands: in the trail it belongs to."""
    site = site_of(request)
    return RedirectResponse(await site.read(_place, site, request.path_params["id"]), 303)


def _choices(site: Site, feature: str) -> dict[str, Any]:
    found = lines(site.store)[::-1][:RUNS]
    key, own = "", []
    if feature:
        number = site.store.id(feature)
        key, own = str(site.store.key(number)), site.store.ledger.labels(feature=number)[::-1][:RUNS]
    return {"runs": found, "feature": key or feature, "labels": own}


def _runs(site: Site, first: str, second: str, page: int) -> dict[str, Any]:
    one, two = (named(site.store, known_run(site.store, run)) for run in (first, second))
    if one.row.kind != two.row.kind:
        raise UserError(f"A {one.row.kind} run and a {two.row.kind} run cannot be compared: take two of one kind.")
    shown = _features(site, one, two, page) if one.row.kind == "label" else []
    settings = [json.loads(line.row.config) for line in (one, two)]
    state = ("beside", one.row.id, two.row.id, site.store.ledger.last("score"), site.store.ledger.last("label"))
    return {
        "a": one,
        "b": two,
        "differ": sorted(
            (name, _said(settings[0].get(name)), _said(settings[1].get(name)))
            for name in {*settings[0], *settings[1]}
            if settings[0].get(name) != settings[1].get(name)
        ),
        "scores": site.kept(state, lambda: runs_beside(site.store, _as_run(one), _as_run(two))),
        "scorers": SCORERS,
        "rows": shown,
        "page": page,
        "more": len(shown) == ROWS,
    }


def _features(site: Site, one: Line, two: Line, page: int) -> list[tuple[str, OutcomeRow, OutcomeRow | None]]:
    """Features of the first run, each with what came of it in the second."""
    path = site.store.ledger.path
    first = outcome_rows(path, one.row.id, (page - 1) * ROWS, ROWS)
    other = outcome_rows(path, two.row.id, 0, ROWS, first[0].feature, first[-1].feature) if first else []
    theirs = {row.feature: row for row in other}
    return [(str(site.store.key(row.feature)), row, theirs.get(row.feature)) for row in first]


def _labels(site: Site, first: str, second: str) -> dict[str, Any]:
    one, two = _known(site, first), _known(site, second)
    return {
        "a": one,
        "b": two,
        "keys": [str(site.store.key(label.feature)) for label in (one, two)],
        "scores": labels_beside(site.store, one, two),
        "scorers": SCORERS,
    }


def _label(site: Site, id: str) -> dict[str, Any]:
    label = _known(site, id)
    scores = site.store.ledger.scores(feature=label.feature, label=label.id, contestant="label", split="test")
    newest = {(score.scorer, score.judge): score for score in scores}
    others = [one for one in site.store.ledger.labels(feature=label.feature)[::-1] if one.id != label.id][:RUNS]
    trail = label.run in site.trails.runs(label.feature)
    return {
        "label": label,
        "key": str(site.store.key(label.feature)),
        "scores": list(newest.values()),
        "scorers": SCORERS,
        "others": others,
        "trail": trail,
    }


def _place(site: Site, id: str) -> str:
    try:
        found, _ = site.trails.experiment(id)
    except KeyError:
        raise Missing(f"There is no experiment {id[:40]} in this store.") from None
    return f"/trail/{found.run}/{site.store.key(found.feature)}#f{found.feature}-{found.called}"


def _known(site: Site, id: str) -> Label:
    found = site.store.ledger.label(id) if id else None
    if found is None:
        raise Missing(f"There is no label {id[:40]} in this store." if id else "Choose two labels first.")
    return found


def _as_run(line: Line) -> Run:
    row = line.row
    return Run(id=row.id, kind=row.kind, config=row.config, status="done")  # type: ignore[arg-type]  # as it stands in the ledger


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


ROUTES = [
    Route("/compare", start),
    Route("/compare/runs", runs),
    Route("/compare/labels", labels),
    Route("/labels/{id}", label),
    Route("/experiments/{id}", experiment),
]
MENU = [("Compare", "/compare")]
