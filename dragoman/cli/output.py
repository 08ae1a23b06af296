"""Results on stdout: tables for people, JSON for scripts."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from dragoman.evals.statistics import Interval
    from dragoman.evals.summary import Summary


def console() -> Console:
    """The console of results."""
    return Console(highlight=False, soft_wrap=False)


def as_json(result: Mapping[str, Any]) -> None:
    """Print one JSON object; NaN becomes null."""
    json.dump(_clean(result), sys.stdout, ensure_ascii=True, default=str)
    print()


def summary_table(summary: Summary) -> Table:
    """Medians of label and controls, and the paired differences, a line a scorer."""
    from dragoman.evals.summary import CONTESTANTS, SCORERS

    table = Table(
        title="Medians over features on test, with 95 % bootstrap intervals",
        title_justify="left",
        show_edge=False,
        pad_edge=False,
    )
    for name in ("score", "n", "label", "token lookup", "shuffled label", "label - lookup", "label - shuffled"):
        table.add_column(name, justify="left" if name == "score" else "right")
    for scorer in SCORERS:
        lines = [summary.line(scorer, contestant) for contestant in CONTESTANTS]
        pairs = [c.pairing.median for c in summary.comparisons if c.scorer == scorer]
        cells = [figure(line.median) for line in lines] + [figure(pair, "+.3f") for pair in pairs]
        table.add_row(scorer, str(lines[0].median.n), *cells)
    return table


def figure(interval: Interval, form: str = ".3f") -> str:
    """A figure and its interval on two lines; a dash where there is none."""
    if interval.n == 0:
        return "-"
    return f"{interval.value:{form}}\n[{interval.low:{form}}, {interval.high:{form}}]"


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
    if isinstance(value, Mapping):
        return {str(key): _clean(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(inner) for inner in value]
    return value
