"""`dragoman chat`: investigate by talking."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Device, Dictionaries, Seed, Store


def chat(
    store: Store,
    model: Annotated[
        str, typer.Option(help="Who to talk to: induction (commands, no language model), or a model as anthropic:NAME.")
    ] = "induction",
    thread: Annotated[str | None, typer.Option(help="Go on in this thread, or begin it.", show_default=False)] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the threads of this store and end.")] = False,
    delete: Annotated[str | None, typer.Option(metavar="THREAD", help="Delete this thread and end.", show_default=False)] = None,
    json: Annotated[bool, typer.Option("--json", help="For scripts: one event a line, as a JSON object.")] = False,
    budget_tokens: Annotated[
        int | None, typer.Option(help="Model tokens that the thread may spend.", min=1, show_default=False)
    ] = None,
    budget_usd: Annotated[
        float | None, typer.Option(help="US dollars that the thread may spend.", min=0, show_default=False)
    ] = None,
    price: Annotated[
        str | None, typer.Option(help="US dollars a million tokens, prompt,reply or prompt,cached,reply.", show_default=False)
    ] = None,
    seed: Seed = 0,
    subject: Annotated[
        str | None, typer.Option(help="Where the store's model is now, if it has moved.", show_default=False)
    ] = None,
    dictionary: Dictionaries = None,
    device: Device = None,
) -> None:
    """Investigate by talking: ask, and get an answer made of experiments that were run.

    Without a key or a server, as induction, it takes the tools as commands (help lists them) and guided investigations. Every
    statement cites the steps it rests on, and open E3 shows one; what rests on none is marked as conjecture. Ctrl-C stops an
    answer, Ctrl-D ends. From a pipe it reads a line at a time; the exit code is 2 where a line got no answer.

    [bold]Examples[/bold]

        dragoman chat S

        dragoman chat S --model anthropic:claude-sonnet-4-5 --thread austin --budget-usd 2

        echo 'investigate The nurse gave Mary a cup of' | dragoman chat S --json

        dragoman chat S --list
    """
    from dragoman.chat.running import LIBRARIES, Wish, deleted, listed, talk
    from dragoman.evals.gateway.budget import Budget
    from dragoman.logs import logging_to

    budget = Budget(budget_tokens, budget_usd)
    wish = Wish(store, model, thread, json, budget, price, seed, subject, tuple(dictionary or ()), device)
    if list_ or delete is not None:
        if delete is not None:
            deleted(wish, delete)
        if list_:
            listed(wish)
        return
    with logging_to(store, "chat", LIBRARIES):
        answered = talk(wish)
    if not answered and not _interactive():
        raise typer.Exit(2)


def _interactive() -> bool:
    import sys

    return sys.stdin.isatty()
