"""The application: a store's pages, behind the fence."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from dragoman.agents.investigation.protocol import Converser
from dragoman.evals.gateway.budget import Budget
from dragoman.store.errors import ToolError, UserError

from .conversing import Opening, Talks
from .pages import STATIC, Missing
from .routes import menu, routes
from .security import Fence, trouble
from .site import Site

SENTENCES = {404: "There is no such page: the menu leads to those there are.", 405: "This page cannot be asked that way."}


def application(
    path: Path | str,
    *,
    host: str = "127.0.0.1",
    names: Sequence[str] = (),
    token: str | None = None,
    subject: str | None = None,
    dictionaries: Sequence[str] = (),
    device: str | None = None,
    model: str = "induction",
    budget: Budget | None = None,
    price: str | None = None,
    converser: Opening | None = None,
) -> Starlette:
    """The pages of a store as an ASGI application; its lifespan closes the store.

    Args:
        path: the store.
        host: the address that is listened on.
        names: further names by which browsers reach it.
        token: what has to be known to read anything; None for a server that this machine alone reaches.
        subject, dictionaries, device: as for `Workbench.open`.
        model: who answers in the chat, by name.
        budget: of each thread of the chat.
        price: US dollars a million tokens, where the list of prices does not know the model.
        converser: opens somebody else to talk to.

    Raises UserError as `Store.open` does.
    """
    site = Site(Path(path), subject, dictionaries, device)
    site.pages.offer(menu(), token is not None)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await app.state.talks.close()
            site.close()

    async def missing(request: Request, error: Exception) -> Response:
        return trouble(site.pages, request, 404, str(error))

    async def refused(request: Request, error: Exception) -> Response:
        return trouble(site.pages, request, 400, str(error))

    async def other(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return trouble(site.pages, request, error.status_code, SENTENCES.get(error.status_code, error.detail))

    app = Starlette(
        routes=[*routes(), Mount("/static", StaticFiles(directory=STATIC), name="static")],
        middleware=[Middleware(Fence, pages=site.pages, host=host, names=names, token=token)],
        exception_handlers={Missing: missing, UserError: refused, ToolError: refused, HTTPException: other},
        lifespan=lifespan,
    )
    app.state.site, app.state.model = site, model
    app.state.talks = Talks(converser or _opening(site, model, budget, price))
    return app


def _opening(site: Site, model: str, budget: Budget | None, price: str | None) -> Opening:
    """Opens the model of this name, once somebody wants to talk to it: that imports a lot, and reads the train rows."""

    @asynccontextmanager
    async def opening() -> AsyncIterator[Converser]:
        from dragoman.agents.investigator import opened

        await site.work(lambda: site.desk)
        async with opened(site.path, model, budget=budget, price=price, bench=site.bench) as converser:
            yield converser

    return opening
