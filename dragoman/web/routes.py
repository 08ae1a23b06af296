"""The table of all pages: a module with pages is named here, has ROUTES, and MENU where the head of every page leads to it."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute

from . import chatting, comparing, debates, feature, features, findings, home, pair, runs, trying, verdicts

MODULES = (home, features, runs, debates, comparing, chatting, feature, trying, verdicts, pair, findings)
"""In the order of the menu."""


def routes() -> list[BaseRoute]:
    """All pages."""
    found: list[BaseRoute] = []
    for module in MODULES:
        own: Sequence[BaseRoute] = module.ROUTES
        found += own
    return found


def menu() -> list[tuple[str, str]]:
    """Words and addresses of the menu."""
    return [entry for module in MODULES for entry in getattr(module, "MENU", ())]
