"""`dragoman steer`: text generated with a feature turned up, beside the unsteered text and a random direction."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from .options import Device, Dictionaries, Feature, Json, Model, Positions, Seed, Store


def steer(
    store: Store,
    feature: Feature,
    prompt: Annotated[list[str], typer.Option(help="Text to go on from (@FILE reads one); may be repeated.", show_default=False)],
    strengths: Annotated[
        str, typer.Option(help="How much to add, in times the feature's maximum on train; negative turns it down.")
    ] = "2,4,8",
    tokens: Annotated[int, typer.Option(help="Tokens to generate.", min=1, max=2000)] = 40,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token each time.", min=0)] = 0.0,
    positions: Positions = "all",
    control: Annotated[bool, typer.Option(help="Show the same with a random direction of equal norm.")] = True,
    seed: Seed = 0,
    model: Model = None,
    dictionary: Dictionaries = None,
    device: Device = None,
    json: Json = False,
) -> None:
    """Add a feature's direction while text is generated, at several strengths.

    Beside each stands a random direction of the same norm: what the feature does and the control does not is the feature's.
    "surprise" is the mean loss of the generated text in the unsteered model, in nats a token: high where the steer broke it.

    [bold]Examples[/bold]

        dragoman steer S sae/88 --prompt "In the park we saw a" --strengths 0,2,4,8 --tokens 40

        dragoman steer S 88 --prompt @letter.txt --positions=-1: --temperature 0.7 --seed 3 --json
    """
    from dragoman.tools.intervene import steers
    from dragoman.tools.interventions import Positions as Where
    from dragoman.tools.interventions import compare_strengths
    from dragoman.tools.workbench import Workbench

    from .experiments import show, texts
    from .output import as_json, console

    amounts, where = _numbers(strengths), Where.parse(positions)
    with Workbench.open(store, model, dictionary or (), device) as bench:
        (edit,) = steers(bench, [bench.store.id(feature)], 1.0, where)
        found = compare_strengths(
            bench.subject,
            edit,
            texts(prompt),
            amounts,
            tokens=tokens,
            temperature=temperature,
            seed=seed,
            bos=bench.prepend_bos,
            control=control,
        )
        if json:
            as_json(asdict(found))
            return
        show(console(), found)


def _numbers(text: str) -> list[float]:
    from math import isfinite

    from dragoman.store.errors import UserError

    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"{text!r} are no strengths: write numbers with commas, such as 0,2,4,8.") from None
    for number in found:
        if not isfinite(number):
            raise UserError(f"The strength {number} must be a finite number.")
    return found
