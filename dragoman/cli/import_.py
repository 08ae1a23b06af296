"""`dragoman import`: other people's labels and scores into the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .export import FORMATS
from .options import Json, Store

if TYPE_CHECKING:
    from dragoman.store.exchange.importing import Imported


def import_(
    store: Store,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file or folder of another tool.", show_default=False)],
    format: Annotated[
        str | None, typer.Option("--format", help=f"{FORMATS} [default: from what is in it]", show_default=False)
    ] = None,
    dictionary: Annotated[
        str | None, typer.Option(help="Whose features they are about. [default: the only one]", show_default=False)
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Of several dictionaries in the files, the one that is meant.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Read labels and scores that another tool made; `dragoman score` then scores the labels like any other.

    They get runs of their own, one for each explainer in the files, with where they come from in their notes. Imported scores are
    marked as such and keep a judge's name of their own. Examples and activations are not taken over: a store is sealed. The same
    files again change nothing, and what cannot be read changes nothing either.

    [bold]Examples[/bold]

        dragoman import S ./gpt2-small/6-res-jb

        dragoman import S labels.csv --dictionary sae

        dragoman import S ./results --format delphi --source layers.6 --json
    """
    from dragoman.store.exchange.importing import import_files
    from dragoman.store.features import Store as Opened

    from .output import as_json, console

    with Opened.open(store) as opened:
        found = import_files(opened, file, format, dictionary, source)
    if json:
        as_json(_record(found))
        return
    out, count = console(), found.count
    left = "".join(f"; {n:,} {what}" for what, n in count.cut.items())
    names = ", ".join(ascii(source)[1:-1] for source in found.sources if source)
    of = f" of {names[:200]}" if names else ""
    out.print(f"Read as {found.format}: {count.features:,} features{of}, {count.examples:,} examples{left}.", markup=False)
    if not found.labels:
        out.print("There are no labels in it, so nothing was written; examples stay outside, a store is sealed.", markup=False)
        return
    for run in found.runs:
        here = [label for label in found.labels if label.run == run.id]
        made = f"{here[0].agent}, {here[0].model or 'no model stated'}"
        out.print(f"Run {run.id}: {len(here):,} labels ({ascii(made)[1:-1]}).", markup=False, soft_wrap=True)
    scores = f"{count.scores:,} scores, marked as imported" if count.scores else "no scores"
    new = "" if found.new else " All of it was there already."
    out.print(f"With {scores}.{new} Next: dragoman score {store} --labels {found.runs[-1].id}", markup=False, soft_wrap=True)


def _record(found: Imported) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "format": found.format,
        "sources": found.sources,
        **asdict(found.count),
        "new": found.new,
        "runs": [
            {
                "id": run.id,
                "labels": sum(label.run == run.id for label in found.labels),
                "agent": agent.agent,
                "model": agent.model,
            }
            for run in found.runs
            for agent in [next(label for label in found.labels if label.run == run.id)]
        ],
    }
