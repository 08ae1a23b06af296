"""`dragoman activate`: features on any text."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .features import HELP
from .options import Device, Dictionaries, Json, Model, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.table import Table

    from dragoman.tools.activate import Contrast, Strip, TextActivations
    from dragoman.tools.workbench import Workbench

ATTRIBUTIONS = ("occlusion", "gradient", "integrated")


def activate(
    store: Store,
    text: Annotated[
        list[str], typer.Argument(metavar="TEXT…", help="One text or more; @FILE reads it from a file.", show_default=False)
    ],
    features: Annotated[
        str | None, typer.Option(help=f"{HELP} [default: those that fire most strongly]", show_default=False)
    ] = None,
    top: Annotated[int, typer.Option(help="At most so many features.", min=1, max=1000)] = 10,
    against: Annotated[
        list[str] | None,
        typer.Option(help="Show the features that fire on the texts but not on this one; may be repeated.", show_default=False),
    ] = None,
    feature: Annotated[
        str | None, typer.Option(help="The feature for --minimal and --attribute: DICT/INDEX.", show_default=False)
    ] = None,
    minimal: Annotated[
        bool, typer.Option("--minimal", help="The shortest suffix and the smallest sets of tokens that still fire --feature.")
    ] = False,
    attribute: Annotated[
        str | None,
        typer.Option(
            help="Which tokens --feature rests on: by occlusion, gradient (times embedding) or integrated gradients.",
            show_default=False,
        ),
    ] = None,
    position: Annotated[
        int | None, typer.Option(help="Token to look at. [default: where --feature is strongest]", show_default=False, min=0)
    ] = None,
    model: Model = None,
    dictionary: Dictionaries = None,
    device: Device = None,
    json: Json = False,
) -> None:
    """Run texts through the model and show which features are active on which tokens.

    A text longer than the store's windows is cut as a harvest cuts it. Colours show the activation as a share of the largest on
    train; a feature fires above 0.2 of it.

    [bold]Examples[/bold]

        dragoman activate S "Our sign shows a glass orchard."

        dragoman activate S "a glass orchard." --against "a glass meadow."

        dragoman activate S @notice.txt --feature sae/88 --minimal --attribute occlusion
    """
    from dragoman.store.errors import UserError
    from dragoman.tools.workbench import Workbench

    from .experiments import texts
    from .output import as_json, console

    if (minimal or attribute) and feature is None:
        raise UserError("--minimal and --attribute are about one feature: name it with --feature DICT/INDEX.")
    if attribute not in (None, *ATTRIBUTIONS):
        raise UserError(f"There is no attribution {attribute!r}: write {', '.join(ATTRIBUTIONS)}.")
    given, other = texts(text), texts(against or [])
    with Workbench.open(store, model, dictionary or (), device) as bench:
        if feature is not None:
            _experiments(bench, given, feature, minimal, attribute, position, json)
            return
        from dragoman.tools.activate import activate as run
        from dragoman.tools.activate import contrast_of

        found = run(bench, [*given, *other])
        if other:
            difference = contrast_of(bench, found[: len(given)], found[len(given) :], top)
            if json:
                as_json(asdict(difference))
                return
            out = console()
            out.print(contrast_table(bench, difference))
            out.print(
                f"\n{len(difference.rows)} of {difference.features} features that fire on a larger share of the texts than of "
                "those against; by difference of shares, then of mean peaks.",
                soft_wrap=True,
            )
            return
        _strips(bench, found, features, top, json)


def _strips(bench: Workbench, found: Sequence[TextActivations], features: str | None, top: int, json: bool) -> None:
    from .experiments import names, show
    from .features import select
    from .output import as_json, console

    chosen = None if features is None else (select(bench.store, features) or list(range(bench.store.width)))[:top]
    strips = [text.firing(top) if chosen is None else [text.strip(f) for f in chosen] for text in found]
    if json:
        as_json({"texts": [_record(text, of) for text, of in zip(found, strips, strict=True)]})
        return
    out, labels = console(), names(bench.store)
    for text, of in zip(found, strips, strict=True):
        if not of:
            out.print(f"Nothing fires on {text.prompt.text!r}.", markup=False)
        for strip in of:
            if strip.feature in labels:
                out.print(labels[strip.feature], style="bold cyan", markup=False)
            show(out, strip)


def _experiments(
    bench: Workbench, given: Sequence[str], feature: str, minimal: bool, attribute: str | None, position: int | None, json: bool
) -> None:
    from dragoman.tools.activate import activate as run
    from dragoman.tools.attribution import Attribution, gradient, integrated_gradients, occlude
    from dragoman.tools.minimal import minimal_set, minimal_suffix
    from dragoman.tools.probe import gauge_of

    from .experiments import show
    from .output import as_json, console

    probe, results = gauge_of(bench, feature), []
    for text in given:
        prompt = probe.prompt(text)
        of: dict[str, Any] = {"activation": run(bench, [prompt], [probe.key.rpartition("/")[0]])[0].strip(probe.key)}
        if minimal:
            of["suffix"] = minimal_suffix(probe, prompt, position)
            of["set, others deleted"] = minimal_set(probe, prompt, position)
            of["set, others neutral"] = minimal_set(probe, prompt, position, "neutral")
        if attribute:
            methods: dict[str, Callable[..., Attribution]] = {
                "occlusion": occlude,
                "gradient": gradient,
                "integrated": integrated_gradients,
            }
            of[attribute] = methods[attribute](probe, prompt, position)
        results.append(of)
    if json:
        as_json({"texts": [{name: asdict(result) for name, result in of.items()} for of in results]})
        return
    for of in results:
        for result in of.values():
            show(console(), result)


def contrast_table(bench: Workbench, found: Contrast) -> Table:
    """The features that fire on A and not on B, a line each."""
    from rich.markup import escape
    from rich.table import Table

    from .experiments import names

    labels = names(bench.store)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("feature", no_wrap=True)
    for name in ("fires on", "against", "peak", "against", "in train maxima"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("label" if labels else "")
    for row in found.rows:
        table.add_row(
            row.feature,
            f"{row.fires_a:.0%}",
            f"{row.fires_b:.0%}",
            f"{row.peak_a:.3g}",
            f"{row.peak_b:.3g}",
            f"{row.strength:+.2f}",
            escape(labels.get(row.feature, "")),
        )
    return table


def _record(text: TextActivations, strips: Sequence[Strip]) -> dict[str, Any]:
    prompt = text.prompt
    return {
        "text": prompt.text,
        "ids": prompt.ids,
        "strings": prompt.strings,
        "offsets": prompt.offsets,
        "features": [
            {"feature": s.feature, "peak": s.peak, "threshold": s.threshold, "maximum": s.maximum, "values": s.values}
            for s in strips
        ],
    }
