"""`dragoman ladder`: what is each rung, and each part of the loop, worth?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .features import HELP
from .label import EXPLAINER, JUDGE
from .options import Json, Quiet, Seed, Store

if TYPE_CHECKING:
    from rich.console import Group

    from dragoman.agents.ladder import Place


def ladder(
    store: Store,
    features: Annotated[str, typer.Option(help=HELP)] = "all",
    explainer: Annotated[str, typer.Option(help=EXPLAINER)] = "induction",
    judge: Annotated[str, typer.Option(help=JUDGE)] = "pattern",
    scoring: Annotated[str, typer.Option(help="Judge of the test scores: pattern, or a model.")] = "pattern",
    parts: Annotated[bool, typer.Option("--parts", help="Compare the loop with itself without each part.")] = False,
    tools: Annotated[str | None, typer.Option(help="With --parts: also without each of these tools.", show_default=False)] = None,
    tests: Annotated[int, typer.Option(help="Tests in a batch at most.", min=1, max=24)] = 8,
    rounds: Annotated[int, typer.Option(help="Rounds of experiments at most.", min=1, max=20)] = 4,
    budget_tokens: Annotated[
        int | None, typer.Option(help="Model tokens that each labeling run may spend.", min=1, show_default=False)
    ] = None,
    budget_usd: Annotated[
        float | None, typer.Option(help="US dollars that each labeling run may spend.", min=0, show_default=False)
    ] = None,
    concurrency: Annotated[int, typer.Option(help="Features in flight.", min=1, max=1024)] = 32,
    seed: Seed = 0,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Label the same features in several ways, score all on test, and compare them by feature.

    The first line is what the others are compared with. A feature that is left without a label counts as chance. Every
    labeling and scoring run is kept, and the same command goes on where it was stopped.

    [bold]Examples[/bold]

        dragoman ladder S --features 0:40

        dragoman ladder S --features 0:40 --explainer vllm:http://127.0.0.1:8000/v1 --parts --tools edit_and_compare,neighbours
    """
    from dragoman.agents import ladder as climbing
    from dragoman.agents.campaign import Means
    from dragoman.agents.settings import Settings
    from dragoman.evals.gateway.budget import Budget
    from dragoman.logs import logging_to
    from dragoman.store.features import Store as Opened

    from .features import select
    from .label import names_of
    from .output import as_json, console

    with Opened.open(store) as opened:
        live = set(opened.features("live"))
        chosen = [feature for feature in select(opened, features) or range(opened.width) if feature in live]
    base = Settings(tests=tests, rounds=rounds)
    entered = climbing.parts(base, names_of(tools)) if parts else climbing.rungs(base, climbing.RUNGS)
    with logging_to(store, "ladder"):
        places = climbing.climb(
            store,
            entered,
            chosen,
            explainer,
            judge,
            Means(Budget(budget_tokens, budget_usd), concurrency),
            lambda run: _score(store, run, scoring, chosen, seed, not quiet),
            seed=seed,
            progress=not quiet,
        )
    if json:
        as_json({"features": len(chosen), "places": [_plain(place) for place in places]})
        return
    console().print(tables(places, len(chosen)))


def _score(store: Path, labels: str, judge: str, features: list[int], seed: int, progress: bool) -> str:
    if judge == "pattern":
        from dragoman.evals.scoring import score

        return score(store, labels, judge, seed, 2, False, progress, tuple(features)).id
    from dragoman.evals.asking import Means, Wish, ask_scores
    from dragoman.evals.gateway.models import model_named

    wish = Wish(("detection", "simulation"), tuple(features), (labels,), seed)
    return ask_scores(store, model_named(judge), wish, Means(), False, progress).run.id


def tables(places: list[Place], features: int) -> Group:
    """The places for people: how well they did, and what they spent."""
    from rich.console import Group
    from rich.table import Table

    from .output import figure

    done = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    done.add_column("median on test", overflow="fold")
    for name in ("labels", "simulation r", "minus the first", "balanced accuracy", "minus the first"):
        done.add_column(name, justify="right", no_wrap=True)
    cost = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    cost.add_column("for one feature", overflow="fold")
    for name in ("model tokens", "dollars", "subject tokens", "examples read", "tools called"):
        cost.add_column(name, justify="right", no_wrap=True)
    for place in places:
        cells = [str(place.labeled)]
        for name in ("simulation.r", "detection.balanced_accuracy"):
            pairing = place.against.get(name)
            cells += [figure(place.figures[name]), figure(pairing.mean, "+.3f") if pairing else ""]
        done.add_row(place.name, *cells)
        each = [count / max(1, features) for count in place.spent]
        cost.add_row(place.name, f"{each[0]:,.0f}", f"{each[1]:.4f}", *(f"{count:,.0f}" for count in each[2:]))
    done.caption = (
        f"{features} features; medians, mean differences by feature, 95 % bootstrap intervals; a feature without a label "
        "counts as chance.\n"
    )
    done.caption_justify = "left"
    return Group(done, cost)


def _plain(place: Place) -> dict[str, Any]:
    return {
        "name": place.name,
        "run": place.run,
        "labeled": place.labeled,
        "figures": {name: interval._asdict() for name, interval in place.figures.items()},
        "against": {
            name: {"median": pairing.median._asdict(), "mean": pairing.mean._asdict(), "better": pairing.better}
            for name, pairing in place.against.items()
        },
        "spent": place.spent._asdict(),
    }
