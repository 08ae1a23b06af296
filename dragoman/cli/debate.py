"""`dragoman debate`: two rival labels of a feature, and the experiments that settle them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .label import EXPLAINER, JUDGE
from .options import Feature, Fresh, Json, Seed, Store


def debate(
    store: Store,
    feature: Feature,
    claim: Annotated[
        list[str] | None, typer.Option(help="A label in words; give two: the first is held by A.", show_default=False)
    ] = None,
    pattern: Annotated[
        list[str] | None, typer.Option(help="The same as a rule; give two, in the same order.", show_default=False)
    ] = None,
    explainer: Annotated[str, typer.Option(help="Who holds the first label. " + EXPLAINER.removeprefix("Who explains: "))] = (
        "induction"
    ),
    rival: Annotated[
        str | None, typer.Option(help="Who holds the second. [default: the same as the first]", show_default=False)
    ] = None,
    arbiter: Annotated[
        str | None, typer.Option(help="The model that writes the verdict. [default: code does]", show_default=False)
    ] = None,
    judge: Annotated[str, typer.Option(help=JUDGE)] = "pattern",
    rounds: Annotated[int, typer.Option(help="Rounds at most.", min=1, max=20)] = 3,
    tests: Annotated[int, typer.Option(help="Inputs in a round at most, half of them from each side.", min=2, max=24)] = 8,
    budget_tokens: Annotated[
        int | None, typer.Option(help="Model tokens that the debate may spend.", min=1, show_default=False)
    ] = None,
    budget_usd: Annotated[
        float | None, typer.Option(help="US dollars that the debate may spend.", min=0, show_default=False)
    ] = None,
    price: Annotated[
        str | None,
        typer.Option(help="US dollars a million tokens, prompt,reply or prompt,cached,reply.", show_default=False),
    ] = None,
    seed: Seed = 0,
    fresh: Fresh = False,
    json: Json = False,
) -> None:
    """Hold two labels of a feature against each other.

    Each round both sides propose inputs on which the labels differ, and both predict every one of them before it is run. A side
    wins a point where its prediction held and the other failed. Then each may amend its label, concede, or offer one label for
    both. Nothing is published; the same command shows the same debate again.

    [bold]Examples[/bold]

        dragoman debate S 72 --pattern 'strongly: "?"' --pattern 'strongly: "?" | "!"'

        dragoman debate S 72 --claim "Ends of questions." --claim "Any end of a sentence." --explainer vllm:http://127.0.0.1:8000/v1
    """
    from dragoman.agents.campaign import Means, Wish
    from dragoman.agents.hearing import Motion
    from dragoman.agents.hearing import debate as hear
    from dragoman.agents.settings import Settings
    from dragoman.evals.gateway.budget import Budget
    from dragoman.logs import logging_to
    from dragoman.store.features import Store as Opened

    from .debate_page import page
    from .output import as_json, console

    with Opened.open(store) as opened:
        number = opened.id(feature)
        key = str(opened.key(number))
    wish = Wish(
        explainer,
        judge=judge,
        rival=rival,
        arbiter=arbiter,
        settings=Settings(rung="debate", debate_rounds=rounds, tests=tests),
        seed=seed,
    )
    with logging_to(store, "debate"):
        motion = Motion(tuple(claim or ()), tuple(pattern or ()))
        heard = hear(store, number, motion, wish, Means(Budget(budget_tokens, budget_usd), price=price), fresh)
    if json:
        from dataclasses import asdict

        result: dict[str, Any] = {"run": heard.run.id, "feature": key, **heard.transcript.model_dump(mode="json")}
        as_json({**result, "spent": asdict(heard.spent)})
        return
    for part in page(key, heard):
        console().print(part)
