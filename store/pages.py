"""How a store, labels and scores look in notebooks. Everything that comes from a corpus or a model is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from .display import table_html, visible

if TYPE_CHECKING:
    from .features import Store
    from .records import Label, Score

MOST = 200
"""Labels of a list that are shown."""


class Labels(list["Label"]):
    """Labels that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        rows: list[dict[str, object]] = [
            {"feature": label.feature, "name": label.name, "description": label.description, "agent": label.agent}
            for label in self[:MOST]
        ]
        return table_html(["feature", "name", "description", "agent"], rows, _of(len(rows), len(self), "labels"))


class Scores(list["Score"]):
    """Scores that a notebook shows as a table: a line for each measure, the label beside its controls."""

    def _repr_html_(self) -> str:
        measures = dict.fromkeys((score.feature, score.scorer, score.split, score.run) for score in self)
        contestants = list(dict.fromkeys(score.contestant for score in self))
        found = {(s.feature, s.scorer, s.split, s.run, s.contestant): s for s in self}
        rows: list[dict[str, object]] = []
        for key in list(measures)[:MOST]:
            row: dict[str, object] = dict(zip(("feature", "score", "split"), key[:3], strict=True))
            row["judge"] = next((found[(*key, who)].judge for who in contestants if (*key, who) in found), "")
            row["n"] = max((found[(*key, who)].n for who in contestants if (*key, who) in found), default=0)
            rows.append(row | {who.replace("_", " "): _figure(found.get((*key, who))) for who in contestants})
        names = ["feature", "score", "judge", "split", "n", *(who.replace("_", " ") for who in contestants)]
        flags = sorted({flag for score in self for flag in score.flags})
        note = "; ".join([_of(len(rows), len(measures), "measures"), "values with 95 % intervals", *flags])
        return table_html(names, rows, note)


def label_html(label: Label) -> str:
    """A label with everything it says."""
    lines: list[tuple[str, str]] = [("description", label.description)]
    lines += [("facet", facet.description) for facet in label.facets]
    lines += [("rule", label.pattern)] if label.pattern else []
    lines += [("makes the model say", label.output_claim)] if label.output_claim else []
    maker = label.agent + (f" ({label.model})" if label.model else "")
    lines += [("made by", f"{maker} in run {label.run}")]
    return f"<div><b>{_escaped(label.name)}</b> <small>feature {label.feature}</small>{_facts(lines)}</div>"


def store_html(store: Store) -> str:
    """What a store holds."""
    tokens = ", ".join(f"{count:,} {split}" for split, count in store.manifest.tokens.items())
    lines = [
        ("model", f"{Path(store.subject.name).name} ({store.subject.family}, {store.subject.layers} layers)"),
        ("tokens", tokens),
    ]
    for info in store.dictionaries:
        lines.append(
            (f"dictionary {info.name}", f"{info.width:,} features, {info.architecture}, {info.hook_in} → {info.hook_out}")
        )
    return f"<div><b>{_escaped(store.path.name)}</b>{_facts(lines)}</div>"


def _facts(lines: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><th style='text-align:left'>{_escaped(name)}</th><td>{_escaped(text)}</td></tr>" for name, text in lines)
    return f"<table>{rows}</table>"


def _figure(score: Score | None) -> str:
    """A value with its interval, or why there is none."""
    if score is None:
        return ""
    if score.value is None:
        return f"unscored: {score.unscored}"
    interval = "" if score.low is None or score.high is None else f" [{score.low:.3f}, {score.high:.3f}]"
    return f"{score.value:.3f}{interval}"


def _of(shown: int, all_of_them: int, what: str) -> str:
    return f"{all_of_them} {what}" if shown == all_of_them else f"{shown} of {all_of_them} {what}"


def _escaped(text: str) -> str:
    return html.escape(visible(text))
