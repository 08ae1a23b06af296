"""`dragoman search-inputs`: the texts that fire a feature hardest."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from .options import Device, Dictionaries, Feature, Json, Model, Seed, Store


def search_inputs(
    store: Store,
    feature: Feature,
    method: Annotated[str, typer.Option(help="evolution, gradient, or both.")] = "both",
    from_nothing: Annotated[
        bool, typer.Option("--from-nothing", help="Begin with random tokens; the corpus is not looked at.")
    ] = False,
    length: Annotated[int, typer.Option(help="Most tokens of a text.", min=1)] = 12,
    budget: Annotated[int, typer.Option(help="Texts to run; a gradient counts as three.", min=1)] = 4000,
    fluency: Annotated[
        float, typer.Option(help="What a nat of unlikelihood a token costs, in train maxima; 0.05 to 0.2 for readable texts.")
    ] = 0.0,
    top: Annotated[int, typer.Option(help="Texts shown.", min=1, max=100)] = 5,
    seed: Seed = 0,
    model: Model = None,
    dictionary: Dictionaries = None,
    device: Device = None,
    json: Json = False,
) -> None:
    """Search for the texts that fire a feature hardest.

    It begins with fragments of the train split, or with random tokens, and goes on by mutation and crossover, by substitutions
    that the gradient favours, or by both. A feature that never fires is followed by its pre-activation.

    [bold]Examples[/bold]

        dragoman search-inputs S 88

        dragoman search-inputs S 88 --from-nothing --method gradient --fluency 0.05
    """
    from dragoman.tools.probe import gauge_of
    from dragoman.tools.search import search_inputs as run
    from dragoman.tools.workbench import Workbench

    from .experiments import show
    from .output import as_json, console

    with Workbench.open(store, model, dictionary or (), device) as bench:
        probe = gauge_of(bench, feature)
        found = run(probe, method, from_nothing, length, budget, seed, top, fluency)  # type: ignore[arg-type]
        if json:
            as_json(asdict(found))
            return
        show(console(), found)
