"""`dragoman ablate`: take features, heads, neurons or layers away, and see what that does."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Chosen, Device, Dictionaries, Json, Model, Positions, Store

if TYPE_CHECKING:
    from dragoman.tools.interventions import Edit
    from dragoman.tools.workbench import Workbench


def ablate(
    store: Store,
    features: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FEATURE…]", help="Features: sae/88, or several as sae/3,5,9; of any dictionaries.", show_default=False
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            help="Measure on every token of this text (@FILE reads one); may be repeated. [default: the train contexts in which "
            "the first feature fires hardest]",
            show_default=False,
        ),
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(help="Measure what comes after this prompt; may be repeated.", show_default=False),
    ] = None,
    to: Annotated[
        str,
        typer.Option(help="What to set them to: zero, mean (over all train tokens), mean-active (over those it is active on)."),
    ] = "zero",
    clamp: Annotated[
        float | None, typer.Option(help="Set the features to so many times their maximum instead.", show_default=False)
    ] = None,
    head: Annotated[
        list[str] | None, typer.Option(help="Ablate a head, LAYER.HEAD; may be repeated.", show_default=False)
    ] = None,
    neuron: Annotated[
        list[str] | None, typer.Option(help="Ablate a neuron, LAYER.NEURON; may be repeated.", show_default=False)
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(help="Ablate a part of a layer: attention.2, mlp.2 or block.2; may be repeated.", show_default=False),
    ] = None,
    positions: Positions = "all",
    drop_error: Annotated[
        bool, typer.Option("--drop-error", help="Put the reconstruction in place of the tensor; by default its error is kept.")
    ] = False,
    freeze: Annotated[
        str | None,
        typer.Option(help="Hold attention patterns or norm scales as they were: attention, norms or both.", show_default=False),
    ] = None,
    token: Chosen = None,
    takeover: Annotated[
        bool, typer.Option("--takeover", help="Show as well which features and heads change when these are gone.")
    ] = False,
    model: Model = None,
    dictionary: Dictionaries = None,
    device: Device = None,
    json: Json = False,
) -> None:
    """Ablate or clamp features, heads, neurons and layers, all at once, and compare the predictions without and with it.

    Everything named is changed in the same pass, on the tokens that --positions names (BOS never). What a dictionary does not
    reconstruct is kept.

    [bold]Examples[/bold]

        dragoman ablate S sae/88 --prompt "Mary and John met. Mary gave the book to" --token " John" --token " Mary"

        dragoman ablate S sae/3,5 --to mean --text @notice.txt --takeover

        dragoman ablate S --head 1.0 --head 1.1 --text "red blue green red blue"
    """
    from dragoman.store.errors import UserError
    from dragoman.tools.intervene import evidence
    from dragoman.tools.interventions import measure
    from dragoman.tools.interventions import takeover as take_over
    from dragoman.tools.workbench import Workbench

    from .experiments import show, texts
    from .output import as_json, console

    if text and prompt:
        raise UserError(
            "Give --text or --prompt, not both: effects are read on every token of a text, after the last of a prompt."
        )
    with Workbench.open(store, model, dictionary or (), device) as bench:
        ids, edits = _edits(bench, features or [], to, clamp, head or [], neuron or [], layer or [], positions, drop_error)
        given: Any = texts(text or prompt or [])
        if not given and not ids:
            raise UserError("Say with --text or --prompt what to measure on.")
        given = given or evidence(bench, ids[0])
        chosen, bos, at = token or [], bench.prepend_bos, "last" if prompt else "all"
        frozen = [part.strip() for part in freeze.split(",")] if freeze else []
        effects = measure(bench.subject, edits, given, chosen=chosen, at=at, freeze=frozen, bos=bos)  # type: ignore[arg-type]
        taken = None
        if takeover:
            known = list(bench.dictionaries.values())
            taken = take_over(bench.subject, edits, given, known, chosen=chosen, at=at, bos=bos)  # type: ignore[arg-type]
        if json:
            as_json({**asdict(effects), "takeover": asdict(taken) if taken else None})
            return
        show(console(), effects)
        if taken:
            show(console(), taken)


def _edits(
    bench: Workbench,
    features: list[str],
    to: str,
    clamp: float | None,
    head: list[str],
    neuron: list[str],
    layer: list[str],
    positions: str,
    drop_error: bool,
) -> tuple[list[int], list[Edit]]:
    from dragoman.store.errors import UserError
    from dragoman.tools.intervene import ablations, clamps, units
    from dragoman.tools.interventions import Positions as Where

    from .features import select

    where = Where.parse(positions)
    baseline: Any = {"zero": "zero", "mean": "mean", "mean-active": "mean active"}.get(to, to)
    ids = [i for part in features for i in (select(bench.store, part) or range(bench.store.width))]
    edits: list[Edit] = []
    if ids and clamp is not None:
        edits += clamps(bench, ids, clamp, where, not drop_error)
    elif ids:
        edits += ablations(bench, ids, baseline, where, not drop_error)
    if head or neuron or layer:
        edits += units(bench, head, neuron, layer, baseline, where)
    if not edits:
        raise UserError("Say what to ablate: a FEATURE, --head, --neuron or --layer.")
    return ids, edits
