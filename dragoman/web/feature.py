"""The page of one feature: everything that the store and the ledger know about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from jinja2 import Environment
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from dragoman.evals.report.build import environment
from dragoman.evals.report.plots import activation_histogram
from dragoman.evals.report.sections import Row, label_notes, score_rows
from dragoman.evals.report.trails import summary, trail_html
from dragoman.store.errors import UserError
from dragoman.store.records import HUMAN, Label, RelatedFeature, Score, Split, Stratum
from dragoman.store.trail import read_trail
from dragoman.store.verdicts import OPINIONS

from .features import FRAGMENT, address_of
from .pages import Missing
from .site import Site, site_of
from .strips import strip

SHOWN: tuple[tuple[Split, Stratum, int, str], ...] = (
    ("train", "top", 6, "Strongest"),
    ("train", "quantile", 5, "Across the quantiles of its activations"),
    ("train", "random_active", 3, "Random texts on which it fires"),
    ("train", "near_miss", 4, "Near misses: its trigger tokens or its neighbours', but silent"),
    ("train", "random_silent", 2, "Random texts on which it is silent"),
    ("test", "top", 4, "Strongest on test"),
)
"""Examples that are shown: split, stratum, how many, heading."""
AROUND = 22
"""Tokens shown on either side of the strongest one."""
TOKENS = 12
"""Tokens of a list that are shown."""
RELATED = 8
"""Related features that are shown."""
ELSEWHERE = 4
"""Imported scores of a label that are shown."""
TRAILS = 3
"""Trails that are offered, those of the newest runs."""
LABELS = 40
"""Labels of a feature that are shown, the newest first."""


class Stratified(NamedTuple):
    """Examples under one heading."""

    title: str
    """Heading."""
    split: Split
    """Where they are from."""
    examples: list[tuple[float, int, Markup]]
    """Peak, number of the context, and the text with its activations."""


class Link(NamedTuple):
    """A related feature."""

    key: str
    """DICT/INDEX."""
    name: str
    """Name of its label, if any."""
    value: float
    """Cosine or Jaccard index."""


class Scored(NamedTuple):
    """What one scoring run says of a label."""

    run: str
    """The run."""
    judge: str
    """Who predicted."""
    rows: list[Row]
    """A row for each scorer, with those of the controls."""
    remarks: list[str]
    """What a reader needs to know."""


class Said(NamedTuple):
    """A label of the feature, as it stands in the list."""

    label: Label
    """The label."""
    notes: list[tuple[str, str]]
    """Further facts."""
    brief: list[tuple[str, str]]
    """A few of its scores, in words."""
    trail: bool
    """Whether there is a trail that leads to it."""


async def page(request: Request) -> Response:
    """The page of a feature."""
    site = site_of(request)
    given = dict(request.query_params)
    return site.pages.page(request, "feature.html.j2", **await site.read(facts, site, request.path_params["key"], given))


def found(site: Site, key: str) -> int:
    """The id of a feature. Raises Missing where there is none."""
    try:
        return site.store.id(key)
    except UserError as error:
        raise Missing(str(error)) from None


def facts(site: Site, key: str, given: Mapping[str, str]) -> dict[str, Any]:
    """What the page of a feature shows; given: which run's label. Raises Missing where there is no such feature."""
    store, number = site.store, found(site, key)
    known = store.feature(number)
    labels, scores = store.ledger.labels(feature=number), store.ledger.scores(feature=number)
    label = shown_label(labels, given.get("run"))
    known_runs = {run.id: run for run in store.ledger.runs()}
    runs = [run for run in site.trails.runs(number) if run in known_runs]
    stats = known.stats
    return {
        "key": str(known.key),
        "number": number,
        "known": known,
        "stats": stats,
        "label": None if label is None else _said(label, scores, runs),
        "scored": [] if label is None else scores_of(label, scores),
        "others": [_said(one, scores, runs) for one in reversed(labels) if label is None or one.id != label.id][:LABELS],
        "why": None if label is not None else _why(site, number, stats.liveness),
        "strata": strata(site, number, stats.max, stats.threshold) if stats.max > 0 else [],
        "histogram": activation_histogram(stats.histogram, stats.max, stats.threshold),
        "chips": [
            ("Strongest on these tokens", "mean activation on train", stats.top_tokens[:TOKENS]),
            ("Promotes", "linear effect on the logit of the next token", known.promoted[:TOKENS]),
            ("Suppresses", "linear effect on the logit of the next token", known.suppressed[:TOKENS]),
        ],
        "related": [
            ("Nearest by decoder direction", "cosine", _links(site, known.neighbours)),
            ("Fires on the same tokens", "Jaccard index on train", _links(site, known.coactive)),
        ],
        "trails": [(run, summary(read_trail(site.trails, store.ledger, known_runs[run], number))) for run in runs[-TRAILS:]],
        "previous": store.key(number - 1) if number else None,
        "next": store.key(number + 1) if number + 1 < store.width else None,
        "addressed": address_of,
        **verdicts(site, number, labels),
    }


