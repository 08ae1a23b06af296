"""Results on stdout: tables for people, JSON for scripts."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from dragoman.evals.statistics import Interval
    from dragoman.evals.summary import Summary


WIDTH = 110
"""Columns where stdout is not a terminal."""


def console() -> Console:
    """The console of results."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=WIDTH)


def as_json(result: Mapping[str, Any]) -> None:
    """Print one JSON object; NaN becomes null."""
    json.dump(_clean(result), sys.stdout, ensure_ascii=True, default=str)
    print()


def summary_table(summary: Summary) -> Table:
    """Medians of label and controls, and the paired differences; three lines a scorer."""
    from dragoman.evals.summary import CONTESTANTS, SCORERS

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("score on test", overflow="fold")
    for name in ("n", "median over features", "label minus control", "label better"):
        table.add_column(name, justify="right", no_wrap=True)
    for scorer in summary.scorers:
        name = SCORERS[scorer]
        tried = [contestant for contestant in CONTESTANTS if summary.tried(scorer, contestant)]
        if not any(summary.line(scorer, contestant).median.n for contestant in tried):
            table.add_row(f"[bold]{name}[/bold]", "0", "nothing could be scored")
            continue
        pairs = {c.against: c.pairing for c in summary.comparisons if c.scorer == scorer}
        table.add_row(f"[bold]{name}[/bold]")
        for contestant in tried:
            line = summary.line(scorer, contestant)
            pair = pairs.get(contestant)
            cells = (figure(pair.median, "+.3f"), f"{pair.better:.0%}" if pair.median.n else "-") if pair else ("", "")
            table.add_row(f"  {contestant.replace('_', ' ')}", str(line.median.n), figure(line.median), *cells)
    table.caption = "Medians with 95 % bootstrap intervals; differences are medians over the same features."
    table.caption_justify = "left"
    return table


def figure(interval: Interval, form: str = ".3f") -> str:
    """A figure and its interval; a dash where there is none."""
    from dragoman.evals.statistics import plain

    if interval.n == 0:
        return "-"
    return f"{plain(interval.value, form)} \\{interval.text(form)}"


def summary_json(summary: Summary) -> dict[str, Any]:
    """The summary for scripts."""
    return {
        "medians": [
            {"scorer": line.scorer, "contestant": line.contestant, **line.median._asdict(), "unscored": dict(line.unscored)}
            for line in summary.lines
        ],
        "paired": [
            {
                "scorer": c.scorer,
                "against": c.against,
                "median_difference": c.pairing.median._asdict(),
                "mean_difference": c.pairing.mean._asdict(),
                "better": c.pairing.better,
            }
            for c in summary.comparisons
        ],
    }


def _clean(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Mapping):
        return {str(key): _clean(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(inner) for inner in value]
    return value
