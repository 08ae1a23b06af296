"""The page section of one feature: everything the store and the ledger know about it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from jinja2 import Environment
from markupsafe import Markup
from numpy.typing import NDArray

from dragoman.evals.judge import CannotJudge, Judge
from dragoman.evals.scorers.sample import Rows
from dragoman.evals.statistics import Interval, plain
from dragoman.evals.summary import CONTESTANTS, SCORERS
from dragoman.store.features import Store
from dragoman.store.records import Example, Feature, Label, RelatedFeature, Score, Split, Stratum, TokenValue
from dragoman.store.trail import Trail

from .highlight import highlight, visible
from .plots import activation_histogram
from .trails import trail_html

SHOWN: tuple[tuple[Split, Stratum, int, str], ...] = (
    ("train", "top", 4, "Strongest on train"),
    ("train", "quantile", 3, "Across the quantiles of its activations on train"),
    ("train", "random_active", 1, "Random active on train"),
    ("train", "near_miss", 2, "Near misses on train: its trigger tokens, but silent"),
    ("test", "top", 3, "Strongest on test, which the explainer never saw"),
)
"""What a section shows: split, stratum, number of examples, heading."""


FACET = re.compile(r"detection_facet_(\d+)\.auroc")
"""Scores of a single facet; there are as many as the label has facets."""


class Cell(NamedTuple):
    """A figure in a table."""

    value: str
    """The figure, or a dash."""
    interval: str
    """Its interval, or why there is no figure."""
    number: str = ""
    """The figure for sorting; empty when there is none."""


class Row(NamedTuple):
    """A scorer's line in a table."""

    scorer: str
    """Name of the scorer."""
    name: str
    """The same in plain words."""
    n: int
    """Contexts behind the label's figure."""
    cells: list[Cell]
    """A cell for each contestant."""


class Strip(NamedTuple):
    """Examples under one heading."""

    title: str
    """Heading."""
    examples: list[Markup]
    """Highlighted excerpts."""


class Link(NamedTuple):
    """A related feature."""

    id: int
    """Global id."""
    key: str
    """DICT/INDEX."""
    name: str
    """Name of its label, if any."""
    value: str
    """Cosine or Jaccard index."""
    here: bool
    """Whether it has a section on the page."""


@dataclass(frozen=True)
class Page:
    """What all sections of a report share."""

    names: Mapping[int, str]
    """Names of the labels, by feature."""
    order: Sequence[int]
    """Features with a section, in the order of the page."""
    trails: Collection[int] = ()
    """Features on which an agent left a trail."""

    @cached_property
    def places(self) -> dict[int, int]:
        """Where each of them stands in that order."""
        return {feature: place for place, feature in enumerate(self.order)}


class Section(NamedTuple):
    """A feature's section, cut where its details begin and end."""

    head: str
    """Name, description and pattern: always on the page."""
    details: str
    """Everything else: packed."""
    tail: str
    """What closes the section."""


DETAILS = "<!-- details -->"
"""Stands at both ends of a section's details; a comment that no escaped text can contain."""


def section(
    environment: Environment,
    store: Store,
    feature: int,
    label: Label | None,
    scores: Sequence[Score],
    judge: Judge | None,
    page: Page,
    trail: Trail | None = None,
    reason: str | None = None,
) -> Section:
    """Render the section of one feature."""
    known = store.feature(feature)
    place = page.places[feature]
    before, after = page.order[max(0, place - 1) : place], page.order[place + 1 : place + 2]
    stats = known.stats
    text = environment.get_template("feature.html.j2").render(
        feature=known,
        stats=stats,
        label=label,
        why=f"it is {stats.liveness}" if stats.liveness != "live" else reason or "none was recorded",
        notes=[] if label is None else label_notes(label),
        strata=[] if stats.max <= 0 else _strata(store, known, label, judge),
        scores=score_rows(scores),
        remarks=sorted({flag for score in scores if score.contestant == "label" for flag in score.flags}),
        histogram=activation_histogram(stats.histogram, stats.max, stats.threshold),
        chips=[
            ("Tokens of largest mean activation", _chips(stats.top_tokens)),
            ("Promoted next tokens (linear logit effect)", _chips(known.promoted)),
            ("Suppressed next tokens", _chips(known.suppressed)),
        ],
        related=[
            ("Nearest by decoder cosine", _links(store, known.neighbours, page)),
            ("Fires on the same tokens (Jaccard)", _links(store, known.coactive, page)),
        ],
        trail=None if trail is None else trail_html(environment, trail, store, stats.max),
        elsewhere=trail is None and feature in page.trails,
        previous=before[0] if before else None,
        next=after[0] if after else None,
        mark=DETAILS,
    )
    head, details, tail = text.split(DETAILS)
    return Section(head, details, tail)


