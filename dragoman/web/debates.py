"""Debates: all of them, and one with each claim beside the experiments that settled it."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dragoman.agents.transcript import Transcript, transcript
from dragoman.evals.report.telling import spent
from dragoman.store.accounts import debate_rows
from dragoman.store.errors import UserError
from dragoman.store.trail import read_trail

from .forms import number
from .pages import Missing
from .site import Site, site_of

ROWS = 100
"""Debates on a page."""


async def listed(request: Request) -> Response:
    """All debates, the latest first."""
    site = site_of(request)
    page = number(request.query_params, "page", 1, 1)
    return site.pages.page(request, "debates.html.j2", **await site.read(_listed, site, page))


async def one(request: Request) -> Response:
    """A debate."""
    site = site_of(request)
    run, key = request.path_params["run"], request.path_params["key"]
    return site.pages.page(request, "debate.html.j2", **await site.read(_facts, site, run, key))


def _listed(site: Site, page: int) -> dict[str, Any]:
    rows = debate_rows(site.store.ledger.path)
    here = rows[(page - 1) * ROWS : page * ROWS]
    shown = []
    for row in here:
        content = json.loads(row.content)
        shown.append((row, str(site.store.key(row.feature)), content.get("text", ""), content.get("winner")))
    return {"rows": shown, "total": len(rows), "page": page, "pages": max(1, -(-len(rows) // ROWS))}


def _facts(site: Site, run: str, key: str) -> dict[str, Any]:
    known = next((one for one in site.store.ledger.runs() if one.id == run), None)
    try:
        feature = site.store.id(key)
    except UserError as error:
        raise Missing(str(error)) from None
    found: Transcript | None = None if known is None else transcript(site.trails, run, feature)
    if known is None or found is None:
        raise Missing("There is no debate here that is over: the list of debates says which are.")
    labels = {label.called: label for label in found.labels}
    return {
        "run": run,
        "key": str(site.store.key(feature)),
        "said": found,
        "labels": labels,
        "first": found.rounds[0].labels if found.rounds else {},
        "spent": spent(read_trail(site.trails, site.store.ledger, known, feature).cost) or "nothing",
        "moves": MOVES,
    }


MOVES = {"keep": "keeps its label", "amend": "amends to", "concede": "concedes", "merge": "offers one label for both"}
"""What a side can do after a round."""
ROUTES = [Route("/debates", listed), Route("/debates/{run}/{key:path}", one)]
MENU = [("Debates", "/debates")]
