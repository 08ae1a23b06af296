"""All features of the store in one table, and those that fire on a text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from dragoman.evals.report.build import TABLE
from dragoman.store.catalogue import LIVENESS, Entry, Page, Wish
from dragoman.store.errors import ToolError, UserError
from dragoman.store.verdicts import made_by_people
from dragoman.tools.activate import activate
from dragoman.tools.toolbox import Toolbox

from .forms import number
from .harmless import shortened
from .site import Site, site_of
from .strips import strip

FRAGMENT = "x-fragment"
"""Header of requests that want a part of a page."""
COLUMNS = 4
"""Scores that have a column."""
SIZES = (25, 50, 100, 250)
"""Features on a page."""
MOST = 6_000
"""Characters of a text that is run."""
FOUND = 20
"""Features shown that fire on a text."""
RUN = "web"
"""The run that tools are called for."""
HEADS: Mapping[str, tuple[str, str]] = {
    "feature": ("feature", "asc"),
    "label": ("label", "asc"),
    "token": ("top tokens", "asc"),
    "density": ("fires on", "desc"),
    "max": ("max", "desc"),
    "liveness": ("state", "asc"),
}
"""Head of a column, and how it is sorted at first."""
FIRST = ("feature", "label", "token", "density", "max")
"""Columns before those of scores; the last one is the state."""
WORDS = ("feature", "label", "token", "liveness")
"""Columns of words; all others hold figures."""


class Head(NamedTuple):
    """The head of a column."""

    words: str
    """What it says."""
    address: str
    """Where it leads: the table sorted by it."""
    sorted: str
    """ascending or descending, where the table is sorted by it; else empty."""
    numeric: bool
    """Whether figures stand below it."""


class Firing(NamedTuple):
    """A feature that fires on a text."""

    entry: Entry
    """The feature."""
    share: float
    """Its largest activation on the text, as a share of its train maximum."""
    telling: float
    """That share times the bits of surprise that it fires at all: what the list is sorted by."""
    elsewhere: float
    """Share of train contexts in which it fires."""
    strip: Markup
    """The text with its activations."""


async def table(request: Request) -> Response:
    """The table; a part of the page where the script asks for it."""
    site = site_of(request)
    given = {name: value for name, value in request.query_params.items() if value != ""}
    values = await site.read(_table, site, given)
    if FRAGMENT in request.headers:
        return HTMLResponse(site.pages.html("feature_table.html.j2", **values))
    return site.pages.page(request, "features.html.j2", **values)


def _table(site: Site, given: Mapping[str, str]) -> dict[str, Any]:
    runs = choices(site)
    judge = given.get("judge") or (runs.judges[0] if runs.judges else None)
    wish = wish_of(given, judge)
    found = site.catalogue.page(wish)
    shown = columns(found.scorers, wish.order)
    return {
        "found": found,
        "wish": wish,
        "given": given,
        "heads": [_head(order, given, wish) for order in (*FIRST, *shown, "liveness")],
        "scores": [found.scorers.index(name) for name in shown],
        "runs": runs,
        "judge": judge,
        "sizes": SIZES,
        "dictionaries": [info.name for info in site.store.dictionaries],
        "livenesses": LIVENESS,
        "turned": {name: address(given, page=n) for name, n in _turns(found).items()},
        "first": (found.page - 1) * wish.size + 1,
        "addressed": address_of,
    }


def wish_of(given: Mapping[str, str], judge: str | None) -> Wish:
    """What an address asks for. Raises UserError for what cannot be asked for."""
    order = given.get("sort")
    way = given.get("order", HEADS.get(order or "", ("", "desc"))[1])
    if way not in ("asc", "desc"):
        raise UserError("order is asc or desc.")
    if given.get("labeled") not in (None, "yes", "no"):
        raise UserError("labeled is yes or no.")
    return Wish(
        words=given.get("q", "")[:1000],
        token=given.get("token", "")[:200],
        liveness=given.get("liveness"),  # type: ignore[arg-type]  # the catalogue says what there is
        dictionary=given.get("dictionary"),
        labeled=given.get("labeled"),  # type: ignore[arg-type]
        order=order,
        descending=way == "desc" and order is not None,
        run=given.get("run"),
        judge=judge,
        page=number(given, "page", 1, 1),
        size=number(given, "size", 50, 1, 250),
    )


class Choices(NamedTuple):
    """Whose labels and scores there are."""

    runs: list[tuple[str, str]]
    """Labeling runs, the newest first: id and what they are called."""
    judges: list[str]
    """Judges of scoring runs, that of the newest run first."""


def choices(site: Site) -> Choices:
    """Labeling runs and judges of the ledger."""
    runs, judges = [], []
    for run in reversed(site.store.ledger.runs()):
        config = json.loads(run.config)
        if run.kind == "label":
            who = config.get("explainer") or config.get("agent") or config.get("imported") or "unknown"
            name = config.get("person") or "somebody" if made_by_people(run) else who
            runs.append((run.id, shortened(f"{name}{' (human)' if made_by_people(run) else ''} · {run.id[:8]}", 60)))
        elif run.kind == "score" and isinstance(config.get("judge"), str):
            judges.append(config["judge"])
    return Choices(runs, list(dict.fromkeys(judges)))


def columns(scorers: tuple[str, ...], order: str | None) -> list[str]:
    """Scorers that have a column: the first ones, and the one that the table is sorted by."""
    shown = list(scorers[:COLUMNS])
    return [*shown, order] if order in scorers and order not in shown and order is not None else shown


def address(given: Mapping[str, str], **changed: str | int | None) -> str:
    """Address of the table, with some wishes changed."""
    wishes = {name: value for name, value in {**given, **changed}.items() if value not in (None, "")}
    return "/features" + (f"?{urlencode(wishes)}" if wishes else "")


def address_of(key: object) -> str:
    """Address of a feature's page."""
    return f"/features/{urlencode({'': str(key)}, safe='/')[1:]}"


