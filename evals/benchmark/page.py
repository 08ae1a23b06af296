"""A leaderboard for people: one self-contained HTML page, and Markdown tables."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dragoman.evals.report.highlight import readable
from dragoman.evals.report.plots import Axis, Mark, frontier
from dragoman.evals.statistics import Interval, plain

from .board import SHOWN, Board, Line, Part, Worth
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
    "nothing, a label that cannot be executed is unscored, and a figure of fewer features than its row says so (n)."
)
RECOVERY = (
    "Recovery executes the label's rule on fresh texts, on which the truth and what is like it differ; among equal tokens no "
    "list of tokens exceeds 0.5."
)
NO_TRUTH = "Nothing is known of these features: there are predictive scores only, on the store's test texts."


def called(contestants: Sequence[str]) -> dict[str, str]:
    """Contestants without the addresses where their models are served, as long as that tells them apart."""
    short = {name: re.sub(r"(?:vllm|openai|anthropic):https?://([^#]*)(?:#(.+))?$", _model, name) for name in contestants}
    twice = Counter(short.values())
    return {name: told if twice[told] == 1 else name for name, told in short.items()}


def _model(found: re.Match[str]) -> str:
    """The model's name, or where it has none its host and port."""
    address, model = found.groups()
    return str(model or address.split("/")[0])


def pictures(board: Board) -> Markup:
    """Quality against cost."""
    names = called([line.contestant for line in board.lines])
    priced = any(line.cost["dollars"] for line in board.lines)
    marks = []
    for line in board.lines:
        quality, cost = line.figures.get(board.headline), line.cost["dollars" if priced else "seconds"]
        if quality is not None and quality.n:
            marks.append(Mark(names[line.contestant], math.log10(max(cost, 1e-6 if priced else 1e-3)), quality))
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
            "parts": [
                (figure, [_part_cells(board, part) for part in parts])
                for figure, parts in ((board.headline, board.parts), (RECOVERED[0], board.read))
                if parts
            ],
            "names": called([line.contestant for line in board.lines]),
            "order": [line.contestant for line in board.lines],
            "judge": _judge(board),
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
        names = called([line.contestant for line in board.lines])
        heads = ["contestant", "n", "labeled", *(NAMED[name] for name in shown)]
        heads += [f"minus {names[board.reference]}", "seconds", "tools called", "subject tokens", "model tokens", "dollars"]
        about = RECOVERY if _truth(board) else NO_TRUTH
        lines += [
            f"## {board.suite}",
            "",
            about,
            "",
            f"Seeds {', '.join(map(str, board.seeds))}.",
            "",
            *_judged(board),
            *_table(heads),
        ]
        for line in board.lines:
            cost = line.cost
            figures = [_figure(line.figures.get(name), n=line.n) for name in shown]
            cells = [names[line.contestant], str(line.n), f"{line.labeled:.0%}", *figures]
            cells += [
                _difference(board, line),
                f"{'' if line.whole else '≥ '}{cost['seconds']:.2f}",
                f"{cost['calls']:.0f}",
                f"{cost['forwarded']:,.0f}",
                f"{cost['tokens']:,.0f}",
                _dollars(cost),
            ]
            lines.append(_markdown_row(cells))
        lines += ["", "Costs are for one feature.", ""]
        reasons = [
            f"- {_flat(names[line.contestant])}: {count} unscored, {_flat(reason)}."
            for line in board.lines
            for reason, count in line.unscored.items()
        ]
        lines += [*reasons, ""] if reasons else []
        for figure, parts in ((board.headline, board.parts), (RECOVERED[0], board.read)):
            lines += _in_parts(board, figure, parts, names) if parts else []
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
                _markdown_row(
                    [names[b.contestant], str(b.n), f"{b.expected:.2f}", _figure(b.reached), f"{b.off:.2f}", f"{b.rho:.2f}"]
                )
                for b in board.beliefs
            ]
            lines.append("")
        lines += ["### Every line again", "", "```sh", *(line.command for line in board.lines), "```", ""]
    return "\n".join(lines)


