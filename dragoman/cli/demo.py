"""`dragoman demo`: the whole way once, on the model that comes with the package."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import Json, Quiet, Workers

DOCUMENTS = 2000
"""Documents of the demo's corpus."""
SEED = 7
"""Seed of the demo's corpus: documents that the model was not trained on."""


def demo(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to put the store and the report.")] = Path("demo"),
    documents: Annotated[int, typer.Option(help="Documents to harvest.", min=100)] = DOCUMENTS,
    workers: Workers = 2,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Harvest, label, score and report once, on a small model that comes with the package: no account, no key, no GPU.

    Stopped at any moment, the same command goes on.

    [bold]Examples[/bold]

        dragoman demo

        dragoman demo /tmp/demo --documents 1000
    """
    from .label import run as label
    from .output import as_json, console, summary_json, summary_table
    from .report import write
    from .score import run as score

    began = time.monotonic()
    store = folder / "store"
    times: dict[str, float] = {}

    def timed(name: str) -> None:
        times[name] = round(time.monotonic() - began - sum(times.values()), 1)

    _harvest(folder, store, documents, not quiet)
    timed("harvest")
    labeled = label(store, "all", "induction", 0, workers, False, not quiet)
    timed("label")
    _, summary = score(store, None, "pattern", 0, workers, False, not quiet)
    timed("score")
    report = write(store, folder / "report.html", None, "all", workers, not quiet)
    timed("report")
    count = summary.line("simulation.r", "label").median.n
    if json:
        as_json(
            {
                "store": str(store),
                "report": str(report),
                **_counts(labeled, count),
                "seconds": times,
                "summary": summary_json(summary),
            }
        )
        return
    out = console()
    out.print(f"\n{labeled['labels']:,} features labeled, {count:,} scored on text that no explainer saw.\n")
    out.print(summary_table(summary))
    out.print("\nThe judge executes the labels' patterns: it scores the rule, not the words.")
    out.print(f"Took {', '.join(f'{name} {seconds:.0f} s' for name, seconds in times.items())}.")
    out.print(f"Report: {report}", soft_wrap=True)
    out.print(f"Next: dragoman show {store} 0", soft_wrap=True)


def _harvest(folder: Path, store: Path, documents: int, progress: bool) -> None:
    """Write the corpus and harvest it, or go on with a harvest that was stopped."""
    import json

    from dragoman.evals.organism.load import corpus_documents, organism_paths
    from dragoman.logs import logging_to
    from dragoman.store.disk import disk_errors
    from dragoman.tools.harvest import harvest

    corpus = folder / "corpus.jsonl"
    text = "".join(json.dumps({"text": document.text}) + "\n" for document in corpus_documents(documents, SEED))
    with disk_errors("writing the demo's corpus", folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not corpus.exists() or corpus.read_text(encoding="utf-8") != text:
            corpus.write_text(text, encoding="utf-8")
    paths = organism_paths()
    with logging_to(store, "harvest"):
        harvest(store, str(paths.model), [str(paths.sae)], str(corpus), progress=progress)


def _counts(labeled: dict[str, Any], scored: int) -> dict[str, Any]:
    return {"labels": labeled["labels"], "failures": labeled["failures"], "scored": scored}
