"""`dragoman logits`: what a feature does to the logits, along the direct path or in given prompts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from .options import Chosen, Device, Dictionaries, Feature, Json, Model, Positions, Store


def logits(
    store: Store,
    feature: Feature,
    causal: Annotated[
        bool,
        typer.Option("--causal", help="Measure the difference that a steer makes after --prompt, instead of the direct path."),
    ] = False,
    prompt: Annotated[
        list[str] | None, typer.Option(help="For --causal: the prompt (@FILE reads one); may be repeated.", show_default=False)
    ] = None,
    strength: Annotated[
        float, typer.Option(help="For --causal: how much to add, in times the feature's maximum on train.")
    ] = 1.0,
    positions: Positions = "all",
    token: Chosen = None,
    top: Annotated[int, typer.Option(help="Tokens on each side.", min=1, max=1000)] = 10,
    model: Model = None,
    dictionary: Dictionaries = None,
    device: Device = None,
    json: Json = False,
) -> None:
    """Which tokens a feature promotes and suppresses.

    Linear: its direction through the final norm's weight and the unembedding, mean taken off: the same in every prompt, before
    the norm's scale. Causal: the logits at the end of the prompts with a steer minus those without. They are different things
    and are never mixed.

    [bold]Examples[/bold]

        dragoman logits S sae/88

        dragoman logits S sae/88 --causal --prompt "In the park we saw a" --strength 2
    """
    from dragoman.store.errors import UserError
    from dragoman.tools.interventions import Positions as Where
    from dragoman.tools.logits import CausalEffects, LinearEffects, causal_effects, linear_effects
    from dragoman.tools.workbench import Workbench

    from .experiments import show, texts
    from .output import as_json, console

    if causal != bool(prompt):
        raise UserError("Causal effects are those in a prompt: give --causal and --prompt together, or neither.")
    where = Where.parse(positions)
    with Workbench.open(store, model, dictionary or (), device) as bench:
        found: LinearEffects | CausalEffects
        number = bench.store.id(feature)
        of, index = bench.feature(number)
        if causal:
            found = causal_effects(
                bench.subject,
                of,
                index,
                bench.maximum(number),
                texts(prompt or []),
                strength=strength,
                positions=where,
                chosen=token or [],
                top=top,
                bos=bench.prepend_bos,
            )
        else:
            found = linear_effects(bench.subject, of, index, top, token or [])
        if json:
            as_json({"kind": "causal" if causal else "linear", **asdict(found)})
            return
        show(console(), found)
