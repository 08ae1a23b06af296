"""All features in one table: searched, filtered, sorted, and read a page at a time.

Figures come from the sealed database once; labels, scores and verdicts are read from the ledger as they are written, from where
the last reading ended. All of it is in memory, about 40 bytes a feature and what its label says (`LONGEST` characters at most),
so that a page takes milliseconds whatever the number of activations.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, UInt8

from .errors import UserError
from .ledger import Ledger
from .reading import Database, StaticReader
from .records import HUMAN, Liveness, TokenValue
from .verdicts import Opinion, Verdicts

LONGEST = 600
"""Characters of a label that are searched."""
MOST_WORDS = 12
"""Words of a search that count."""
VIEWS = 3
"""Choices of run and judge that are kept at hand."""
CHUNK = 50_000
"""Rows of the ledger that are read at a time."""
TOKENS = 5
"""Top tokens of a feature that a page shows."""
ORDERS = ("feature", "label", "density", "max", "token", "liveness")
"""What a table can be sorted by, besides the scorers."""
LIVENESS: tuple[Liveness, ...] = get_args(Liveness)
Labeled = Literal["yes", "no"]


@dataclass(frozen=True)
class Wish:
    """Which features, and in which order."""

    words: str = ""
    """Words that the label has to hold, each at the beginning of a word; or the address of a feature."""
    token: str = ""
    """What the top token has to hold, without case."""
    liveness: Liveness | None = None
    """Only these."""
    dictionary: str | None = None
    """Only those of this dictionary."""
    labeled: Labeled | None = None
    """Only those with, or without, a label."""
    order: str | None = None
    """One of `ORDERS`, or a scorer; by default the best matches first where words are given, else by feature."""
    descending: bool = False
    """Largest first; features without a figure come last either way."""
    run: str | None = None
    """Labels of this run; by default each feature's newest, those of people only where there is no other."""
    judge: str | None = None
    """Scores by this judge; by default by any."""
    page: int = 1
    """Which page, from 1."""
    size: int = 50
    """Features on a page."""


class Entry(NamedTuple):
    """A feature in the table."""

    feature: int
    """Global id."""
    key: str
    """DICT/INDEX."""
    liveness: Liveness
    """live, rare or dead."""
    dense: bool
    """Fires in more than half of all contexts."""
    density: float
    """Share of train tokens on which it fires."""
    max: float
    """Train maximum."""
    tokens: tuple[TokenValue, ...]
    """Its top tokens on train."""
    label: str | None
    """Id of the label that is shown."""
    name: str
    """Its name; empty where there is none."""
    agent: str
    """Who made it."""
    scores: tuple[float | None, ...]
    """Its scores on test, in the order of the page's scorers."""
    verdict: Opinion | None
    """What a person said of it last."""


class Page(NamedTuple):
    """A part of the table."""

    rows: tuple[Entry, ...]
    """The features."""
    total: int
    """How many fit the wish."""
    page: int
    """Which page this is; the last one where the wish asked for one that is not there."""
    pages: int
    """How many there are."""
    scorers: tuple[str, ...]
    """Scorers that any shown label has a figure of."""


class Figures(NamedTuple):
    """What the sealed database says of every feature."""

    dictionary: UInt8[np.ndarray, " width"]
    """Number of its dictionary."""
    liveness: UInt8[np.ndarray, " width"]
    """Its place in `LIVENESS`."""
    dense: Bool[np.ndarray, " width"]
    """Whether it is dense."""
    density: Float32[np.ndarray, " width"]
    """Share of train tokens on which it fires."""
    maximum: Float32[np.ndarray, " width"]
    """Train maximum."""
    token: Int32[np.ndarray, " width"]
    """The token it is strongest on; -1 where there is none."""


