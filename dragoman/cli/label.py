"""`dragoman label`: what does every feature mean?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .features import HELP
from .options import Fresh, Json, Quiet, Seed, Store, Workers

if TYPE_CHECKING:
    from dragoman.agents.campaign import Means, Wish
    from dragoman.agents.settings import Settings

EXPLAINER = "Who explains: induction needs no language model; anthropic:MODEL, openai:MODEL, openai:URL#MODEL, vllm:URL."
JUDGE = "Who says how well a hypothesis predicts on validation: pattern executes its rule, a model reads its words."
BATCH = "Ask the first question of every feature in batches of the service: half the price, answered within a day."
RUNG = (
    "How far a feature may go: one-shot; experiments where the first label is low or fits a neighbour as well; debate between "
    "the two best where experiments leave two. "
    "[default: one-shot for induction, else experiments]"
)


def label(
    store: Store,
    features: Annotated[str, typer.Option(help=HELP)] = "all",
    explainer: Annotated[str, typer.Option(help=EXPLAINER)] = "induction",
    judge: Annotated[str, typer.Option(help=JUDGE)] = "pattern",
    rung: Annotated[str | None, typer.Option(help=RUNG, show_default=False)] = None,
    rival: Annotated[
        str | None,
        typer.Option(help="With --rung debate: who holds the other side. [default: the explainer itself]", show_default=False),
    ] = None,
    without: Annotated[
        str | None,
        typer.Option(
            help="Parts to switch off: experiments, several, refinement, targeted, matching, facets, output, ladder.",
            show_default=False,
        ),
    ] = None,
    tools: Annotated[str | None, typer.Option(help="The only tools to be used, by name.", show_default=False)] = None,
    tests: Annotated[int, typer.Option(help="Tests in a batch at most.", min=1, max=24)] = 8,
    rounds: Annotated[int, typer.Option(help="Rounds of experiments at most.", min=1, max=20)] = 4,
    budget_tokens: Annotated[
        int | None, typer.Option(help="Model tokens that the run may spend.", min=1, show_default=False)
    ] = None,
    budget_usd: Annotated[
        float | None, typer.Option(help="US dollars that the run may spend.", min=0, show_default=False)
    ] = None,
    budget_tokens_per_feature: Annotated[
        int | None, typer.Option(help="Model tokens that one feature may spend.", min=1, show_default=False)
    ] = None,
    budget_usd_per_feature: Annotated[
        float | None, typer.Option(help="US dollars that one feature may spend.", min=0, show_default=False)
    ] = None,
    price: Annotated[
        str | None,
        typer.Option(help="US dollars a million tokens, prompt,reply or prompt,cached,reply.", show_default=False),
    ] = None,
    concurrency: Annotated[int, typer.Option(help="Features in flight.", min=1, max=1024)] = 32,
    patience: Annotated[float, typer.Option(help="Seconds that a server may stay away.", min=0)] = 600.0,
    batch: Annotated[bool, typer.Option("--batch", help=BATCH)] = False,
    reuse: Annotated[bool, typer.Option("--reuse", help="Take answers to the same questions from other runs.")] = False,
    seed: Seed = 0,
    workers: Workers = 2,
    fresh: Fresh = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Label the live features of a store.

    Explainers see train text only. A language model proposes hypotheses, says what experiments will show, and has them run; code
    decides, and the hypothesis that does best on validation becomes the label. The same command goes on where a stopped one was;
    a feature without a label is recorded with the reason. kill -USR1 pauses a run, -USR2 goes on.

    [bold]Examples[/bold]

        dragoman label S

        dragoman label S --features 0:200 --explainer anthropic:claude-haiku-4-5 --budget-usd 5

        dragoman label S --explainer induction --rung experiments

        dragoman label S --explainer anthropic:claude-haiku-4-5 --rung debate --rival induction

        dragoman label S --explainer vllm:http://127.0.0.1:8000/v1 --without targeted --budget-tokens-per-feature 30000
    """
    from dragoman.agents.models import is_induction
    from dragoman.store.errors import UserError

    if rival is not None and rung != "debate":
        raise UserError("A rival is for debates: give --rung debate with --rival.")
    if (
        is_induction(explainer)
        and judge == "pattern"
        and rung in (None, "one-shot")
        and without is None
        and tools is None
        and not batch
    ):
        result = run(store, features, explainer, seed, workers, fresh, not quiet)
    else:
        from dragoman.agents.campaign import Means, Wish
        from dragoman.evals.gateway.budget import Budget

        wish = Wish(
            explainer=explainer,
            judge=judge,
            features=_ids(store, features),
            settings=_settings(rung or ("one-shot" if is_induction(explainer) else "experiments"), without, tools, tests, rounds),
            seed=seed,
            each=Budget(budget_tokens_per_feature, budget_usd_per_feature),
            rival=rival,
        )
        means = Means(Budget(budget_tokens, budget_usd), concurrency, patience=patience, reuse=reuse, price=price, batch=batch)
        result = investigate(store, wish, means, fresh, not quiet)
    from .output import as_json, console

    if json:
        as_json(result)
        return
    failures = f", {result['failures']} without a label (dragoman sql {store} 'from failure')" if result["failures"] else ""
    spent = f"\nSpent {result['tokens']:,} model tokens, ${result['dollars']:,.4f}." if result.get("tokens") else ""
    labels = f"{result['labels']:,} feature{'s' * (result['labels'] != 1)} labeled"
    console().print(f"Run {result['run']}: {labels}{failures}.{spent}\nNext: dragoman score {store}", markup=False)


