"""`dragoman match`: the features of one dictionary matched to another's, and coarse features split into finer ones."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Device, Json, Model, Store

if TYPE_CHECKING:
    from dragoman.store.features import Store as Opened
    from dragoman.store.records import DictionaryInfo
    from dragoman.tools.splitting import Splitting


def match(
    store: Store,
    first: Annotated[str, typer.Argument(metavar="A", help="Name of a dictionary.", show_default=False)],
    second: Annotated[str, typer.Argument(metavar="B", help="Name of the other.", show_default=False)],
    other: Annotated[
        Path | None,
        typer.Option(
            metavar="STORE", help="The store that B is in; it must hold the same text. [default: STORE]", show_default=False
        ),
    ] = None,
    by: Annotated[
        str, typer.Option(help="activation (correlation on the same train tokens) or decoder (cosine of directions).")
    ] = "activation",
    threshold: Annotated[float, typer.Option(help="Matched from here on.")] = 0.7,
    split: Annotated[
        str | None,
        typer.Option(help="Instead: show into which features of B this feature of A (INDEX) falls apart.", show_default=False),
    ] = None,
    model: Model = None,
    device: Device = None,
    json: Json = False,
) -> None:
    """Match every feature of A to its nearest in B, and say which share has a match: two seeds, two layers, coarse and fine.

    [bold]Examples[/bold]

        dragoman match S coarse fine

        dragoman match S sae sae --other S2 --by decoder --threshold 0.9

        dragoman match S coarse fine --split 17
    """
    from dragoman.store.errors import UserError
    from dragoman.store.features import Store as Opened
    from dragoman.tools.matching import Matching, match_activations, match_decoders
    from dragoman.tools.workbench import Workbench

    from .experiments import show
    from .output import as_json, console

    with ExitStack() as stack:
        one = stack.enter_context(Opened.open(store))
        two = stack.enter_context(Opened.open(other)) if other else one
        a, b = _info(one, first), _info(two, second)
        found: Matching | Splitting
        if split is not None:
            found = _split(one, a, split, two, b)
        elif by == "activation":
            rows = one.train_view()
            found = match_activations(a, rows, b, rows if two is one else two.train_view(), threshold)
        elif by == "decoder":
            bench = Workbench(one, model, device=device)
            also = bench if two is one else Workbench(two, model, device=device)
            found = match_decoders(
                first, bench.dictionary(first).directions, second, also.dictionary(second).directions, threshold
            )
        else:
            raise UserError(f"Features cannot be matched by {by!r}: choose activation or decoder.")
        if json:
            as_json(asdict(found))
            return
        show(console(), found)


def _split(one: Opened, a: DictionaryInfo, index: str, two: Opened, b: DictionaryInfo) -> Splitting:
    import numpy as np

    from dragoman.store.errors import UserError
    from dragoman.tools.splitting import firing, split

    if not index.isdigit():
        raise UserError(f"{index!r} is no feature of {a.name}: write its INDEX.")
    rows, others = one.train_view(), two.train_view()
    if two is not one and not np.array_equal(rows.tokens.ids, others.tokens.ids):
        raise UserError("The two stores do not hold the same train tokens: harvest both from the same text, with one window.")
    thresholds = [np.asarray(store.stats_table()["threshold"]) for store in (one, two)]
    return split(firing(rows, a, thresholds[0]), int(index), firing(others, b, thresholds[1]))


def _info(store: Opened, name: str) -> DictionaryInfo:
    from dragoman.store.errors import UserError

    for info in store.dictionaries:
        if info.name == name:
            return info
    have = ", ".join(info.name for info in store.dictionaries)
    raise UserError(f"There is no dictionary {name!r} in {store.path}: it has {have}.")
