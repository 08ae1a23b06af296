"""`dragoman report`: one HTML file about labels and scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .features import HELP
from .options import Json, Quiet, Store, Workers


def report(
    store: Store,
    out: Annotated[Path | None, typer.Option(help="File to write. [default: STORE/report.html]", show_default=False)] = None,
    run: Annotated[str | None, typer.Option(help="Scoring run. [default: the latest]", show_default=False)] = None,
    features: Annotated[str, typer.Option(help=HELP)] = "all",
    workers: Workers = 2,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a report: one self-contained HTML file with the summary, a table of all features, and a section a feature.

    [bold]Examples[/bold]

        dragoman report S

        dragoman report S --features 0:50 --out first.html
    """
    path = write(store, out, run, features, workers, not quiet)
    from .output import as_json, console

    if json:
        as_json({"report": str(path), "bytes": path.stat().st_size})
        return
    console().print(str(path), soft_wrap=True)


def write(store: Path, out: Path | None, run: str | None, features: str, workers: int, progress: bool) -> Path:
    """Gather and write; returns the file."""
    from dragoman.evals.report.build import write_report
    from dragoman.evals.report.material import gather
    from dragoman.logs import logging_to
    from dragoman.store.features import Store as Opened

    from .features import select

    with logging_to(store, "report"):
        with Opened.open(store) as opened:
            material = gather(opened, run, select(opened, features))
        return write_report(material, out or store / "report.html", workers, progress)
