"""`dragoman runs`: what was run on a store, how far it is, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from .options import Json, Store

if TYPE_CHECKING:
    from dragoman.agents.runs import Line, Report

RunId = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run, or how it begins.", show_default=False)]


class ListFirst(TyperGroup):
    """`dragoman runs STORE` is short for `dragoman runs list STORE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See click."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = ["list", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=ListFirst, no_args_is_help=True, help="Runs of a store: dragoman runs STORE lists them.")


@app.command("list")
def listed(store: Store, json: Json = False) -> None:
    """List the runs of a store, the oldest first: what was done, what was spent, and whether it is going on.

    A run that is "killed" was ended from outside; like one that is "stopped" it goes on with the command that began it.

    [bold]Examples[/bold]

        dragoman runs S

        dragoman runs list S --json
    """
    from dragoman.agents.runs import lines
    from dragoman.store.features import Store as Opened

    from .output import as_json, console

    with Opened.open(store) as opened:
        found = lines(opened)
    if json:
        as_json({"runs": [_line_json(line) for line in found]})
        return
    if not found:
        console().print(f"Nothing was run on {store} yet. Next: dragoman label {store}", markup=False)
        return
    console().print(_table(found))


@app.command("show")
def show(store: Store, run: RunId, json: Json = False) -> None:
    """Everything about one run: its configuration, spend by step, failures by reason, tools used, rungs reached.

    [bold]Examples[/bold]

        dragoman runs show S 974601e7a2898c69

        dragoman runs show S 9746 --json
    """
    from dragoman.agents.runs import report
    from dragoman.store.features import Store as Opened

    from .output import as_json, console

    with Opened.open(store) as opened:
        found = report(opened, run)
    if json:
        as_json(_report_json(found))
        return
    for part in _report(found):
        console().print(part)


def _table(lines: list[Line]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("run", no_wrap=True)
    for name in ("kind", "explainer", "judge"):
        table.add_column(name, overflow="fold")
    for name in ("features", "labels", "failures", "spend"):
        table.add_column(name, justify="right")
    table.add_column("status", no_wrap=True)
    table.add_column("started", no_wrap=True)
    for line in lines:
        row = line.row
        made = row.labels if row.kind == "label" else row.scores
        spend = f"${row.dollars:,.2f}" if row.dollars else f"{row.tokens:,} tokens" if row.tokens else "-"
        cells = (row.id, row.kind, line.explainer, line.judge, f"{line.features:,}", f"{made:,}", f"{row.failures:,}", spend)
        table.add_row(*map(Text, (*cells, line.status, row.started[:16].replace("T", " "))))
    return table


def _report(found: Report) -> list[Any]:
    import json as encoding

    from rich.table import Table
    from rich.text import Text

    def table(*heads: str, rows: list[tuple[object, ...]]) -> Table:
        made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for at, head in enumerate(heads):
            made.add_column(head, justify="right" if at else "left", overflow="fold")
        for row in rows:
            made.add_row(*(Text(f"{cell:,}" if isinstance(cell, int) else str(cell)) for cell in row))
        return made

    line, row = found.line, found.line.row
    summary = f"Run {row.id} ({row.kind}), {line.status}: {row.labels:,} labels, {row.failures:,} features without one, "
    summary += f"{line.features:,} features in all. Begun {row.started}" + (f", ended {row.finished}." if row.finished else ".")
    if line.pulse and line.pulse.reason and line.status == "stopped":
        summary += f" It was stopped: {line.pulse.reason}"
    parts: list[Any] = [Text(summary)]
    if found.validation is not None:
        parts.append(Text(f"Median figure on validation: {found.validation:.3f}."))
    shown = [(name, value if isinstance(value, str) else encoding.dumps(value)) for name, value in found.config.items()]
    parts.append(table("configuration", "", rows=[(name, value) for name, value in shown]))
    if found.rungs:
        parts.append(table("highest rung", "features", rows=list(found.rungs.items())))
    if found.failures:
        parts.append(table("reason", "features", rows=list(found.failures.items())))
    if found.steps:
        heads = ("calls of", "answered", "not", "prompt", "cached", "reply", "tokens", "dollars")
        counts = [(s.calls, s.failed, s.prompt, s.cached, s.completion, s.tokens) for s in found.steps]
        said = [(s.step, "-" if s.dollars is None else f"{s.dollars:.4f}") for s in found.steps]
        rows: list[tuple[object, ...]] = [(step, *n, cost) for (step, cost), n in zip(said, counts, strict=True)]
        rows.append(("in all", *map(sum, zip(*counts, strict=True)), f"{row.dollars:.4f}"))
        parts.append(table(*heads, rows=rows))
    if found.tools:
        columns = ("tool", "for", "calls", "failed", "tokens through the model", "contexts read")
        parts.append(table(*columns, rows=[(t.tool, t.kind, t.calls, t.failed, t.forwarded, t.read) for t in found.tools]))
    return parts


def _line_json(line: Line) -> dict[str, Any]:
    import json as encoding
    from dataclasses import asdict

    row = line.row._asdict()
    row["config"] = encoding.loads(row["config"])
    row["recorded_status"] = row.pop("status")
    pulse = asdict(line.pulse) if line.pulse else None
    return {
        **row,
        "status": line.status,
        "explainer": line.explainer,
        "judge": line.judge,
        "features": line.features,
        "heartbeat": pulse,
    }


def _report_json(found: Report) -> dict[str, Any]:
    return {
        **_line_json(found.line),
        "validation": found.validation,
        "rungs": dict(found.rungs),
        "reasons": dict(found.failures),
        "steps": [step._asdict() for step in found.steps],
        "tools": [tool._asdict() for tool in found.tools],
    }
