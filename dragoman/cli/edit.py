"""`dragoman edit`: a text changed token by token, and what that changes in a feature."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dragoman.store.errors import UserError

from .options import Device, Dictionaries, Feature, Json, Model, Store

if TYPE_CHECKING:
    from dragoman.tools.edits import Edit

Many = list[str] | None


def edit(
    store: Store,
    feature: Feature,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The text; @FILE reads it from a file.", show_default=False)],
    substitute: Annotated[Many, typer.Option(help="3=' dog' or 3:5=' dog': another text.", show_default=False)] = None,
    insert: Annotated[Many, typer.Option(help="3=' dog': a text before token 3.", show_default=False)] = None,
    delete: Annotated[Many, typer.Option(help="3 or 2:4.", show_default=False)] = None,
    swap: Annotated[Many, typer.Option(help="2,5: two tokens.", show_default=False)] = None,
    repeat: Annotated[Many, typer.Option(help="3 or 2:4, or with a number of times 2:4=3.", show_default=False)] = None,
    case: Annotated[Many, typer.Option(help="3=upper: upper, lower, title or swap.", show_default=False)] = None,
    space: Annotated[Many, typer.Option(help="3=newline: add, remove, double or newline.", show_default=False)] = None,
    kind: Annotated[
        Many, typer.Option(help="3 or 2:4: another span of its kind from train; 3=1 for the second.", show_default=False)
    ] = None,
    truncate: Annotated[int | None, typer.Option(help="Cut off everything before this token.", show_default=False)] = None,
    shift: Annotated[int | None, typer.Option(help="Put so many neutral tokens in front.", show_default=False)] = None,
    pairs: Annotated[bool, typer.Option("--pairs", help="Many small edits around the token, and the effect of each.")] = False,
    reach: Annotated[int, typer.Option(help="With --pairs: tokens before it that are edited.", min=0, max=64)] = 8,
    top: Annotated[int, typer.Option(help="With --pairs: edits listed.", min=1, max=300)] = 30,
    position: Annotated[
        int | None, typer.Option(help="Token to look at. [default: where the feature is strongest]", show_default=False, min=0)
    ] = None,
    model: Model = None,
    dictionary: Dictionaries = None,
    device: Device = None,
    json: Json = False,
) -> None:
    """Change a text token by token and show a feature before and after.

    Tokens are numbered from 0 as the text is tokenized (without any edit and without BOS the numbers are listed). Edits are made
    all at once, so they must not overlap.

    [bold]Examples[/bold]

        dragoman edit S 88 "Our sign shows a glass orchard."

        dragoman edit S 88 "Our sign shows a glass orchard." --substitute 4=" stone" --delete 0:2

        dragoman edit S 88 "Our sign shows a glass orchard." --pairs
    """
    from dragoman.tools.edit import compare
    from dragoman.tools.pairs import minimal_pairs
    from dragoman.tools.probe import gauge_of
    from dragoman.tools.workbench import Workbench

    from .experiments import show, texts
    from .output import as_json, console

    given = {
        "substitute": substitute,
        "insert": insert,
        "delete": delete,
        "swap": swap,
        "repeat": repeat,
        "case": case,
        "space": space,
        "kind": kind,
        "truncate": None if truncate is None else [str(truncate)],
        "shift": None if shift is None else [str(shift)],
    }
    edits = [parsed(name, spec) for name, specs in given.items() for spec in specs or ()]
    if pairs and edits:
        raise UserError("--pairs makes its own edits: leave the others out.")
    (read,) = texts([text])
    with Workbench.open(store, model, dictionary or (), device) as bench:
        probe = gauge_of(bench, feature)
        result: Any
        if pairs:
            result = minimal_pairs(probe, read, position, reach=reach, limit=top)
        elif edits:
            result = compare(probe, read, edits, position)
        else:
            _numbered(probe, read, json)
            return
        if json:
            as_json(asdict(result))
            return
        if pairs:
            console().print(str(result), markup=False, soft_wrap=True)
        else:
            show(console(), result)


def parsed(name: str, spec: str) -> Edit:
    """The edit that an option describes. Raises UserError for what cannot be read."""
    from dragoman.tools import edits

    place, equals, value = spec.partition("=")
    first, colon, end = place.strip().partition(":")
    makers: dict[str, Callable[[int, int | None], Edit]] = {
        "substitute": lambda a, b: edits.Substitute(a, value, b),
        "insert": lambda a, b: edits.Insert(a, value),
        "delete": edits.Delete,
        "repeat": lambda a, b: edits.Repeat(a, b, _whole(value, spec) if equals else 2),
        "case": lambda a, b: edits.Case(a, value, b),  # type: ignore[arg-type]
        "space": lambda a, b: edits.Space(a, value),  # type: ignore[arg-type]
        "kind": lambda a, b: edits.OfItsKind(a, b, _whole(value, spec) if equals else 0),
        "truncate": lambda a, b: edits.Truncate(a),
        "shift": lambda a, b: edits.Shift(a),
    }
    if name == "swap":
        both = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*", spec)
        if both is None:
            raise UserError(f"--swap {spec}: write two tokens, as in --swap 2,5.")
        return edits.Swap(int(both[1]), int(both[2]))
    if name in ("substitute", "insert", "case", "space") and not equals:
        raise UserError(f"--{name} {spec}: write the token and what it becomes, as in --{name} 3=…")
    if colon and name in ("insert", "space"):
        raise UserError(f"--{name} {spec}: name one token, as in --{name} 3=…")
    return makers[name](_whole(first, spec), _whole(end, spec) if colon else None)


def _numbered(probe: Any, text: str, json: bool) -> None:
    """The tokens of the text with their numbers and activations."""
    from rich.markup import escape
    from rich.table import Table

    from dragoman.store.display import visible_token

    from .output import as_json, console

    prompt = probe.prompt(text)
    (values,) = probe.values([prompt.ids])
    if json:
        as_json({"feature": probe.key, "strings": prompt.strings, "values": values.tolist(), "threshold": probe.threshold})
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("", "token", probe.key):
        table.add_column(name, justify="left" if name == "token" else "right")
    for at, (token, value) in enumerate(zip(prompt.strings, values, strict=True)):
        style = "bold" if probe.fires(value) else None
        table.add_row(str(at), escape(visible_token(token)), f"{value:.3g}" if value else "", style=style)
    console().print(table)


def _whole(number: str, spec: str) -> int:
    if not re.fullmatch(r"\s*-?\d+\s*", number):
        raise UserError(f"{spec!r}: {number!r} is not the number of a token; write 3, or 2:4 for two tokens.")
    return int(number)
