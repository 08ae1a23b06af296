"""A report: one self-contained HTML file about the labels and scores of a store.

1. The run summary: tiles, the table of medians with intervals and paired differences, plots.
2. A table of all features, sortable and searchable.
3. A section a feature (at most `SECTIONS`, live ones first), rendered in worker processes.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dragoman.evals.judges import judge_named
from dragoman.evals.progress import Progress
from dragoman.evals.statistics import Interval, calibration, plain
from dragoman.evals.summary import CONTESTANTS, SCORERS, Summary, summarise, tabulate
from dragoman.evals.workforce import Done, work
from dragoman.store.disk import disk_errors
from dragoman.store.features import Store
from dragoman.store.records import Score
from dragoman.store.trail import read_trail
from dragoman.store.trails import Trails

from .confidence import confidence_plot, confidence_rows
from .highlight import visible
from .material import Material
from .pack import pack
from .plots import COLOURS, Axis, Dot, Group, distributions, histogram, reliability, scatter
from .sections import Cell, Page, Section, cell, section
from .spending import spending

log = logging.getLogger(__name__)

MEANINGS: Mapping[str, Markup] = {
    "fuzzing.auroc": Markup(
        "<b>Fuzzing</b> shows each firing context twice, with the tokens highlighted that fire and with as many others of the "
        "same context: are they the right ones? Chance is 0.5."
    ),
    "collision.accuracy": Markup(
        "<b>Collision</b> shows one text of the feature among texts of its nearest neighbours: which one does the label mean? "
        "Chance is one in four; a vague label stays there."
    ),
    "generation.auroc": Markup(
        "<b>Generation</b> runs texts that the judge wrote from the label alone, to fire and not to fire, through the model."
    ),
    "counterfactual.auroc": Markup(
        "<b>Counterfactual</b> asks of a firing text and of small edits of it whether the feature still fires. Chance is 0.5."
    ),
    "intervention.accuracy": Markup(
        "<b>Intervention</b> shows continuations steered by the feature among others: which ones does the label mean? Chance is "
        "one in four, and so should be the control, where a random direction of equal norm stands in the feature's place."
    ),
}
"""What a figure means and what chance is, shown where it was asked for."""
SECTIONS = 2000
"""More features than this get no section of their own."""
TRAILS = 400
"""More trails than this are not shown; a command shows each."""
TABLE: Mapping[str, str] = {
    "simulation.r": "r",
    "detection.auroc": "AUROC",
    "detection.balanced_accuracy": "balanced accuracy",
    "fuzzing.auroc": "fuzzing AUROC",
    "embedding.auroc": "embedding AUROC",
    "collision.accuracy": "collision",
    "generation.auroc": "generation AUROC",
    "counterfactual.auroc": "counterfactual AUROC",
    "intervention.accuracy": "intervention",
}
"""Scorers shown in the table of all features where they were asked for, with the heads of their columns."""


def write_report(material: Material, path: Path, workers: int = 2, progress: bool = True) -> Path:
    """Write the report to `path` and return it. Raises UserError when the disk is full."""
    with Store.open(material.store) as store:
        table = stats(store)
        live = [f for f in material.features if table[f]["liveness"] == "live"]
        rest = [f for f in material.features if table[f]["liveness"] == "rare"]
        order = sorted((live + rest)[:SECTIONS])
        text = environment().get_template("report.html.j2").render(**_head(store, material, table, order))
    sections: dict[int, Section] = {}
    setup = partial(_renderer, replace(material, answers=()), tuple(order))
    with Progress("report", len(order), enabled=progress) as bar:
        for feature, outcome in work(order, setup, workers if len(order) > 20 else 0):
            if isinstance(outcome, Done):
                sections[feature] = outcome.value
            else:
                log.warning("the section of feature %d could not be made: %s\n%s", feature, outcome.reason, outcome.trace)
                sections[feature] = _failure(feature, outcome.reason)
            bar.advance()
    body = pack([sections[feature] for feature in order])
    with disk_errors("writing the report", path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part")
        temporary.write_text(text.replace(MARK, body), encoding="utf-8", errors="replace")
        temporary.replace(path)
    return path


MARK = "<!-- sections -->"
"""Where the sections go; a comment that no escaped text can contain."""


def stats(store: Store) -> dict[int, dict[str, Any]]:
    """The store's table of statistics, a dictionary a feature."""
    return {row["feature"]: row for row in store.stats_table().to_pylist()}


def _renderer(material: Material, order: Sequence[int]) -> Callable[[int], Section]:
    """Runs in a worker: a function from feature to section."""
    store, templates = Store.open(material.store), environment()
    page = Page({feature: label.name for feature, label in material.labels.items()}, order, frozenset(material.trails))
    judge = judge_named("pattern", store) if material.labels else None  # underlines what a label's rule predicts
    labels, scores = material.labels, material.scores
    shown = frozenset(shown_trails(material, order))
    runs = {run.id: run for run in store.ledger.runs()} if shown else {}
    trails = Trails(store.ledger.path) if shown else None

    def render(feature: int) -> Section:
        trail = None
        if trails is not None and feature in shown:
            trail = read_trail(trails, store.ledger, runs[material.labeling], feature)
        found, reason = labels.get(feature), material.reasons.get(feature)
        return section(templates, store, feature, found, scores.get(feature, ()), judge, page, trail, reason)

    return render