class Catalogue:
    """The table of a store's features; safe to use from several threads."""

    def __init__(
        self, database: Database, static: StaticReader, ledger: Ledger, verdicts: Verdicts, scorers: Sequence[str]
    ) -> None:
        """scorers: the scores that are shown, where there are any, in their order."""
        self._database, self._static, self._ledger, self._verdicts = database, static, ledger, verdicts
        self._scorers = tuple(scorers)
        self._lock = threading.RLock()
        self._views: dict[tuple[str | None, str | None], _View] = {}
        self._opinions: dict[str, Opinion] = {}
        self._opinions_read = 0

    @cached_property
    def figures(self) -> Figures:
        """What the sealed database says of every feature."""
        with self._lock:
            read = self._database.columns(
                "SELECT dictionary, list_position(['live', 'rare', 'dead'], liveness) - 1 AS liveness, dense, "
                "firing_density, max FROM feature ORDER BY feature"
            )
            first = self._database.columns("SELECT feature, token FROM top_token WHERE rank = 0")
            token = np.full(len(read["max"]), -1, np.int32)
            token[first["feature"]] = first["token"]
            return Figures(
                read["dictionary"].astype(np.uint8),
                read["liveness"].astype(np.uint8),
                read["dense"].astype(bool),
                read["firing_density"].astype(np.float32),
                read["max"].astype(np.float32),
                token,
            )

    def page(self, wish: Wish) -> Page:
        """The features that fit a wish, one page of them. Raises UserError for what cannot be wished for."""
        with self._lock:
            view = self._view(wish.run, wish.judge)
            self._read_verdicts()
            chosen, hits = self._chosen(wish, view)
            shown = tuple(name for name in self._scorers if name in view.scores)
            ordered = chosen[self._order(wish, view, chosen, hits)]
            size = min(max(1, wish.size), 500)
            pages = max(1, -(-len(ordered) // size))
            page = min(max(1, wish.page), pages)
            here = ordered[(page - 1) * size : page * size].tolist()
            tokens = self._tokens(here)
            rows = tuple(self._entry(feature, view, shown, tokens.get(feature, ())) for feature in here)
            return Page(rows, len(ordered), page, pages, shown)

    def entries(self, features: Sequence[int], run: str | None = None) -> dict[int, Entry]:
        """Some features by their ids, with the labels of a run; the scores are those of any judge."""
        with self._lock:
            known = [judge for of, judge in self._views if of == run]
            view = self._view(run, known[-1] if known else None)  # whose scores is all the same, so none is read anew
            self._read_verdicts()
            shown = tuple(name for name in self._scorers if name in view.scores)
            tokens = self._tokens(list(features))
            return {feature: self._entry(feature, view, shown, tokens.get(feature, ())) for feature in features}

    # What fits

    def _chosen(self, wish: Wish, view: _View) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"] | None]:
        """The features that fit, ascending, and how well each does where words were searched."""
        figures = self.figures
        fits = np.ones(self._static.width, bool)
        if wish.liveness is not None:
            if wish.liveness not in LIVENESS:
                raise UserError(f"Features are {', '.join(LIVENESS)}: choose one of these.")
            fits &= figures.liveness == LIVENESS.index(wish.liveness)
        if wish.dictionary is not None:
            key = self._static.key(self._static.id(f"{wish.dictionary}/0"))
            names = [info.name for info in self._static.dictionaries]
            fits &= figures.dictionary == names.index(key.dictionary)
        if wish.token:
            fits &= np.append(self._holding(wish.token), False)[figures.token]
        if wish.labeled is not None:
            labeled = np.fromiter((label is not None for label in view.label), bool, len(view.label))
            fits &= labeled if wish.labeled == "yes" else ~labeled
        rows = np.flatnonzero(fits)
        if not wish.words.strip():
            return rows, None
        found, named = view.search(wish.words, rows)
        meant = self._meant(wish.words)
        if meant is not None and fits[meant]:
            others = found != meant
            found, named = np.append(found[others], meant), np.append(named[others], MOST_WORDS + 1)
            order = np.argsort(found)
            found, named = found[order], named[order]
        return found, named

    def _holding(self, text: str) -> Bool[np.ndarray, " vocabulary"]:
        """Tokens of the vocabulary that hold a text, without case."""
        wanted = text.lower()
        return np.fromiter((wanted in token.lower() for token in self._static.vocabulary), bool, len(self._static.vocabulary))

    @cached_property
    def _token_ranks(self) -> Int64[np.ndarray, " vocabulary"]:
        return _ranks([token.strip() for token in self._static.vocabulary])

    def _meant(self, words: str) -> int | None:
        """The feature whose address was typed into the search; None where it is none."""
        try:
            return self._static.id(words)
        except UserError:
            return None

    # In which order

    def _order(
        self, wish: Wish, view: _View, chosen: Int64[np.ndarray, " n"], hits: Int64[np.ndarray, " n"] | None
    ) -> Int64[np.ndarray, " n"]:
        """Places of the chosen features in the order that is wished for; equals by id."""
        if wish.order is None and hits is not None:
            return np.argsort(-hits, kind="stable")
        order = wish.order or "feature"
        figures = self.figures
        if order == "feature":
            places = np.arange(len(chosen))
            return places[::-1] if wish.descending else places
        if order == "label":
            return _last(view.ranks()[chosen], wish.descending)
        if order == "token":
            return _last(np.append(self._token_ranks, -1)[figures.token[chosen]], wish.descending)
        if order in ("density", "max", "liveness"):
            column = {"density": figures.density, "max": figures.maximum, "liveness": figures.liveness}[order][chosen]
            return np.argsort(-column.astype(np.float64) if wish.descending else column, kind="stable")
        if order not in self._scorers:
            raise UserError(f"A table is sorted by {', '.join((*ORDERS, *self._scorers))}: choose one of these.")
        values = view.scores.get(order, np.full(self._static.width, np.nan, np.float32))[chosen].astype(np.float64)
        return np.argsort(-values if wish.descending else values, kind="stable")  # what is not a number comes last

    # Rows

    def _entry(self, feature: int, view: _View, shown: Sequence[str], tokens: tuple[TokenValue, ...]) -> Entry:
        figures, label = self.figures, view.label[feature]
        scores = tuple(float(view.scores[name][feature]) for name in shown)
        return Entry(
            feature=feature,
            key=str(self._static.key(feature)),
            liveness=LIVENESS[int(figures.liveness[feature])],
            dense=bool(figures.dense[feature]),
            density=float(figures.density[feature]),
            max=float(figures.maximum[feature]),
            tokens=tokens,
            label=label,
            name=view.name[feature],
            agent=view.agent[feature],
            scores=tuple(None if value != value else value for value in scores),
            verdict=None if label is None else self._opinions.get(label),
        )

    def _tokens(self, features: list[int]) -> dict[int, tuple[TokenValue, ...]]:
        """Top tokens of some features."""
        wanted = ", ".join(map(str, features)) or "NULL"
        found: dict[int, list[TokenValue]] = {}
        for feature, token, value in self._database.rows(
            f"SELECT feature, token, mean_value FROM top_token WHERE feature IN ({wanted}) AND rank < {TOKENS} "
            "ORDER BY feature, rank"
        ):
            found.setdefault(feature, []).append(TokenValue(self._static.vocabulary[token], value))
        return {feature: tuple(tokens) for feature, tokens in found.items()}

    # What the ledger says

    def _view(self, run: str | None, judge: str | None) -> _View:
        view = self._views.pop((run, judge), None) or _View(self._static.width, run, judge, self._scorers)
        self._views[run, judge] = view
        while len(self._views) > VIEWS:
            del self._views[next(iter(self._views))]
        view.refresh(self._ledger)
        return view

    def _read_verdicts(self) -> None:
        found, self._opinions_read = self._verdicts.since(self._opinions_read)
        self._opinions.update(found)


class _View:
    """The labels of one choice of run, with their scores by one choice of judge."""

    def __init__(self, width: int, run: str | None, judge: str | None, scorers: Sequence[str]) -> None:
        self._run, self._judge, self._wanted = run, judge, frozenset(scorers)
        self.label: list[str | None] = [None] * width
        self.name, self.agent, self._text, self._title = [""] * width, [""] * width, [""] * width, [""] * width
        self._ranks: Int64[np.ndarray, " width"] | None = None
        self.scores: dict[str, Float32[np.ndarray, " width"]] = {}
        self._labels_read = self._scores_read = 0

    def refresh(self, ledger: Ledger) -> None:
        """Read what was written since. Scores are read up to where they stood before the labels were read: a score is always
        written after its label.
        """
        until = ledger.last("score")
        while rows := ledger.labels_since(self._labels_read, self._run, CHUNK):
            for row in rows:
                self._take(*row[1:])
            self._labels_read = rows[-1][0]
        while figures := ledger.scores_since(self._scores_read, until, self._judge, CHUNK):
            for _, label, feature, scorer, value in figures:
                if scorer in self._wanted and self.label[feature] == label and value is not None:
                    if scorer not in self.scores:
                        self.scores[scorer] = np.full(len(self.label), np.nan, np.float32)
                    self.scores[scorer][feature] = value
            self._scores_read = figures[-1][0]
        self._scores_read = max(self._scores_read, until)

    def search(self, words: str, among: Int64[np.ndarray, " n"]) -> tuple[Int64[np.ndarray, " hits"], Int64[np.ndarray, " hits"]]:
        """Features whose label holds all words, each at the beginning of a word; with how many of them are in the name."""
        wanted = [f" {word}" for word in _words(words)[:MOST_WORDS]]
        found = among.tolist() if wanted else []
        text, titles = self._text, self._title
        for word in wanted:
            found = [feature for feature in found if word in text[feature]]
        named = np.zeros(len(found), np.int64)
        for word in wanted:
            named += np.fromiter((word in titles[feature] for feature in found), np.int64, len(found))
        return np.array(found, np.int64), named

    def ranks(self) -> Int64[np.ndarray, " width"]:
        """Place of each feature's name in the order of names; -1 where it has no label."""
        if self._ranks is None:
            labeled = np.fromiter((label is not None for label in self.label), bool, len(self.label))
            self._ranks = np.where(labeled, _ranks(self.name), -1)
        return self._ranks

    def _take(self, id: str, feature: int, agent: str, name: str, description: str, facets: str) -> None:
        """A label, unless it is a person's and the feature has another."""
        if self._run is None and agent == HUMAN and self.label[feature] is not None and self.agent[feature] != HUMAN:
            return
        self.label[feature], self.name[feature], self.agent[feature] = id, name[:LONGEST], agent
        self._title[feature] = " " + " ".join(_words(name[:LONGEST]))
        self._text[feature] = " " + " ".join(_words(f"{name} {description} {facets}"[:LONGEST]))
        self._ranks = None
        for values in self.scores.values():
            values[feature] = np.nan


def _ranks(texts: Sequence[str]) -> Int64[np.ndarray, " n"]:
    """Place of each text in the order of all, without case; equal texts have one place."""
    folded = [text.casefold() for text in texts]
    place = {text: rank for rank, text in enumerate(sorted(set(folded)))}
    return np.fromiter((place[text] for text in folded), np.int64, len(folded))


def _last(ranks: Int64[np.ndarray, " n"], descending: bool) -> Int64[np.ndarray, " n"]:
    """Places of ranks in their order, those below zero at the end."""
    order = np.argsort(-ranks if descending else ranks, kind="stable")
    return np.concatenate([order[ranks[order] >= 0], order[ranks[order] < 0]])


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
