"""`dragoman replay`: a run again from its recorded calls, without a model."""

from __future__ import annotations

from typing import Any

import typer

from .options import Json, Quiet, Store
from .runs import RunId

SHOWN = 20
"""Differences that are printed."""


def replay(store: Store, run: RunId, json: Json = False, quiet: Quiet = False) -> None:
    """Do a labeling run once more from its recorded model calls, without a model or server, and compare what comes out.

    Labels, reasons, hypotheses, experiments, predictions, verdicts and steps are compared row by row; nothing in the store is
    changed. Exit code 0: the same; 1: something differs.

    [bold]Examples[/bold]

        dragoman replay S 974601e7a2898c69
    """
    from dragoman.agents.replay import replay as again
    from dragoman.logs import logging_to

    from .output import as_json, console

    with logging_to(store, "replay"):
        found = again(store, run, not quiet)
    if json:
        as_json(
            {
                "run": found.run,
                "same": not found.differences,
                "features": found.features,
                "unfinished": {str(feature): reason for feature, reason in found.unfinished.items()},
                "compared": dict(found.rows),
                "differences": [one._asdict() for one in found.differences],
            }
        )
    else:
        for sentence in sentences(found):
            console().print(sentence, markup=False, soft_wrap=True)
    if found.differences:
        raise typer.Exit(1)


def sentences(found: Any) -> list[str]:
    """What a replay came to, in words."""
    rows = ", ".join(f"{count:,} {_several(what) if count != 1 else what}" for what, count in found.rows.items() if count)
    said = []
    if found.unfinished:
        said.append(
            f"{len(found.unfinished):,} features were left unfinished by the run; what it has of them was compared. The first: "
            f"{next(iter(found.unfinished.values()))}"
        )
    for one in found.differences[:SHOWN]:
        if one.then is None or one.now is None:
            whose = "replay" if one.then is None else "run"
            said.append(f"feature {one.feature}: a {one.what} only in the {whose}: {dict(one.then or one.now or {})}")
        else:
            said.append(
                f"feature {one.feature}: a {one.what} differs: {dict(one.then)} in the run, {dict(one.now)} in the replay"
            )
    if len(found.differences) > SHOWN:
        said.append(f"… and {len(found.differences) - SHOWN:,} more.")
    said += [f"feature {feature} could not be replayed to its end: {reason}" for feature, reason in found.missing.items()]
    verdict = f"{len(found.differences):,} differences" if found.differences else "the same"
    return [*said, f"Run {found.run}, {found.features:,} features ({rows}): {verdict}."]


def _several(what: str) -> str:
    """The plural of a kind of rows."""
    return f"{what[:-2]}es" if what.endswith("is") else f"{what}s"
