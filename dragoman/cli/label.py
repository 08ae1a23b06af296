"""`dragoman label`: what does every feature mean?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .features import HELP
from .options import Fresh, Json, Quiet, Seed, Store, Workers


def label(
    store: Store,
    features: Annotated[str, typer.Option(help=HELP)] = "all",
    explainer: Annotated[str, typer.Option(help="Who explains: induction needs no language model.")] = "induction",
    seed: Seed = 0,
    workers: Workers = 2,
    fresh: Fresh = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Label the live features of a store.

    Explainers see train text only. The same command goes on where a stopped one was; a feature that fails is recorded with
    its reason.

    [bold]Examples[/bold]

        dragoman label S

        dragoman label S --features 0:200 --workers 4
    """
    result = run(store, features, explainer, seed, workers, fresh, not quiet)
    from .output import as_json, console

    if json:
        as_json(result)
        return
    failures = f", {result['failures']} failed (dragoman sql {store} 'from failure')" if result["failures"] else ""
    console().print(f"Run {result['run']}: {result['labels']:,} features labeled{failures}.\nNext: dragoman score {store}")


def run(path: Path, features: str, explainer: str, seed: int, workers: int, fresh: bool, progress: bool) -> dict[str, Any]:
    """Label, and say what was done."""
    from dragoman.agents.campaign import label as campaign
    from dragoman.agents.explainers import explainer_named
    from dragoman.logs import logging_to
    from dragoman.store.features import Store as Opened

    from .features import select

    with Opened.open(path) as opened:
        chosen = select(opened, features)
    with logging_to(path, "label"):
        made = campaign(
            path, explainer_named(explainer), explainer, chosen, seed=seed, workers=workers, fresh=fresh, progress=progress
        )
    with Opened.open(path) as opened:
        labels, failures = opened.ledger.labels(run=made.id), opened.ledger.failures(made.id)
    return {"run": made.id, "labels": len(labels), "failures": len(failures)}
