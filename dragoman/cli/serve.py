"""`dragoman serve`: the pages of a store."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Device, Dictionaries, Store

LIBRARIES = ("starlette", "uvicorn", "jinja2")
"""What the extra installs."""
VARIABLE = "DRAGOMAN_TOKEN"


def serve(
    store: Store,
    host: Annotated[str, typer.Option(help="Address to listen on; others than this machine's own need a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8766,
    token: Annotated[
        str | None,
        typer.Option(
            help=f"What browsers are asked for; better given as {VARIABLE}, which other users of the machine do not see.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(help="A further name by which browsers reach this machine; may be repeated.", show_default=False),
    ] = None,
    model: Annotated[str, typer.Option(help="Who answers in the chat: induction, or a language model as `label` takes it.")] = (
        "induction"
    ),
    budget_usd: Annotated[
        float | None, typer.Option(help="US dollars that each thread of the chat may spend.", min=0, show_default=False)
    ] = None,
    price: Annotated[
        str | None,
        typer.Option(help="US dollars a million tokens, prompt,reply or prompt,cached,reply.", show_default=False),
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="Where the store's model is now, if it has moved.", show_default=False)
    ] = None,
    dictionary: Dictionaries = None,
    device: Device = None,
) -> None:
    """Show a store in a browser: features, runs with live progress, debates, and a chat.

    Only this machine reaches it, unless --host says otherwise; then a token is needed. Nothing is fetched from elsewhere.

    [bold]Examples[/bold]

        dragoman serve S

        dragoman serve S --model anthropic:claude-haiku-4-5

        DRAGOMAN_TOKEN=... dragoman serve S --host 0.0.0.0 --name lab-machine.example.org
    """
    from dragoman.evals.gateway.budget import Budget
    from dragoman.guarding import checked_token
    from dragoman.logs import logging_to
    from dragoman.store.errors import UserError

    from .errors import say

    checked = checked_token(host, token, VARIABLE)
    try:
        from dragoman.web import serving
        from dragoman.web.app import application
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in LIBRARIES:
            raise
        raise UserError("The pages need Starlette and uvicorn: pip install 'dragoman[web]'") from error
    try:
        with logging_to(store, "serve", serving.LIBRARIES):
            serving.serve(
                lambda: application(
                    store,
                    host=host,
                    names=name or (),
                    token=checked,
                    subject=subject,
                    dictionaries=dictionary or (),
                    device=device,
                    model=model,
                    budget=None if budget_usd is None else Budget(None, budget_usd),
                    price=price,
                ),
                host,
                port,
                lambda address: say(f"Serving {store} at {address}; Ctrl-C ends it."),
            )
    except KeyboardInterrupt:
        say("Ended.")
