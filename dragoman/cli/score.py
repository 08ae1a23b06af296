"""`dragoman score`: how well do the labels predict text they never saw?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Fresh, Json, Quiet, Seed, Store, Workers

if TYPE_CHECKING:
    from dragoman.evals.summary import Summary
    from dragoman.store.records import Run


def score(
    store: Store,
    labels: Annotated[str | None, typer.Option(help="Labeling run. [default: the latest]", show_default=False)] = None,
    judge: Annotated[str, typer.Option(help="Who predicts from the label: pattern executes its rule.")] = "pattern",
    seed: Seed = 0,
    workers: Workers = 2,
    fresh: Fresh = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score every label on the test split, beside a token lookup and another feature's label.

    Simulation is the correlation of predicted with real activation over tokens; detection tells contexts in which the feature
    fires from silent ones, half of them near misses. What cannot be scored is recorded as unscored, with the reason.

    [bold]Examples[/bold]

        dragoman score S

        dragoman score S --json | jq .summary.medians
    """
    made, summary = run(store, labels, judge, seed, workers, fresh, not quiet)
    from .output import as_json, console, summary_json, summary_table

    if json:
        as_json({"run": made.id, "summary": summary_json(summary)})
        return
    console().print(summary_table(summary))
    for line in summary.lines:
        if line.contestant == "label" and line.unscored and line.scorer in ("simulation.r", "detection.auroc"):
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(line.unscored.items()))
            console().print(f"{line.scorer} unscored: {reasons}")
    if judge == "pattern":
        console().print("The judge executes the labels' patterns: it scores the rule, not the words.")
    console().print(f"Run {made.id}. Next: dragoman report {store}")


def run(path: Path, labels: str | None, judge: str, seed: int, workers: int, fresh: bool, progress: bool) -> tuple[Run, Summary]:
    """Score, and summarise."""
    from dragoman.evals.scoring import score as scoring
    from dragoman.evals.summary import summarise
    from dragoman.logs import logging_to
    from dragoman.store.features import Store as Opened

    with logging_to(path, "score"):
        made = scoring(path, labels, judge, seed, workers, fresh, progress)
    with Opened.open(path) as opened:
        return made, summarise(opened.ledger.scores(run=made.id), seed)
