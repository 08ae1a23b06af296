"""The first page: what this store is."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dragoman.agents.runs import lines
from dragoman.store.accounts import labeled_features
from dragoman.store.records import SPLITS

from .site import Site, site_of

LATEST = 6
"""Runs shown."""


async def home(request: Request) -> Response:
    """The first page."""
    site = site_of(request)
    return site.pages.page(request, "home.html.j2", **await site.read(_facts, site))


def _facts(site: Site) -> dict[str, Any]:
    store, manifest = site.store, site.store.manifest
    text = str(manifest.plan.get("text", ""))
    return {
        "name": brief(str(store.path.resolve())),
        "model": brief(store.subject.name),
        "subject": store.subject,
        "dictionaries": [(info, brief(info.source)) for info in store.dictionaries],
        "splits": [(split, manifest.documents[split], manifest.contexts[split], manifest.tokens[split]) for split in SPLITS],
        "manifest": manifest,
        "text": brief(text),
        "width": store.width,
        "live": len(site.live),
        "labeled": labeled_features(store.ledger.path),
        "runs": lines(store)[-LATEST:][::-1],
    }


def brief(place: str) -> str:
    """The end of a path; hub ids and relative paths as they are."""
    return "/".join(PurePath(place).parts[-2:]) if PurePath(place).is_absolute() else place


ROUTES = [Route("/", home)]
MENU = [("Store", "/")]
