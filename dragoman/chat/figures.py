"""What a tool found, drawn for a terminal: strips of tokens, tables, bars. Nothing in it can act on the terminal.

Every string of a corpus, a label or a model goes through `short`: what would act is written out, what is long is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from dragoman.evals.report.highlight import excerpt
from dragoman.store.chats import ChatStep
from dragoman.store.display import signed_rich, strip_line, tokens_rich, visible, visible_token

BAR = 24
"""Characters of the longest bar."""
CELL = 60
"""Characters of a cell, and of a token in a strip."""
LINE = 400
"""Characters of a line of text."""
ROWS = 12
"""Rows of a table, and lines of a text, unless all are asked for."""
TOKENS = 1_000
"""Tokens of a text that are shown whole."""
LEVELS = " ▁▂▃▄▅▆▇█"

Data = Mapping[str, Any]


def short(text: object, most: int = CELL) -> str:
    """A text on one line that shows as what it is, cut where it is long."""
    said = str(text)
    return visible(said[:most]) + ("…" if len(said) > most else "")


@dataclass(frozen=True)
class How:
    """How a result is drawn."""

    whole: bool = False
    """All of it, not the first rows."""
    plain: bool = False
    """Without colours, so that firing tokens stand in double brackets."""


def figure(step: ChatStep, how: How) -> list[RenderableType]:
    """A step's result as parts of a page; a result that has no figure is its text."""
    draw = FIGURES.get(step.tool)
    if draw is None or step.data is None:
        return lines(step.result, how.whole)
    try:
        return draw(step.data, how)
    except (KeyError, TypeError, ValueError, IndexError):  # a row of another version
        return lines(step.result, how.whole)


def lines(text: str, whole: bool = False) -> list[RenderableType]:
    """A text, a line each, so that nothing in it acts."""
    found = text.split("\n")
    shown = [Text(short(line, LINE)) for line in (found if whole else found[:ROWS])]
    return [*shown, *([] if whole or len(found) <= ROWS else [_more(len(found) - ROWS, "lines")])]


def bar(value: float, largest: float) -> Text:
    """A bar, to the right of a middle line above zero and to the left of it below, where values of both signs stand together."""
    size = round(BAR * min(abs(value) / largest, 1.0)) if largest > 0 else 0
    return Text("█" * size, style="green" if value >= 0 else "blue")


def strip(tokens: Sequence[str], values: Sequence[float], threshold: float, maximum: float, how: How) -> Text:
    """The tokens around the strongest one (all, where all is asked for), coloured by activation, firing ones bold."""
    start, end = (0, min(len(tokens), TOKENS)) if how.whole else excerpt(tokens, values, None)
    scale = maximum or max(values, default=0.0)
    line = Text("… " if start else "")
    shown, own = _cut(tokens[start:end]), values[start:end]
    if how.plain:
        line.append(strip_line("", shown, own, threshold).removeprefix("\n"))
    else:
        line.append_text(tokens_rich(shown, own, scale, threshold))
    return line + Text(" …" if end < len(tokens) else "")


