"""The command `dragoman`: its sub-commands, their defaults, and what becomes of errors.

Nothing heavy is imported here: `dragoman --help` must be quick, so every command imports what it needs when it runs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import typer

from dragoman import config
from dragoman.arenas import one_arena

from . import (
    ablate,
    activate,
    bench,
    chat,
    debate,
    demo,
    dictionaries,
    edit,
    export,
    harvest,
    import_,
    judge,
    judge_compare,
    label,
    ladder,
    logits,
    match,
    mcp,
    neighbours,
    organism,
    replay,
    report,
    runs,
    score,
    search_inputs,
    serve,
    show,
    sql,
    steer,
    train,
)
from .errors import Commands, say

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    add_completion=False,
    help="Label the features of sparse dictionaries, and score every label on text that no explainer has seen.\n\n"
    "Begin with [bold]dragoman demo[/bold]: it does everything once on a small model that comes with the package. On your own "
    "model: [bold]harvest[/bold] makes a store, then [bold]label[/bold], [bold]score[/bold], [bold]report[/bold] and "
    "[bold]show[/bold] take that STORE as their first argument.",
    epilog="Any flag can be set by the environment (DRAGOMAN_WORKERS=4, for one command alone DRAGOMAN_LABEL_WORKERS=4) or in "
    "./dragoman.toml (workers = 4). "
    "Results go to stdout, progress and logs to stderr. Exit codes: 0 done, 2 bad input, 130 stopped with Ctrl-C.",
)

app.command("demo")(demo.demo)
app.command("train")(train.train)
app.command("harvest")(harvest.harvest)
app.command("label")(label.label)
app.command("ladder")(ladder.ladder)
app.add_typer(bench.app, name="bench")
app.command("debate")(debate.debate)
app.command("score")(score.score)
app.command("show")(show.show)
app.command("report")(report.report)
app.command("activate")(activate.activate)
app.command("edit")(edit.edit)
app.command("ablate")(ablate.ablate)
app.command("steer")(steer.steer)
app.command("logits")(logits.logits)
app.command("neighbours")(neighbours.neighbours)
app.command("match")(match.match)
app.command("search-inputs")(search_inputs.search_inputs)
app.command("dictionaries")(dictionaries.dictionaries)
judge.app.command("compare")(judge_compare.compare)
app.add_typer(runs.app, name="runs")
app.command("replay")(replay.replay)
app.add_typer(judge.app, name="judge")
app.add_typer(organism.app, name="organism")
app.command("export")(export.export)
app.command("import")(import_.import_)
app.command("chat")(chat.chat)
app.command("mcp")(mcp.mcp)
app.command("serve")(serve.serve)
app.command("sql")(sql.sql)


def main() -> None:
    """Run the command line. Never shows a traceback; see errors.py for exit codes."""
    from dragoman.store.errors import UserError

    one_arena()
    try:
        settings = config.defaults(_flags(typer.main.get_command(app)), os.environ, Path.cwd())
    except UserError as error:
        say(str(error))
        sys.exit(2)
    app(default_map=settings)


def _flags(command: Any) -> Any:
    """Flags of every command below this one, as `config.defaults` wants them."""
    if hasattr(command, "commands"):
        return {name: _flags(inner) for name, inner in command.commands.items()}
    return frozenset(p.name for p in command.params if p.name != "help")