def shown_label(labels: Sequence[Label], run: str | None) -> Label | None:
    """The label that a page is about: the newest of a run, or the newest that no person wrote (else a person's newest)."""
    if run:
        return next((label for label in reversed(labels) if label.run == run), None)
    return next((label for label in reversed(labels) if label.agent != HUMAN), labels[-1] if labels else None)


def scores_of(label: Label, scores: Sequence[Score]) -> list[Scored]:
    """What the newest scoring run of each judge says of a label on test, with the controls of the same run; the newest first."""
    found: dict[str, Scored] = {}
    for last in reversed(scores):
        if last.label != label.id or last.contestant != "label" or last.split != "test" or last.judge in found:
            continue
        here = [one for one in scores if one.run == last.run and (one.contestant != "label" or one.label == label.id)]
        remarks = {flag for one in here if one.contestant == "label" for flag in one.flags}
        found[last.judge] = Scored(last.run, last.judge, score_rows(here), sorted(remarks))
    return list(found.values())


def strata(site: Site, number: int, largest: float, threshold: float) -> list[Stratified]:
    """Examples of every stratum, highlighted."""
    site.store.tokens("test")  # kept in memory from the first page on, as those of train are
    shown = []
    for split, stratum, count, title in SHOWN:
        examples = [
            (max(e.values, default=0.0), e.context.id, strip(e.context.strings, e.values, largest, threshold, AROUND))
            for e in site.store.examples(number, split, stratum, count)
        ]
        if examples:
            shown.append(Stratified(title, split, examples))
    return shown


def verdicts(site: Site, number: int, labels: Sequence[Label] | None = None) -> dict[str, Any]:
    """What people said of a feature's labels, for the list of verdicts."""
    every = {label.id: label for label in (site.store.ledger.labels(feature=number) if labels is None else labels)}
    given = site.verdicts.of(number)
    return {
        "verdicts": [(one, every.get(one.label or ""), every.get(one.correction or "")) for one in given],
        "opinions": OPINIONS,
    }


def _said(label: Label, scores: Sequence[Score], runs: Sequence[str]) -> Said:
    rows = [row for scored in scores_of(label, scores)[:1] for row in scored.rows]
    brief = [(row.name, row.cells[0].value) for row in rows if row.scorer in ("simulation.r", "detection.auroc")]
    brief += [
        (f"{one.scorer} as measured elsewhere by {one.judge}", "–" if one.value is None else f"{one.value:.2f}")
        for one in scores
        if one.label == label.id and one.split == "elsewhere"
    ][:ELSEWHERE]
    return Said(label, label_notes(label), brief, label.run in runs)


def _why(site: Site, number: int, liveness: str) -> str:
    """Why a feature has no label."""
    if liveness != "live":
        return f"it is {liveness}"
    reasons = [reason for _, _, reason in site.store.ledger.failures(feature=number)]
    return reasons[-1] if reasons else "none was made yet"


def _links(site: Site, related: Sequence[RelatedFeature]) -> list[Link]:
    shown = related[:RELATED]
    entries = site.catalogue.entries([site.store.id(other.key) for other in shown])
    return [Link(entry.key, entry.name, other.value) for entry, other in zip(entries.values(), shown, strict=True)]


# The trail


async def trail(request: Request) -> Response:
    """What an agent did in a run on the way to its label."""
    site, run = site_of(request), request.path_params["run"]
    values = await site.read(_trail_page, site, run, request.path_params["key"])
    if FRAGMENT in request.headers:
        return HTMLResponse(values["trail"])
    return site.pages.page(request, "feature_trail.html.j2", **values)


def _trail_page(site: Site, run: str, key: str) -> dict[str, Any]:
    number = found(site, key)
    known = {one.id: one for one in site.store.ledger.runs()}
    if run not in known or run not in site.trails.runs(number):
        raise Missing(f"Run {run[:40]} left no trail on {key}: the feature's page says which runs did.")
    stats = site.store.feature(number).stats
    read = read_trail(site.trails, site.store.ledger, known[run], number)
    told = trail_html(_report(), read, site.store, stats.max, opened=True)
    return {"key": str(site.store.key(number)), "run": run, "trail": told, "addressed": address_of}


@cache
def _report() -> Environment:
    return environment()


ROUTES = [Route("/features/{key:path}", page), Route("/trail/{run}/{key:path}", trail)]
