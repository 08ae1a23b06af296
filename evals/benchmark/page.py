"""A leaderboard for people: one self-contained HTML page, and Markdown tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dragoman.evals.report.highlight import readable
from dragoman.evals.report.plots import Axis, Mark, frontier
from dragoman.evals.statistics import Interval, plain

from .board import SHOWN, Board, Line, Worth
from .reading import DETECTED, RECOVERED
from .running import Result, Row

NAMED: Mapping[str, str] = {
    "recovery.mcc": "recovery, MCC per token",
    "recovery.balanced_accuracy": "recovery, balanced accuracy per token",
    "recovery.auroc": "recovery, AUROC per token",
    "recovery.context": "recovery among equal tokens, AUROC",
    "recovery.text_balanced_accuracy": "recovery, balanced accuracy per text",
    "recovery.text_auroc": "recovery, AUROC per text",
    "recovery.read_balanced_accuracy": "recovery as a judge reads it, balanced accuracy per text",
    "recovery.read_auroc": "recovery as a judge reads it, AUROC per text",
    "detection.read_balanced_accuracy": "detection as a judge reads it, balanced accuracy",
    "detection.read_auroc": "detection as a judge reads it, AUROC",
    "simulation.r": "simulation, r per token",
    "simulation.r_top_random": "simulation, r on 1 : 1 top and random",
    "detection.auroc": "detection, AUROC",
    "detection.balanced_accuracy": "detection, balanced accuracy",
    "confidence": "confidence of the label's maker",
}
"""Figures in words."""
EXAMPLES = 30
"""Features of a suite whose labels are shown on the page."""
ABOUT = (
    "Means over features with 95 % bootstrap intervals, which resample features; a feature without a label counts as saying "
    "nothing, a label that cannot be executed is unscored."
)
RECOVERY = (
    "Recovery executes the label's rule on fresh texts, on which the truth and what is like it differ; among equal tokens no "
    "list of tokens exceeds 0.5."
)
NO_TRUTH = "Nothing is known of these features: there are predictive scores only, on the store's test texts."


def pictures(board: Board) -> Markup:
    """Quality against cost."""
    priced = any(line.cost["dollars"] for line in board.lines)
    marks = []
    for line in board.lines:
        quality, cost = line.figures.get(board.headline), line.cost["dollars" if priced else "seconds"]
        if quality is not None and quality.n:
            marks.append(Mark(line.contestant, math.log10(max(cost, 1e-6 if priced else 1e-3)), quality))
    if not marks:
        return Markup("")
    costs = [mark.cost for mark in marks]
    unit = "US dollars for a label (logarithmic)" if priced else "seconds for a label (logarithmic)"
    across = Axis(unit, math.floor(min(costs)), max(math.floor(min(costs)) + 1, math.ceil(max(costs))), log=True, share=False)
    lowest = min(0.0, *(mark.quality.low for mark in marks))
    up = Axis(NAMED[board.headline], math.floor(lowest * 10) / 10, 1.0)
    return frontier(f"{board.suite}: quality against cost", across, up, marks)


def html(boards: Sequence[Board], results: Sequence[Result]) -> str:
    """The page."""
    environment = Environment(
        loader=PackageLoader("dragoman.evals.benchmark", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    style = files("dragoman.evals.report").joinpath("style.css").read_text("utf-8")
    sections = [
        {
            "board": board,
            "about": RECOVERY if _truth(board) else NO_TRUTH,
            "truth": _truth(board),
            "collides": any("collision" in line.figures for line in board.lines),
            "picture": pictures(board),
            "heads": [NAMED[name] for name in _shown(board)],
            "rows": [_cells(board, line) for line in board.lines],
            "parts": [_part_cells(board, part) for part in board.parts],
            "order": [line.contestant for line in board.lines],
            "worth": [_worth_cells(one) for one in board.worth],
            "examples": _examples(board, results),
        }
        for board in boards
    ]
    return environment.get_template("bench.html.j2").render(style=Markup(style), sections=sections, about=ABOUT, named=NAMED)


def markdown(boards: Sequence[Board]) -> str:
    """The same tables in Markdown."""
    lines = ["# Label benchmarks", "", ABOUT, ""]
    for board in boards:
        shown = _shown(board)
        heads = ["contestant", "n", "labeled", *(NAMED[name] for name in shown)]
        heads += [f"minus {board.reference}", "seconds", "tools called", "subject tokens", "model tokens", "dollars"]
        about = RECOVERY if _truth(board) else NO_TRUTH
        lines += [f"## {board.suite}", "", about, "", f"Seeds {', '.join(map(str, board.seeds))}.", "", *_table(heads)]
        for line in board.lines:
            cost = line.cost
            cells = [line.contestant, str(line.n), f"{line.labeled:.0%}", *(_figure(line.figures.get(name)) for name in shown)]
            cells += [
                _difference(board, line),
                f"{'' if line.whole else '≥ '}{cost['seconds']:.2f}",
                f"{cost['calls']:.0f}",
                f"{cost['forwarded']:,.0f}",
                f"{cost['tokens']:,.0f}",
                f"{cost['dollars']:.4f}",
            ]
            lines.append(_markdown_row(cells))
        lines += ["", "Costs are for one feature.", ""]
        reasons = [
            f"- {_flat(line.contestant)}: {count} unscored, {_flat(reason)}."
            for line in board.lines
            for reason, count in line.unscored.items()
        ]
        lines += [*reasons, ""] if reasons else []
        if board.parts:
            lines += [f"### {NAMED[board.headline]}, in parts", "", *_table(["part", "n", *(x.contestant for x in board.lines)])]
            for part in board.parts:
                figures = [_figure(part.figures.get(x.contestant)) for x in board.lines]
                lines.append(_markdown_row([part.name, str(part.n), *figures]))
            lines += ["", f"### The same, minus {board.reference}", "", *_table(["part", "n", *_others(board)])]
            for part in board.parts:
                differences = [_figure(p.mean, "+.3f") if (p := part.against.get(x)) else "" for x in _others(board)]
                lines.append(_markdown_row([part.name, str(part.n), *differences]))
            lines.append("")
        if board.worth:
            lines += ["### Which scores can be trusted", "", *_table(["score", "labels", "Spearman", "chooses the better label"])]
            lines += [_markdown_row(_worth_cells(one)) for one in board.worth]
            lines.append("")
        if board.beliefs:
            lines += [
                "### Confidence",
                "",
                *_table(["contestant", "n", "expected", "reached", "off by", "Spearman with recovery"]),
            ]
            lines += [
                _markdown_row([b.contestant, str(b.n), f"{b.expected:.2f}", _figure(b.reached), f"{b.off:.2f}", f"{b.rho:.2f}"])
                for b in board.beliefs
            ]
            lines.append("")
        lines += ["### Every line again", "", "```sh", *(line.command for line in board.lines), "```", ""]
    return "\n".join(lines)


def _truth(board: Board) -> bool:
    """Whether the truth of the features is known."""
    return board.headline.startswith("recovery")


def _shown(board: Board) -> list[str]:
    """The figures of the table that some contestant has."""
    return [name for name in (*SHOWN, *RECOVERED, *DETECTED.values()) if any(name in line.figures for line in board.lines)]


def _others(board: Board) -> list[str]:
    return [line.contestant for line in board.lines if line.contestant != board.reference]


def _cells(board: Board, line: Line) -> dict[str, Any]:
    collision = line.figures.get("collision")
    return {
        "line": line,
        "labeled": f"{line.labeled:.0%}",
        "figures": [_pair(line.figures.get(name)) for name in _shown(board)],
        "difference": _pair(p.mean, "+.3f") if (p := line.against.get(board.headline)) else ("", ""),
        "collision": f"{collision.value:.0%} of {collision.n}" if collision else "",
        "seconds": f"{'' if line.whole else '≥ '}{line.cost['seconds']:.2f}",
        "costs": [f"{line.cost[name]:,.0f}" for name in ("calls", "forwarded", "read", "tokens")],
        "dollars": f"{line.cost['dollars']:.4f}",
        "unscored": [f"{count} unscored: {reason}" for reason, count in line.unscored.items()],
    }


def _part_cells(board: Board, part: Any) -> dict[str, Any]:
    order = [line.contestant for line in board.lines]
    return {
        "name": part.name,
        "n": part.n,
        "figures": [_pair(part.figures.get(name)) for name in order],
        "against": [_pair(p.mean, "+.3f") if (p := part.against.get(name)) else ("", "") for name in order],
    }


def _worth_cells(one: Worth) -> list[str]:
    return [
        NAMED.get(one.score, one.score),
        f"{one.labels} of {one.rho.n} features",
        _figure(one.rho, ".2f"),
        _figure(one.chooses, ".2f"),
    ]


def _examples(board: Board, results: Sequence[Result]) -> list[dict[str, Any]]:
    """Truth and labels side by side, for the first seed's first features."""
    first = [one for one in results if one.suite == board.suite and one.seed == board.seeds[0]]
    shown: dict[int, dict[str, Any]] = {}
    for result in first:
        for row in result.rows[:EXAMPLES]:
            entry = shown.setdefault(
                row.feature, {"feature": row.feature, "truth": readable(row.truth or ""), "what": _what(row), "labels": []}
            )
            figure = row.figures.get(board.headline)
            words = str(row.said.get("description") or row.unscored or "")
            entry["labels"].append(
                {"by": result.contestant, "words": readable(words), "figure": "" if figure is None else plain(figure, ".2f")}
            )
    return list(shown.values())


def _what(row: Row) -> str:
    return ", ".join([row.kind, *([f"level {row.level}"] if row.level else []), *(["hard case"] if row.hard else [])])


def _difference(board: Board, line: Line) -> str:
    pairing = line.against.get(board.headline)
    return _figure(pairing.mean, "+.3f") if pairing else ""


def _pair(found: Interval | None, form: str = ".3f") -> tuple[str, str]:
    return (plain(found.value, form), found.text(form)) if found is not None and found.n else ("", "")


def _figure(found: Interval | None, form: str = ".3f") -> str:
    return " ".join(_pair(found, form)).strip()


def _table(heads: Sequence[str]) -> list[str]:
    return [_markdown_row(heads), "| " + " | ".join("---" if n == 0 else "---:" for n in range(len(heads))) + " |"]


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_flat(cell) for cell in cells) + " |"


def _flat(text: str) -> str:
    """Text of others made fit for a cell: one line, no markup."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