def _head(order: str, given: Mapping[str, str], wish: Wish) -> Head:
    words, first = HEADS.get(order, (TABLE.get(order, order), "desc"))
    now = wish.order == order
    way = ("asc" if wish.descending else "desc") if now else first
    state = ("descending" if wish.descending else "ascending") if now else ""
    return Head(words, address(given, sort=order, order=way, page=None), state, order not in WORDS)


def _turns(found: Page) -> dict[str, int]:
    """Pages that one can turn to."""
    turns: dict[str, int] = {}
    if found.page > 1:
        turns |= {"first": 1, "previous": found.page - 1}
    if found.page < found.pages:
        turns |= {"next": found.page + 1, "last": found.pages}
    return turns


async def firing(request: Request) -> Response:
    """Features that fire on a text."""
    site = site_of(request)
    text = request.query_params.get("text", "")
    trouble = ""
    found: list[Firing] = []
    tokens = total = 0
    if text.strip():
        try:
            found, total, tokens = await site.work(fire, site, text)
        except (UserError, ToolError) as error:
            trouble = str(error)
    values: dict[str, Any] = {
        "text": text[:MOST],
        "found": found,
        "total": total,
        "tokens": tokens,
        "trouble": trouble,
        "addressed": address_of,
    }
    if FRAGMENT in request.headers:
        return HTMLResponse(site.pages.html("firing_list.html.j2", **values))
    return site.pages.page(request, "firing.html.j2", status=400 if trouble else 200, **values)


def fire(site: Site, text: str) -> tuple[list[Firing], int, int]:
    """The features that fire on a text, the most telling first, how many there are, and the text's tokens.

    Raises UserError or ToolError for a text that is too long or empty.
    """
    if len(text) > MOST:
        raise UserError(f"The text has {len(text):,} characters, and {MOST:,} can be run at once: send a shorter one.")
    told = toolbox(site).call("find_features", {"text": text, "n": FOUND}).data
    (read,) = activate(site.bench, [text])
    rows = {site.store.id(row["feature"]): row for row in told["features"]}
    entries = site.catalogue.entries(list(rows))
    found = []
    for feature, row in rows.items():
        one = read.strip(feature)
        shown = strip(one.strings, one.values, one.scale, one.threshold)
        found.append(Firing(entries[feature], row["share"], row["telling"], row["contexts"] / told["contexts"], shown))
    return found, told["firing"], len(told["tokens"])


def toolbox(site: Site, feature: int | None = None) -> Toolbox:
    """The tools for a person; use it inside `Site.work`."""
    return Toolbox(site.desk, RUN, feature, other_runs=True)


ROUTES = [Route("/features", table), Route("/firing", firing)]
MENU = [("Features", "/features")]