def shown_trails(material: Material, order: Sequence[int]) -> list[int]:
    """Features whose trail is on the page: the first `TRAILS` of those with a section."""
    with_trail = frozenset(material.trails)
    return [feature for feature in order if feature in with_trail][:TRAILS]


def environment() -> Environment:
    """The report's templates; whatever they print is escaped."""
    loader = PackageLoader("dragoman.evals.report", ".")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["shown"] = lambda text: Markup(visible(str(text)))
    return environment


def _failure(feature: int, reason: str) -> Section:
    said = Markup('<article id="f{}"><p>This section could not be made: {}</p></article>').format(feature, reason)
    return Section(str(said), "", "")


def _asset(name: str) -> Markup:
    return Markup((Path(__file__).parent / name).read_text(encoding="utf-8"))


def _head(store: Store, material: Material, table: Mapping[int, dict[str, Any]], order: Sequence[int]) -> dict[str, Any]:
    """Everything of the page but the sections."""
    placed = set(order)
    every = [score for scores in material.scores.values() for score in scores]
    summary = summarise(every) if every else None
    kinds = Counter(table[f]["liveness"] for f in material.features)
    scored = {score.feature for score in every if score.contestant == "label" and score.value is not None}
    agents = sorted({label.agent for label in material.labels.values()})
    shown = [scorer for scorer in TABLE if summary is None or summary.tried(scorer, "label")]
    return {
        "subject": Path(store.subject.name).name,
        "store": material.store.name,
        "dictionaries": ", ".join(d.name for d in store.dictionaries),
        "agent": ", ".join(agents) or "nobody yet",
        "judge": material.judge,
        "run": material.run,
        "rule": any("scores the rule, not the words" in score.flags for score in every),
        "vocabulary": f"{store.subject.vocabulary:,}",
        "tiles": _tiles(kinds, len(material.labels), len(scored), summary),
        "lines": [] if summary is None else summary_rows(summary),
        "meanings": [] if summary is None else [text for scorer, text in MEANINGS.items() if summary.tried(scorer, "label")],
        "unscored": _reasons(every),
        "plots": []
        if summary is None
        else [
            *_plots(summary, every, table, store, material.features),
            *_calibration(material),
            *confidence_plot(material, store),
        ],
        "confidence": confidence_rows(material),
        "spending": spending(material),
        "trails": len(material.trails),
        "trails_left_out": len(material.trails) - len(shown_trails(material, order)),
        "kinds": sorted(kinds),
        "columns": _columns(shown),
        "rows": [_row(store, f, material, table[f], f in placed, shown) for f in material.features],
        "left_out": len(material.features) - len(order) - kinds["dead"],
        "sections": [Markup(MARK)],
        "style": _asset("style.css"),
        "script": _asset("script.js"),
    }


def summary_rows(summary: Summary) -> list[dict[str, Any]]:
    """The medians and differences as rows of cells, one a scorer that has any figure."""
    rows = []
    for scorer, name in SCORERS.items():
        lines = [summary.line(scorer, contestant) for contestant in CONTESTANTS]
        if not any(line.median.n for line in lines):
            continue
        differences = [summary.against(scorer, control) for control in CONTESTANTS[1:]]
        cells = [_interval_cell(line.median) if summary.tried(scorer, line.contestant) else Cell("", "") for line in lines]
        cells += [
            _interval_cell(d.median, "+.3f", f"better on {d.better:.0%}") if summary.tried(scorer, control) else Cell("", "")
            for d, control in zip(differences, CONTESTANTS[1:], strict=True)
        ]
        rows.append({"name": name, "n": lines[0].median.n, "cells": cells})
    return rows


def _interval_cell(interval: Interval, form: str = ".3f", remark: str = "") -> Cell:
    if interval.n == 0:
        return Cell("–", "nothing scored")
    return Cell(plain(interval.value, form), f"{interval.text(form)}{'; ' if remark else ''}{remark}")


def _tiles(kinds: Counter[str], labels: int, scored: int, summary: Summary | None) -> list[dict[str, str]]:
    tiles = [
        {"value": f"{kinds['live']:,}", "name": f"live features, {kinds['rare']:,} rare, {kinds['dead']:,} dead"},
        {"value": f"{labels:,}", "name": "labeled"},
        {"value": f"{scored:,}", "name": "scored on test"},
    ]
    if summary:
        for scorer, name in (
            ("simulation.r", "median simulation correlation"),
            ("detection.balanced_accuracy", "median balanced accuracy"),
        ):
            median = summary.line(scorer, "label").median
            if median.n:
                tiles.append({"value": f"{median.value:.3f}", "name": f"{name} [{median.low:.3f}, {median.high:.3f}]"})
    return tiles