def score_rows(scores: Iterable[Score]) -> list[Row]:
    """A row for each scorer that has at least one score or reason."""
    found = {(score.scorer, score.contestant): score for score in scores}
    rows = []
    for scorer, name in SCORERS.items():
        own = [found.get((scorer, contestant)) for contestant in CONTESTANTS]
        if any(own):
            rows.append(Row(scorer, name, own[0].n if own[0] else 0, [cell(score) for score in own]))
    for (scorer, _), score in found.items():
        number = FACET.fullmatch(scorer)
        if number:
            rows.append(Row(scorer, f"detection by facet {number[1]} alone, AUROC", score.n, [cell(score), *[cell(None)] * 2]))
    return rows


def cell(score: Score | None) -> Cell:
    """A score as a table cell."""
    if score is None:
        return Cell("–", "")
    if score.value is None:
        return Cell("–", score.unscored or "")
    bounds = score.low is not None and score.high is not None
    interval = Interval(score.value, score.low or 0.0, score.high or 0.0, score.n).text(".2f") if bounds else ""
    return Cell(plain(score.value, ".2f"), interval, f"{score.value:.6f}")


def predictions(
    store: Store, split: Split, examples: Sequence[Example], label: Label | None, judge: Judge | None
) -> list[list[float]] | None:
    """What the label predicts at every token of the examples, as shares of the train maximum; None where it predicts nothing."""
    if label is None or judge is None or not examples:
        return None
    tokens = store.tokens(split)
    rows: Rows = np.searchsorted(tokens.context_ids, [example.context.id for example in examples]).astype(np.int64)
    try:
        flat: Float[NDArray[np.float32], " tokens"] = judge.simulate(label, tokens, rows)
    except CannotJudge:
        return None
    ends = np.cumsum([len(example.values) for example in examples])[:-1]
    return [part.tolist() for part in np.split(flat, ends)]


def _strata(store: Store, feature: Feature, label: Label | None, judge: Judge | None) -> list[Strip]:
    shown = []
    for split, stratum, number, title in SHOWN:
        examples = store.examples(feature.id, split, stratum, number)
        guesses = predictions(store, split, examples, label, judge)
        stats = feature.stats
        excerpts = [
            highlight(e.context.strings, e.values, stats.max, stats.threshold, None if guesses is None else guesses[at])
            for at, e in enumerate(examples)
        ]
        if excerpts:
            shown.append(Strip(title, excerpts))
    return shown


def label_notes(label: Label) -> list[tuple[str, str]]:
    """The scalars among a label's notes, figures rounded."""
    flat: list[tuple[str, str]] = []
    known = json.loads(label.notes)
    if "precision" in known and known["precision"] is None:
        flat.append(("the rule's strengths stay below the firing threshold", ""))
    for name, value in known.items():
        pairs = value.items() if isinstance(value, dict) else [("", value)]
        for inner, figure in pairs:
            if isinstance(figure, (int, float, str)) and not isinstance(figure, bool):
                text = f"{figure:.3g}" if isinstance(figure, float) else str(figure)
                flat.append((f"{name} {inner}".strip().replace("_", " "), text))
    return flat


def _chips(tokens: Sequence[TokenValue]) -> list[tuple[Markup, str]]:
    return [(Markup(visible(token.token)), f"{token.value:.3g}") for token in tokens[:10]]


def _links(store: Store, related: Sequence[RelatedFeature], page: Page) -> list[Link]:
    ids = [store.id(other.key) for other in related[:8]]
    return [
        Link(i, str(other.key), page.names.get(i, ""), f"{other.value:.2f}", i in page.places)
        for i, other in zip(ids, related, strict=False)
    ]
