"""What investigations kept: findings, and the tool calls of chats that they and answers cite."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dragoman.store.chats import ChatStep, Finding

from .forms import number
from .pages import Missing
from .site import Site, site_of

ROWS = 50
"""Findings on a page."""


async def listed(request: Request) -> Response:
    """All findings, the latest first."""
    site = site_of(request)
    page = number(request.query_params, "page", 1, 1)
    return site.pages.page(request, "findings.html.j2", **await site.read(_listed, site, page))


async def one(request: Request) -> Response:
    """A finding."""
    site = site_of(request)
    return site.pages.page(request, "finding.html.j2", **await site.read(_one, site, request.path_params["id"]))


async def step(request: Request) -> Response:
    """A tool call of a chat."""
    site = site_of(request)
    return site.pages.page(request, "step.html.j2", **await site.read(_step, site, request.path_params["id"]))


def _listed(site: Site, page: int) -> dict[str, Any]:
    found = site.chats.findings()[::-1]
    here = found[(page - 1) * ROWS : page * ROWS]
    return {
        "found": [(one, _keys(site, one)) for one in here],
        "total": len(found),
        "page": page,
        "pages": max(1, -(-len(found) // ROWS)),
    }


def _one(site: Site, id: str) -> dict[str, Any]:
    found = next((one for one in site.chats.findings() if one.id == id), None)
    if found is None:
        raise Missing(f"There is no finding {id[:40]} in this store.")
    steps = [step for cited in found.citations if (step := site.chats.step(cited)) is not None]
    return {"finding": found, "keys": _keys(site, found), "steps": [(step, _arguments(step)) for step in steps]}


def _step(site: Site, id: str) -> dict[str, Any]:
    found = site.chats.step(id)
    if found is None:
        raise Missing("This step is gone: its thread was deleted, or never stored it.")
    name = next((row.name for row in site.chats.threads() if row.id == found.thread), None)
    thread = None if name is None else f"/chat?{urlencode({'thread': name})}#step-{found.id}"
    return {"step": found, "arguments": _arguments(found), "thread": thread}


def _keys(site: Site, finding: Finding) -> list[str]:
    return [str(site.store.key(feature)) for feature in finding.features if 0 <= feature < site.store.width]


def _arguments(step: ChatStep) -> str:
    return step.arguments if isinstance(step.arguments, str) else json.dumps(step.arguments, ensure_ascii=False, indent=1)


ROUTES = [Route("/findings", listed), Route("/findings/{id}", one), Route("/steps/{id}", step)]