def run(path: Path, features: str, explainer: str, seed: int, workers: int, fresh: bool, progress: bool) -> dict[str, Any]:
    """Label with an explainer that needs no language model, one shot each in worker processes, and say what was done."""
    from dragoman.agents.explainers import explainer_named
    from dragoman.agents.oneshot import label as oneshot
    from dragoman.logs import logging_to
    from dragoman.store.features import Store as Opened

    with logging_to(path, "label"):
        made = oneshot(
            path,
            explainer_named(explainer),
            explainer,
            _ids(path, features),
            seed=seed,
            workers=workers,
            fresh=fresh,
            progress=progress,
        )
    with Opened.open(path) as opened:
        labels, failures = opened.ledger.labels(run=made.id), opened.ledger.failures(made.id)
    return {"run": made.id, "labels": len(labels), "failures": len(failures)}


def investigate(path: Path, wish: Wish, means: Means, fresh: bool, progress: bool) -> dict[str, Any]:
    """Label with the labeler, and say what was done."""
    from dragoman.agents.campaign import campaign
    from dragoman.logs import logging_to

    with logging_to(path, "label"):
        done = campaign(path, wish, means, fresh, progress)
    return {
        "run": done.run.id,
        "labels": done.labels,
        "failures": done.failures,
        "tokens": done.tokens,
        "dollars": round(done.dollars, 6),
    }


def _ids(path: Path, features: str) -> tuple[int, ...] | None:
    from dragoman.store.features import Store as Opened

    from .features import select

    with Opened.open(path) as opened:
        chosen = select(opened, features)
    return None if chosen is None else tuple(chosen)


def _settings(rung: str, without: str | None, tools: str | None, tests: int, rounds: int) -> Settings:
    """How the labeler works. Raises UserError for a rung, a part or a tool that does not exist."""
    from typing import cast, get_args

    from dragoman.agents.settings import Parts, Rung, Settings
    from dragoman.store.errors import UserError
    from dragoman.tools.toolbox import registry

    if rung not in get_args(Rung):
        raise UserError(f"There is no rung {rung!r}: choose one of {', '.join(get_args(Rung))}.")
    off = names_of(without)
    for name in off:
        if name != "ladder" and name not in Parts.model_fields:
            raise UserError(f"There is no part {name!r} to switch off: they are {', '.join((*Parts.model_fields, 'ladder'))}.")
    only = names_of(tools)
    for name in only:
        if name not in registry():
            raise UserError(f"There is no tool {name!r}: the tools are {', '.join(registry())}.")
    parts = Parts(**{name: False for name in off if name != "ladder"})
    return Settings(
        rung=cast(Rung, rung), parts=parts, tools=only or None, tests=tests, rounds=rounds, ladder="ladder" not in off
    )


def names_of(text: str | None) -> tuple[str, ...]:
    """Names that stand in a list with commas."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())
