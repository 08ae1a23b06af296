"""`dragoman score`: how well do the labels predict text they never saw?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .features import HELP
from .options import PACKED, Fresh, Json, Quiet, Seed, Store, TextsARequest, Workers

if TYPE_CHECKING:
    from dragoman.evals.asking import Means, Wish
    from dragoman.evals.gateway.models import Model
    from dragoman.evals.summary import Summary
    from dragoman.store.records import Run

JUDGE = (
    "Who predicts from the label: pattern executes its rule; vllm:URL, openai:MODEL and anthropic:MODEL read its words "
    "(vllm:URL,URL2#MODEL names replicas and a model)."
)
SCORES = (
    "With a judge that reads words: detection, facets, fuzzing, simulation, embedding, collision, generation, counterfactual, "
    "intervention, or all. [default: detection,fuzzing,simulation]"
)


def score(
    store: Store,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            help="Labeling run; of several, each feature's label is chosen on validation. [default: the latest]",
            show_default=False,
        ),
    ] = None,
    judge: Annotated[str, typer.Option(help=JUDGE)] = "pattern",
    scores: Annotated[str | None, typer.Option(help=SCORES, show_default=False)] = None,
    features: Annotated[str, typer.Option(help=HELP)] = "all",
    width: Annotated[
        float | None,
        typer.Option(
            help="Ask no further once a figure's 95 % interval is so wide at most.", min=0.0, max=1.0, show_default=False
        ),
    ] = None,
    texts_a_request: TextsARequest = PACKED,
    budget_tokens: Annotated[
        int | None, typer.Option(help="Tokens of prompts and replies that the run may spend.", min=1, show_default=False)
    ] = None,
    budget_usd: Annotated[
        float | None, typer.Option(help="US dollars that the run may spend.", min=0, show_default=False)
    ] = None,
    price: Annotated[
        str | None,
        typer.Option(help="US dollars a million tokens, prompt,reply or prompt,cached,reply.", show_default=False),
    ] = None,
    concurrency: Annotated[int, typer.Option(help="Calls in flight at most.", min=1, max=4096)] = 64,
    patience: Annotated[float, typer.Option(help="Seconds that the server may stay away.", min=0)] = 600.0,
    reuse: Annotated[bool, typer.Option("--reuse", help="Take answers to the same questions from other runs.")] = False,
    seed: Seed = 0,
    workers: Workers = 2,
    fresh: Fresh = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score every label on the test split, beside a token lookup and another feature's label.

    Simulation is the correlation of predicted with real activation over tokens; detection tells contexts in which the feature
    fires from silent ones, half of them near misses. A language model as the judge can be asked for more: see docs/judging.md.
    What cannot be scored is recorded as unscored, with the reason. A run that was stopped goes on with the same command; budget,
    patience and concurrency may differ.

    [bold]Examples[/bold]

        dragoman score S

        dragoman score S --judge vllm:http://127.0.0.1:8000/v1 --scores detection,fuzzing,simulation --budget-tokens 5000000

        dragoman score S --judge anthropic:claude-haiku-4-5 --features 0:100 --width 0.1 --budget-usd 5

        dragoman score S --json | jq .summary.medians
    """
    if judge == "pattern":
        _needs_a_reader({"--scores": scores, "--width": width, "--budget-tokens": budget_tokens, "--budget-usd": budget_usd})
        _needs_a_reader(
            {"--price": price, "--reuse": reuse or None, "several --labels": labels if labels and labels[1:] else None}
        )
        made, summary = run(store, labels[0] if labels else None, judge, seed, workers, fresh, not quiet, features)
        remarks = ["The judge executes the labels' patterns: it scores the rule, not the words."]
    else:
        from dragoman.evals.asking import Means, Wish
        from dragoman.evals.gateway.budget import Budget
        from dragoman.evals.gateway.models import model_named
        from dragoman.evals.gateway.prices import price_from
        from dragoman.evals.questions import USUAL, named

        model = model_named(judge, price=price_from(price) if price else None)
        wish = Wish(named(scores) if scores else USUAL, _ids(store, features), tuple(labels or ()), seed, width, texts_a_request)
        means = Means(Budget(budget_tokens, budget_usd), patience, concurrency, reuse)
        made, summary, remarks = read(store, model, wish, means, fresh, not quiet)
    from .output import as_json, console, summary_json, summary_table

    if json:
        as_json({"run": made.id, "summary": summary_json(summary), "remarks": remarks})
        return
    console().print(summary_table(summary))
    for line in summary.lines:
        if line.contestant == "label" and line.unscored and line.scorer.endswith((".r", ".auroc", ".accuracy", ".trigger_rate")):
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(line.unscored.items()))
            console().print(f"{line.scorer} unscored: {reasons}", markup=False)
    for remark in remarks:
        console().print(remark, markup=False)
    console().print(f"Run {made.id}. Next: dragoman report {store}")


def run(
    path: Path, labels: str | None, judge: str, seed: int, workers: int, fresh: bool, progress: bool, features: str = "all"
) -> tuple[Run, Summary]:
    """Score with a judge that executes rules, and summarise."""
    from dragoman.evals.scoring import score as scoring
    from dragoman.logs import logging_to

    with logging_to(path, "score"):
        made = scoring(path, labels, judge, seed, workers, fresh, progress, _ids(path, features))
    return made, _summary(path, made, seed)


def read(path: Path, model: Model, wish: Wish, means: Means, fresh: bool, progress: bool) -> tuple[Run, Summary, list[str]]:
    """Score with a judge that reads words, and summarise; the sentences are about the judge and what it cost."""
    from dragoman.evals.asking import ask_scores
    from dragoman.logs import logging_to

    with logging_to(path, "score"):
        found = ask_scores(path, model, wish, means, fresh, progress)
    spent = f"{model.name} was asked for {found.tokens:,} tokens" + (f", ${found.dollars:,.4f}" if found.dollars else "") + "."
    return found.run, _summary(path, found.run, wish.seed), [*found.remarks, spent]


def _summary(path: Path, made: Run, seed: int) -> Summary:
    from dragoman.evals.summary import summarise
    from dragoman.store.features import Store as Opened

    with Opened.open(path) as opened:
        return summarise(opened.ledger.scores(run=made.id), seed)


def _ids(path: Path, features: str) -> tuple[int, ...] | None:
    from dragoman.store.features import Store as Opened

    from .features import select

    if features.strip() == "all":
        return None
    with Opened.open(path) as opened:
        return tuple(select(opened, features) or ())


def _needs_a_reader(given: Mapping[str, object]) -> None:
    """Refuse options that mean nothing to the judge that executes rules."""
    from dragoman.store.errors import UserError

    for option, value in given.items():
        if value is not None:
            raise UserError(
                f"{option} is for judges that read words: give one with --judge, for example vllm:http://127.0.0.1:8000/v1."
            )