def _in_parts(board: Board, figure: str, parts: Sequence[Part], names: Mapping[str, str]) -> list[str]:
    """A figure of some of the features, and its differences."""
    lines = [f"### {NAMED[figure]}, in parts", "", *_table(["part", "n", *(names[x.contestant] for x in board.lines)])]
    for part in parts:
        figures = [_figure(part.figures.get(x.contestant), n=part.n) for x in board.lines]
        lines.append(_markdown_row([part.name, str(part.n), *figures]))
    lines += [
        "",
        f"### The same, minus {names[board.reference]}",
        "",
        *_table(["part", "n", *(names[x] for x in _others(board))]),
    ]
    for part in parts:
        differences = [_figure(p.mean, "+.3f", part.n) if (p := part.against.get(x)) else "" for x in _others(board)]
        lines.append(_markdown_row([part.name, str(part.n), *differences]))
    return [*lines, ""]


def _judge(board: Board) -> str:
    """Which model read the words, and what that took; empty where none did."""
    if board.judge is None:
        return ""
    parts = ("requests", "tokens", "dollars", "unpriced")
    total = {part: sum(line.judged.get(part, 0.0) for line in board.lines) for part in parts}
    asked = f"{total['requests']:,.0f} requests, {total['tokens']:,.0f} tokens, dollars: {_dollars(total)}"
    return f"The judge that read the words of labels is {board.judge}: {asked}. What it read is compared under this judge only."


def _judged(board: Board) -> list[str]:
    return [_flat(_judge(board)), ""] if board.judge else []


def _dollars(cost: Mapping[str, float]) -> str:
    """What models took; said where nobody knows a price, and where the servers are one's own."""
    if cost["unpriced"]:
        return "price not known" if not cost["dollars"] else f"≥ {cost['dollars']:.4f}, not all prices known"
    return f"{cost['dollars']:.4f}" if cost["dollars"] else "0, own server" if cost["tokens"] else "0"


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
        "name": called([one.contestant for one in board.lines])[line.contestant],
        "labeled": f"{line.labeled:.0%}",
        "figures": [_pair(line.figures.get(name), n=line.n) for name in _shown(board)],
        "difference": _pair(p.mean, "+.3f") if (p := line.against.get(board.headline)) else ("", ""),
        "collision": f"{collision.value:.0%} of {collision.n}" if collision else "",
        "seconds": f"{'' if line.whole else '≥ '}{line.cost['seconds']:.2f}",
        "costs": [f"{line.cost[name]:,.0f}" for name in ("calls", "forwarded", "read", "tokens")],
        "dollars": _dollars(line.cost),
        "unscored": [f"{count} unscored: {reason}" for reason, count in line.unscored.items()],
    }


def _part_cells(board: Board, part: Any) -> dict[str, Any]:
    order = [line.contestant for line in board.lines]
    return {
        "name": part.name,
        "n": part.n,
        "figures": [_pair(part.figures.get(name), n=part.n) for name in order],
        "against": [_pair(p.mean, "+.3f", part.n) if (p := part.against.get(name)) else ("", "") for name in order],
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
    names = called([line.contestant for line in board.lines])
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
                {
                    "by": names[result.contestant],
                    "words": readable(words),
                    "figure": "" if figure is None else plain(figure, ".2f"),
                }
            )
    return list(shown.values())


def _what(row: Row) -> str:
    return ", ".join([row.kind, *([f"level {row.level}"] if row.level else []), *(["hard case"] if row.hard else [])])


def _difference(board: Board, line: Line) -> str:
    pairing = line.against.get(board.headline)
    return _figure(pairing.mean, "+.3f") if pairing else ""


def _pair(found: Interval | None, form: str = ".3f", n: int | None = None) -> tuple[str, str]:
    """A figure, and its interval where it is of more than one feature. n: features beside it; said where it is of fewer."""
    if found is None or not found.n:
        return "", ""
    fewer = f"n {found.n}" if n is not None and found.n < n else ""
    return plain(found.value, form), " ".join(part for part in (found.text(form) if found.n > 1 else "", fewer) if part)


def _figure(found: Interval | None, form: str = ".3f", n: int | None = None) -> str:
    return " ".join(_pair(found, form, n)).strip()


def _table(heads: Sequence[str]) -> list[str]:
    return [_markdown_row(heads), "| " + " | ".join("---" if n == 0 else "---:" for n in range(len(heads))) + " |"]


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_flat(cell) for cell in cells) + " |"


def _flat(text: str) -> str:
    """Text of others made fit for a cell: one line, no markup."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