def _reasons(scores: Sequence[Score]) -> list[tuple[str, str]]:
    """Why labels have no headline figure: for simulation and detection, counts by reason, most frequent first."""
    _, reasons = tabulate(scores)
    found = []
    for scorer, name in (("simulation.r", "Simulation"), ("detection.auroc", "Detection")):
        counts = reasons.get((scorer, "label"), Counter())
        if counts:
            found.append((name, ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())))
    return found


def _plots(
    summary: Summary, scores: Sequence[Score], table: Mapping[int, dict[str, Any]], store: Store, features: Sequence[int]
) -> list[Markup]:
    values, _ = tabulate(scores)
    plots = []
    for scorer, title, low in (
        ("simulation.r", "Simulation: correlation of predicted with real activation, per token", -0.2),
        ("detection.auroc", "Detection: AUROC over contexts", 0.0),
        ("detection.balanced_accuracy", "Detection: balanced accuracy over contexts", 0.0),
        ("fuzzing.auroc", "Fuzzing: AUROC of right against wrong highlights", 0.0),
        ("embedding.auroc", "Embedding: AUROC of the similarity of label and context", 0.0),
        ("collision.accuracy", "Collision: share of texts told from those of near features", 0.0),
        ("generation.auroc", "Generation: AUROC of texts written to fire and not to fire", 0.0),
        ("counterfactual.auroc", "Counterfactual: AUROC over originals and small edits", 0.0),
        ("intervention.accuracy", "Intervention: share of steered continuations recognised", 0.0),
    ):
        if not any((scorer, contestant) in values for contestant in CONTESTANTS):
            continue
        groups = [
            Group(
                contestant.replace("_", " "),
                COLOURS[contestant],
                np.array(list(values.get((scorer, contestant), {}).values())),
                summary.line(scorer, contestant).median,
            )
            for contestant in CONTESTANTS
            if summary.tried(scorer, contestant)
        ]
        plots.append(distributions(title, Axis("score on test (no unit); height: number of features", low, 1.0), groups))
    fires = {f: float(table[f]["firing_density"]) for f in features}
    density = {f: float(np.log10(share)) for f, share in fires.items() if share > 0}
    if density:
        across = Axis("train tokens on which the feature fires (log scale)", np.floor(min(density.values())), 0.0, log=True)
        plots.append(histogram("How often features fire", across, np.array(list(density.values()))))
        own = values.get(("simulation.r", "label"), {})
        plots.append(
            scatter(
                "Simulation score of the label against density",
                across,
                Axis("correlation on test", min(0.0, *own.values(), 0.0), 1.0),
                [Dot(density[f], r, f"{store.key(f)}: r = {r:.2f}", f"#f{f}") for f, r in own.items() if f in density],
            )
        )
    for scorer, title in (
        ("simulation.r", "Label against token lookup: simulation"),
        ("detection.auroc", "Label against token lookup: AUROC"),
    ):
        ours, theirs = values.get((scorer, "label"), {}), values.get((scorer, "token_lookup"), {})
        if not ours:
            continue
        low = min(0.0, *ours.values(), *theirs.values(), 0.0)
        dots = [Dot(theirs[f], ours[f], f"{store.key(f)}", f"#f{f}") for f in ours if f in theirs]
        plots.append(
            scatter(title, Axis("token lookup, score on test", low, 1.0), Axis("label, score on test", low, 1.0), dots, True)
        )
    return plots


def _calibration(material: Material) -> list[Markup]:
    """For every kind of question with answers: of what was given probability p, which share came true?"""
    plots = []
    for score in sorted({answer.score for answer in material.answers}):
        known = [a for a in material.answers if a.score == score and a.truth is not None and a.probability is not None]
        if known:
            found = calibration(np.array([a.probability for a in known], float), np.array([a.truth for a in known], bool))
            plots.append(reliability(f"Calibration of the judge: {score}", found))
    return plots


def _columns(shown: Sequence[str]) -> list[tuple[str, bool]]:
    names = [(TABLE[scorer], True) for scorer in shown]
    return [
        ("feature", False),
        ("label", False),
        ("fires, % of tokens", True),
        *names,
        ("r of lookup", True),
        ("r of shuffled", True),
        ("kind", False),
    ]


def _row(
    store: Store, feature: int, material: Material, row: Mapping[str, Any], here: bool, shown: Sequence[str]
) -> dict[str, Any]:
    found = {(score.scorer, score.contestant): score for score in material.scores.get(feature, ())}
    share = 100 * float(row["firing_density"])
    cells = [Cell(f"{share:.3g}", "", f"{share:.6g}")]
    cells += [cell(found.get((scorer, "label"))) for scorer in shown]
    cells += [cell(found.get(("simulation.r", control))) for control in CONTESTANTS[1:]]
    label = material.labels.get(feature)
    return {
        "id": feature,
        "key": str(store.key(feature)),
        "name": label.name if label else "",
        "kind": row["liveness"],
        "here": here,
        "cells": cells,
    }
