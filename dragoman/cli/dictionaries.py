"""`dragoman dictionaries`: what dictionary files hold, and how well they fit a model."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Device, Json

if TYPE_CHECKING:
    from dragoman.tools.inspect_dictionaries import Inspected


def dictionaries(
    specs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SPEC]...",
            help="Folder, file or hub id (REPO//SUBFOLDER); FOLDER@HOOK, of a transcoder FOLDER@IN:OUT, where the files do not "
            "say the hook point.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="Check them against this model: a folder or a hub id.", show_default=False)] = "",
    text: Annotated[
        str, typer.Option(help="Measure the variance they leave unexplained on this text; needs --model.", show_default=False)
    ] = "",
    device: Device = None,
    json: Json = False,
) -> None:
    """Say what dictionaries are: format, architecture, hook points, size, normalisation, and how well they fit a model.

    The format is recognised from the files. Without SPEC, all formats are listed. A dictionary that leaves more than 0.7 of the
    variance unexplained was most likely made for another model, hook point or normalisation.

    [bold]Examples[/bold]

        dragoman dictionaries

        dragoman dictionaries ./my-sae google/gemma-scope-2b-pt-res//layer_12/width_16k/average_l0_82

        dragoman dictionaries ./my-sae --model ./babyllama --text stories.json
    """
    from dragoman.store.errors import UserError

    if not specs:
        if model or text:
            raise UserError("Say which dictionaries: dragoman dictionaries SPEC --model MODEL --text TEXT.")
        _list_formats(json)
        return
    if text and not model:
        raise UserError("--text needs --model: the variance unexplained is that of the model's activations.")
    from dragoman.tools.documents import Corpus
    from dragoman.tools.harvest import IMPLAUSIBLE
    from dragoman.tools.inspect_dictionaries import inspect
    from dragoman.tools.subject import Subject

    subject = Subject.load(model, device) if model else None
    found = inspect(specs, subject, Corpus(text) if text else None)
    if json:
        from .output import as_json

        as_json({"dictionaries": [asdict(one) for one in found]})
    else:
        from .output import console

        for one in found:
            console().print(_page(one, IMPLAUSIBLE), "")
    for one in found:
        if one.variance_unexplained is not None and one.variance_unexplained > IMPLAUSIBLE:
            from .errors import say

            say(
                f"{one.name} leaves {one.variance_unexplained:.2f} of the variance of {one.hooks_out[0]} unexplained: it was "
                "most likely made for another model, hook point or normalisation. Labels made from it would be meaningless."
            )


def _list_formats(json: bool) -> None:
    from dragoman.tools.dictionaries import FORMATS

    if json:
        from .output import as_json

        as_json({"formats": [{"format": f.name, "recognised_by": f.looks_for, "holds": f.holds} for f in FORMATS]})
        return
    from rich.table import Table

    from .output import console

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("format", "recognised by", "holds"):
        table.add_column(column)
    for f in FORMATS:
        table.add_row(f.name, f.looks_for, f.holds)
    table.add_row("neurons", "neurons:mlp.LAYER", "the units of an MLP")
    table.add_row("directions", "directions:FILE@HOOK", "any matrix, a row a direction: .safetensors, .npy, .pt")
    console().print(table)


def _page(one: Inspected, implausible: float) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0), title_justify="left")
    table.title = f"[bold]{escape(one.name)}[/bold]"
    where = one.hook_in if one.hooks_out == (one.hook_in,) else f"{one.hook_in} to {', '.join(one.hooks_out)}"
    rows = {
        "format": f"{one.format}, {one.architecture}",
        "hook point": "not said: add @HOOK to the spec" if one.hook_in == "?" else where,
        "features": f"{one.width:,} of width {one.d_in:,}" + (f", writing {one.d_out:,}" if one.d_out != one.d_in else ""),
        "normalisation": one.normalization,
        "k": None if one.k is None else str(one.k),
        "threshold": None if one.threshold is None else "{:.4g} to {:.4g}".format(*one.threshold),
        "context": None if one.context_size is None else f"{one.context_size} tokens",
        "BOS": {True: "first", False: "none", None: None}[one.prepend_bos],
        "not trained on": f"{one.excluded_tokens} tokens of the vocabulary" if one.excluded_tokens else None,
        "weights": one.dtype,
        "unexplained": _unexplained(one, implausible),
        "source": one.source,
    }
    for name, value in rows.items():
        if value is not None:
            table.add_row(name, escape(value) if name != "unexplained" else value)
    return table


def _unexplained(one: Inspected, implausible: float) -> str:
    from rich.markup import escape

    if one.variance_unexplained is None:
        return f"not measured: {escape(one.unmeasured)}" if one.unmeasured else "not measured: no variance there"
    figure = f"{one.variance_unexplained:.3f} of the variance of {one.hooks_out[0]}, on {one.tokens:,} tokens"
    return f"[bold red]{figure}: implausible[/bold red]" if one.variance_unexplained > implausible else figure
