"""`dragoman sql`: ask the store anything."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Json, Store


def sql(
    store: Store,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="One DuckDB query.", show_default=False)],
    json: Json = False,
) -> None:
    """Ask the store with one read-only SQL query; labels, scores and runs are tables too.

    [bold]Examples[/bold]

        dragoman sql S "select feature, max, density from feature order by max desc limit 10"

        dragoman sql S "select feature, value from score where scorer = 'simulation.r' and contestant = 'label' order by value"

        dragoman sql S "describe activation"
    """
    from dragoman.store.features import Store as Opened

    from .output import as_json, console

    with Opened.open(store) as opened:
        result = opened.sql(query)
        if json:
            as_json({"columns": result.table.column_names, "rows": list(result), "truncated": result.truncated})
            return
        console().print(repr(result), markup=False, soft_wrap=True)