def table(names: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[str] = ()) -> Table:
    """Rows under names; cells that are no text yet are cut and written out."""
    found = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in names:
        found.add_column(Text(short(name)), justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        found.add_row(*(cell if isinstance(cell, Text) else Text(short("" if cell is None else cell)) for cell in row))
    return found


def _activate(data: Data, how: How) -> list[RenderableType]:
    most = data["maximum"] or 1.0
    rows = [
        (f"{row['max']:.3g}", bar(row["max"], most), strip(row["tokens"], row["values"], data["threshold"], data["maximum"], how))
        for row in data["texts"]
    ]
    return [table(("peak", "of its maximum", "text"), rows, ("peak",))]


def _edit(data: Data, how: How) -> list[RenderableType]:
    mark = (data["threshold"], data["maximum"])
    rows: list[Sequence[object]] = [
        (f"{data['before']:.3g}", bar(data["before"], mark[1]), "as it was", strip(data["tokens"], data["values"], *mark, how))
    ]
    for one in data["variants"]:
        value = one["after"]
        said = "; ".join(one["edits"])
        shown = "gone" if value is None else f"{value:.3g}"
        rows.append((shown, bar(value or 0.0, mark[1]), said, strip(one["tokens"], one["values"], *mark, how)))
    return [table(("value", "of its maximum", "edit", "text"), rows, ("value",))]


def _examples(data: Data, how: How) -> list[RenderableType]:
    rows = [
        (
            str(one["context"]),
            f"{max(one['values']):.3g}",
            strip(one["tokens"], one["values"], data["threshold"], data["maximum"], how),
        )
        for one in data["examples"]
    ]
    return [table(("context", "peak", "text"), rows, ("context", "peak"))]


def _found(data: Data, how: How) -> list[RenderableType]:
    rows = data["features"] if how.whole else data["features"][:ROWS]
    cells = [
        (
            row["feature"],
            bar(row["share"], 1.0),
            visible_token(row["token"][:CELL]),
            f"{row['contexts'] / max(data['contexts'], 1):.1%}",
            row["label"],
        )
        for row in rows
    ]
    names = ("feature", "of its maximum", "at", "of contexts", "label")
    return _cutting(table(names, cells, ("of contexts",)), len(data["features"]) - len(rows))


def _contrast(data: Data, how: How) -> list[RenderableType]:
    rows = [
        (row["feature"], f"{row['fires_a']:.0%}", f"{row['fires_b']:.0%}", f"{row['peak_a']:.3g}", f"{row['peak_b']:.3g}")
        for row in data["rows"]
    ]
    names = ("feature", "fires on A", "on B", "mean peak A", "B")
    return [table(names, rows, names[1:])]


def _neighbours(data: Data, how: How) -> list[RenderableType]:
    largest = max((abs(row["value"] or 0.0) for row in data["neighbours"]), default=0.0)
    rows = [
        (row["feature"], f"{row['value'] or 0.0:.3g}", bar(row["value"] or 0.0, largest), _tokens(row["top_tokens"]))
        for row in data["neighbours"]
    ]
    return [table(("feature", data["by"], "", "strongest on"), rows, (data["by"],))]


def _shifts(data: Data, how: How) -> list[RenderableType]:
    """What an intervention does to the next token."""
    rows = [*data["watched"], *data["promoted"], *data["suppressed"]]
    largest = max((abs(row["shift"]) for row in rows), default=0.0)
    parts: list[RenderableType] = []
    for title in ("watched", "promoted", "suppressed"):
        cells = [
            (
                visible_token(row["token"][:CELL]),
                f"{row['shift']:+.2f}",
                bar(row["shift"], largest),
                f"{row['before']:.3g} → {row['after']:.3g}",
            )
            for row in data[title]
        ]
        if cells:
            parts.append(table((title, "logit", "", "probability"), cells, ("logit",)))
    return parts + _beside(data)


def _prediction(data: Data, how: How) -> list[RenderableType]:
    """The features that a next token rests on, and all of them together beside as many others."""
    rows: list[tuple[str, Data]] = [(row["feature"], row) for row in data["features"]]
    rows += [(f"all {len(data['features'])} together", data["together"])]
    rows += [] if data["control"] is None else [("as many others together", data["control"])]
    largest = max(abs(row[1]["shift"]) for row in rows)
    cells = [
        (name, f"{row['shift']:+.2f}", bar(row["shift"], largest), f"{data['before']:.3g} → {row['after']:.3g}")
        for name, row in rows
    ]
    return [table(("without", "logit", "", f"probability of {visible_token(data['next'][:CELL])}"), cells, ("logit",))]


def _beside(data: Data) -> list[RenderableType]:
    """The random directions of an intervention."""
    random = data.get("controls") or ([data["control"]] if "control" in data else [])
    if not random:
        return []
    largest = max(data["kl"], *(one["kl"] for one in random))
    rows: list[Sequence[object]] = [(data["feature"], f"{data['kl']:.3g}", bar(data["kl"], largest))]
    strongest = max(random, key=lambda one: one["kl"])["kl"]
    name = "a random direction" if len(random) == 1 else f"the strongest of {len(random)} random directions"
    rows.append((name, f"{strongest:.3g}", bar(strongest, largest)))
    return [table(("", "KL", ""), rows, ("KL",))]


def _logits(data: Data, how: How) -> list[RenderableType]:
    values = [value for side in ("promoted", "suppressed", "watched") for _, value in data[side]]
    largest = max(map(abs, values), default=0.0)
    return [
        table(
            (side, "logit", ""),
            [(visible_token(text[:CELL]), f"{value:+.3g}", bar(value, largest)) for text, value in data[side]],
            ("logit",),
        )
        for side in ("promoted", "suppressed", "watched")
        if data[side]
    ]


def _stats(data: Data, how: How) -> list[RenderableType]:
    if not data["active"]:
        return [Text(f"{short(data['feature'])} is never active on train.")]
    tall = max(data["histogram"], default=1) ** 0.5 or 1.0
    bars = "".join(LEVELS[round(count**0.5 / tall * (len(LEVELS) - 1))] for count in data["histogram"])
    return [
        Text(f"0 {bars} {data['maximum']:.3g}  histogram of {data['active']:,} activations, heights by square root"),
        Text(f"fires on {data['firing']:,} tokens ({data['firing_density']:.3%}) in {data['firing_contexts']:,} contexts"),
        Text(f"strongest on {_tokens(data['top_tokens'])}"),
    ]


def _attribution(data: Data, how: How) -> list[RenderableType]:
    if how.plain:
        scores = [(token, score) for token, score in zip(data["tokens"], data["scores"], strict=True) if score is not None]
        largest = max((abs(score) for _, score in scores), default=0.0)
        rows = [(visible_token(token[:CELL]), f"{score:+.3g}", bar(score, largest)) for token, score in scores]
        return [table(("token", "score", ""), rows, ("score",))]
    title = f"{short(data['feature'])} at token {data['position']}: {data['value']:.3g}; orange helps, blue hinders"
    return [signed_rich(title, _cut(data["tokens"]), data["scores"], data["position"])]


def _labels(data: Data, how: How) -> list[RenderableType]:
    rows = [(row["feature"], row["name"], Text(short(row["description"], LINE))) for row in data["labels"]]
    return [table(("feature", "name", "description"), rows)]


def _rows(data: Data, how: How) -> list[RenderableType]:
    rows = data["rows"] if how.whole else data["rows"][:ROWS]
    return _cutting(table([short(name) for name in data["columns"]], rows), len(data["rows"]) - len(rows))


def _written(data: Data, how: How) -> list[RenderableType]:
    rows = [
        (
            "unsteered" if one["direction"] == "none" else f"{one['direction']} × {one['strength']:g}",
            Text(short(one["prompt"], LINE), style="dim") + Text(short(one["text"], LINE), style="not dim"),
        )
        for one in data["continuations"]
    ]
    return [table(("", "text"), rows)]


FIGURES: Mapping[str, Callable[[Data, How], list[RenderableType]]] = {
    "activate": _activate,
    "edit_and_compare": _edit,
    "top_examples": _examples,
    "find_features": _found,
    "contrast": _contrast,
    "neighbours": _neighbours,
    "explain_prediction": _prediction,
    "ablate": _shifts,
    "steer": _shifts,
    "logit_effects": _logits,
    "feature_stats": _stats,
    "attribute_tokens": _attribution,
    "search_labels": _labels,
    "query_store": _rows,
    "generate_steered": _written,
}
"""Tools whose results have a figure."""


def _tokens(pairs: Iterable[Sequence[Any]]) -> str:
    return " ".join(visible_token(str(text)[:CELL]) for text, _ in list(pairs)[:8]) or "none"


def _cut(tokens: Sequence[str]) -> list[str]:
    """Tokens, very long ones shortened."""
    return [token if len(token) <= CELL else token[:CELL] + "…" for token in tokens]


def _cutting(shown: Table, left: int) -> list[RenderableType]:
    return [shown, *([_more(left, "rows")] if left > 0 else [])]


def _more(left: int, what: str) -> Text:
    return Text(f"({left} more {what}; open shows all)", style="dim")
