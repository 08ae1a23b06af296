"""Templates become pages. Whatever is printed in one is first made harmless (`harmless.py`), then escaped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from dragoman.store.display import visible_token

from .gauges import chance, gauge, percent
from .harmless import harmless, shortened
from .strips import strip

HERE = Path(__file__).parent
STATIC = HERE / "static"


class Missing(Exception):
    """There is no such page; says what there is none of, in one sentence."""


class Pages:
    """The templates, with what all of them can use."""

    def __init__(self) -> None:
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=_final,
        )
        self._templates.filters.update(
            short=shortened,
            token=visible_token,
            whole=lambda text: Markup(escape(text)),
            n=lambda value: "–" if value is None else f"{value:,}",
            figure=lambda value, digits=3: "–" if value is None else f"{value:.{digits}f}",
        )
        self._templates.globals.update(static=static, strip=strip, gauge=gauge, percent=percent, chance=chance, menu=[])

    def offer(self, menu: list[tuple[str, str]], private: bool) -> None:
        """What the head of every page offers. menu: words and addresses. private: whether one can sign out."""
        self._templates.globals.update(menu=menu, private=private)

    def allow(self, **functions: Callable[..., object]) -> None:
        """Give templates further functions."""
        self._templates.globals.update(functions)

    def html(self, template: str, **values: object) -> str:
        """A template filled in; for fragments. Raises jinja2.UndefinedError for a value that is missing."""
        return self._templates.get_template(template).render(values)

    def page(
        self, request: Request, template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
    ) -> HTMLResponse:
        """A whole page; its template extends layout.html.j2."""
        return HTMLResponse(self.html(template, path=request.url.path, **values), status, headers)


@cache
def static(name: str) -> str:
    """Address of a file of ours; it changes with its content, so that browsers may keep the file."""
    return f"/static/{name}?v={hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


def _final(value: object) -> object:
    """What is printed in a template."""
    return harmless(value) if isinstance(value, str) and not isinstance(value, Markup) else value
