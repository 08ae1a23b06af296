"""`dragoman neighbours`: the features near a feature."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from .options import Device, Dictionaries, Feature, Json, Model, Store


def neighbours(
    store: Store,
    feature: Feature,
    by: Annotated[
        str,
        typer.Option(
            help="decoder (cosine), coactivation (Jaccard of the train tokens on which they fire), pmi (pointwise mutual "
            "information of firing) or contexts (Jaccard of the train contexts)."
        ),
    ] = "decoder",
    top: Annotated[int, typer.Option(help="How many.", min=1, max=1000)] = 10,
    model: Model = None,
    dictionary: Dictionaries = None,
    device: Device = None,
    json: Json = False,
) -> None:
    """The features nearest to one: by the direction they write, or by where they fire.

    By decoder the features of its own dictionary are compared, otherwise those of all dictionaries of the store.

    [bold]Examples[/bold]

        dragoman neighbours S sae/88

        dragoman neighbours S sae/88 --by pmi --top 20 --json
    """
    from dragoman.tools.related import related
    from dragoman.tools.workbench import Workbench

    from .experiments import show
    from .output import as_json, console

    with Workbench.open(store, model, dictionary or (), device) as bench:
        train, number = bench.store.train_view(), bench.store.id(feature)
        missing = by == "decoder" and len(train.neighbours(number)) < top
        of = bench.feature(number).dictionary if missing else None
        found = related(train, number, by, top, of)  # type: ignore[arg-type]
        if json:
            as_json(asdict(found))
            return
        show(console(), found)
