"""`dragoman show --trail`: what an agent did about a feature, from the evidence to the label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType
    from rich.text import Text

    from dragoman.evals.report.telling import Claim, Told
    from dragoman.evals.report.tried import Tried
    from dragoman.store.features import Store
    from dragoman.store.trail import Trail

STATUS = {"supported": "green", "refuted": "red", "inconclusive": "yellow"}
VERDICT = {"held": "green", "failed": "red", "inconclusive": "yellow"}
WIDE = 17
"""Columns of the names at the left."""


def show_trail(store: Store, feature: int, run: str | None, evidence: bool, json: bool) -> None:
    """Print the trail of a feature in a run, by default the latest that left one. Raises UserError where there is none."""
    from dragoman.evals.report.telling import tell
    from dragoman.store.trail import trail_of

    from .output import as_json, console

    trail = trail_of(store.ledger, feature, run)
    if json:
        as_json({"feature": str(store.key(feature)), **{k: v for k, v in trail.plain().items() if k != "feature"}})
        return
    out = console()
    for part in page(store, trail, tell(trail, store), evidence):
        out.print(part)


def page(store: Store, trail: Trail, told: list[Told], evidence: bool) -> Iterator[RenderableType]:
    """The parts of the page, from top to bottom."""
    from rich.text import Text

    from dragoman.evals.report.telling import SCALE, heading, outcome, spent

    largest = store.train_view().stats(trail.feature).max
    yield Text(str(store.key(trail.feature)), style="bold") + Text(f"  {_plain(outcome(trail))}", style="bold cyan")
    yield Text(_plain(heading(trail)), style="dim")
    yield Text(f"in all: {spent(trail.cost) or 'nothing was spent'} · {SCALE}", style="dim")
    for number, step in enumerate(told, 1):
        yield ""
        yield Text(f"{number}. {_plain(step.title)}", style="bold") + Text(f"   {step.cost}" if step.cost else "", style="dim")
        yield from _evidence(store, trail, step, evidence, largest)
        for claim in step.claims:
            yield from _claim(claim)
        for tried in step.tried:
            yield from _tried(tried, largest)
        for name, text in step.facts:
            yield _line(name, Text(_plain(text)))
    if trail.notes:
        yield ""
        yield Text("Notes", style="bold")
        for note in trail.notes:
            yield _line("", Text(_plain(note)))


def _evidence(store: Store, trail: Trail, step: Told, evidence: bool, largest: float) -> Iterator[RenderableType]:
    """Strata with their contexts, and where asked the examples themselves."""
    from rich.text import Text

    from dragoman.evals.report import telling

    from .show import excerpted

    tools = [piece.what for piece in step.seen if not piece.contexts]
    if tools:
        yield _line("tools", Text(_plain(", ".join(tools))))
    for piece in step.seen:
        if not piece.contexts:
            continue
        which = "" if evidence else ": contexts " + " ".join(map(str, piece.contexts))
        yield _line(piece.what, Text(f"{len(piece.contexts)} example{'s' if len(piece.contexts) > 1 else ''}{which}"))
        if evidence:
            for example in telling.evidence(store, trail.feature, piece.contexts, piece.what.replace(" ", "_")):
                yield Text(f"{example.context.id:>{WIDE}} ", style="dim") + excerpted(example, largest, None)


def _claim(claim: Claim) -> Iterator[RenderableType]:
    from rich.text import Text

    head = Text(_plain(claim.name), style="bold") + Text(f"  {claim.status}", style=STATUS.get(claim.status, "dim"))
    head += Text(f"  on validation {_plain(claim.figure)}" if claim.figure else "", style="dim")
    yield _line(claim.called, head + Text(f"  ({_plain(claim.origin)})", style="dim"), "bold")
    yield _line("", Text(_plain(claim.description)))
    for facet in claim.facets:
        yield _line("facet", Text(_plain(facet)))
    if claim.rule:
        yield _line("rule", Text(_plain(claim.rule), style="dim"))


def _tried(tried: Tried, largest: float) -> Iterator[RenderableType]:
    from rich.text import Text

    why = f"  ({_plain(tried.why)})" if tried.why else ""
    yield _line(tried.called, Text(_plain(tried.what)) + Text(why, style="dim"), "bold")
    yield _line("input", Text(_plain(tried.text)))
    if tried.predicted:
        yield _line("predicted", Text(" · ".join(f"{said}: {names}" for said, names in tried.predicted)))
    if tried.tokens:
        yield _line("came out", _strip(tried, largest) + Text(f"   {_plain('; '.join(tried.came))}", style="dim"))
    else:
        for text in tried.came:
            for number, row in enumerate(text.split("\n")):
                yield _line("" if number else "came out", Text(_plain(row)))
    if tried.verdicts:
        said = Text()
        for verdict, names in tried.verdicts:
            said += Text(" · " if said else "") + Text(f"{verdict}: {names}", style=VERDICT[verdict])
        yield _line("verdicts", said)


def _strip(tried: Tried, largest: float) -> Text:
    from .show import highlighted

    return highlighted(tried.tokens, tried.values, largest, tried.threshold, None)


def _line(name: str, text: Text, style: str = "dim") -> RenderableType:
    """A text beside its name, wrapped under itself."""
    from rich.table import Table
    from rich.text import Text as Plain

    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=WIDE, justify="right", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Plain(_plain(name), style=style, overflow="ellipsis"), text)
    return grid


def _plain(text: Any) -> str:
    """Text of a corpus or a model on one line, its control characters as marks."""
    from dragoman.evals.report.highlight import readable

    return readable(str(text))
