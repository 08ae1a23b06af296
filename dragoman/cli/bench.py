"""`dragoman bench`: which explainer, judge and budget gives the best labels, on features whose truth is known?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Json, Quiet, Seed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Group

    from dragoman.agents.campaign import Means
    from dragoman.evals.benchmark.board import Board
    from dragoman.evals.benchmark.entrants import Entrant
    from dragoman.evals.benchmark.reading import Portion
    from dragoman.evals.benchmark.running import Reads, Result
    from dragoman.evals.benchmark.suite import Suite
    from dragoman.evals.gateway.budget import Budget

FEATURES = 30
"""Features of a trial: with these `organism,planted`, four contestants and three seeds end within 20 minutes on 2 cores."""
SUITES = "Where features come from, with commas: organism, planted, and with --store also store and import."
CONTESTANTS = (
    "Who labels them, with commas: oracle, induction, lookup, toptoken, shuffled, flatterer, one-shot:MODEL, labeler:MODEL, "
    "labeler-PART:MODEL (without a part, such as experiments), debate:MODEL; MODEL may be induction. The suite import "
    "adds the imported labels: all, unless some are named as the page names them."
)
JUDGE = "Also have this model read the words of labels: vllm:URL, openai:MODEL, anthropic:MODEL. [default: patterns are executed]"
READS = "What the judge reads of a label, a request for each text: recovery (fresh texts), detection (test texts)."
GAUGE = (
    "Who tells labelers with a model how their hypotheses do on validation: pattern, or a model by name. [default: the judge, "
    "else pattern]"
)

app = typer.Typer(no_args_is_help=True, help="Benchmarks of labels on features whose truth is known.")


@app.callback()
def bench() -> None:
    """Benchmarks of labels on features whose truth is known."""


@app.command()
def labels(
    suite: Annotated[str, typer.Option(help=SUITES)] = "organism,planted",
    contestants: Annotated[str, typer.Option(help=CONTESTANTS)] = "oracle,induction,lookup,toptoken,shuffled,labeler:induction",
    seeds: Annotated[int, typer.Option(help="Trials of each suite, from --seed on.", min=1, max=1000)] = 3,
    seed: Seed = 0,
    features: Annotated[int, typer.Option(help="Features of a trial at most.", min=2)] = FEATURES,
    texts: Annotated[int, typer.Option(help="Fresh texts of each kind for a feature.", min=4)] = 20,
    store: Annotated[Path | None, typer.Option(help="The store of the suites store and import.", show_default=False)] = None,
    judge: Annotated[str | None, typer.Option(help=JUDGE, show_default=False)] = None,
    judge_scores: Annotated[str, typer.Option(help=READS)] = "recovery,detection",
    judge_features: Annotated[
        int | None, typer.Option(help="Features of a trial that the judge reads, at most.", min=1, show_default=False)
    ] = None,
    judge_texts: Annotated[
        int | None, typer.Option(help="Texts that it reads for each score of a label, at most.", min=2, show_default=False)
    ] = None,
    gauge: Annotated[str | None, typer.Option(help=GAUGE, show_default=False)] = None,
    budget_tokens: Annotated[
        int | None, typer.Option(help="Model tokens that each run may spend.", min=1, show_default=False)
    ] = None,
    budget_usd: Annotated[
        float | None, typer.Option(help="US dollars that each run may spend.", min=0, show_default=False)
    ] = None,
    budget_tokens_per_feature: Annotated[
        int | None, typer.Option(help="Model tokens that one feature may spend, for every contestant.", min=1, show_default=False)
    ] = None,
    budget_usd_per_feature: Annotated[
        float | None, typer.Option(help="US dollars that one feature may spend, likewise.", min=0, show_default=False)
    ] = None,
    price: Annotated[
        str | None,
        typer.Option(help="US dollars a million tokens, prompt,reply or prompt,cached,reply.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of everything: trials, entries, leaderboard.")] = Path("bench"),
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Have contestants label the same features, whose truth is known, and see who recovers it, on texts nobody has seen.

    Every seed makes other features or other texts, so that nothing memorised helps. A leaderboard is written as a page
    (leaderboard.html) and as Markdown (leaderboard.md), with the command that makes each line again. Stopped at any moment, the
    same command goes on; contestants, suites and seeds can be added to a folder that is there.

    [bold]Examples[/bold]

        dragoman bench labels --suite organism,planted --contestants lookup,shuffled,induction,labeler:induction --seeds 3

        dragoman bench labels --contestants induction,one-shot:vllm:http://127.0.0.1:8000/v1,labeler:vllm:http://127.0.0.1:8000/v1

        dragoman bench labels --suite store --store S --contestants induction,lookup --features 100

        dragoman bench labels --contestants induction,one-shot:openai:gpt-5.1,oracle --features 8 --seeds 1 --judge
        openai:gpt-5.1 --judge-scores recovery --judge-texts 8
    """
    from dragoman.agents.campaign import Means as Allowed
    from dragoman.agents.contest import evened
    from dragoman.evals.benchmark.board import board
    from dragoman.evals.benchmark.page import html, markdown
    from dragoman.evals.benchmark.running import Plan, run
    from dragoman.evals.gateway.budget import Budget
    from dragoman.logs import logging_to
    from dragoman.store.disk import write_atomically

    from .errors import say
    from .output import as_json, console

    chosen = suites(names(suite), store)
    each, budget = Budget(budget_tokens_per_feature, budget_usd_per_feature), Budget(budget_tokens, budget_usd)
    means = Allowed(budget, price=price)
    inner = gauge or judge or "pattern"
    told = imports(names(contestants), store if any(one.name == "import" for one in chosen) else None)
    wanted = [name for name in names(contestants) if not name.startswith("import:")]
    entered = [*entrants(wanted, inner, each, means), *told]
    portion = portioned(judge_scores, judge_features, judge_texts)
    limits = {"--judge-features": judge_features, "--judge-texts": judge_texts, "--gauge": gauge}
    if judge_scores != "recovery,detection":
        limits["--judge-scores"] = judge_scores
    settings: dict[str, Any] = {"flags": _flags(budget_tokens_per_feature, budget_usd_per_feature, store, limits)}
    plan = Plan(
        out,
        chosen,
        entered,
        range(seed, seed + seeds),
        features,
        texts,
        _reader(judge, budget, price, portion),
        settings,
    )
    with logging_to(out, "bench"):
        results = run(plan, (lambda line: None) if quiet else say)
        more = evened(_spent(results))
        if more:
            plan = Plan(**{**vars(plan), "entrants": [*entered, *entrants(more, inner, each, means)]})
            results = run(plan, (lambda line: None) if quiet else say)
    boards = board(results, seed)
    write_atomically(out / "leaderboard.html", html(boards, results).encode())
    write_atomically(out / "leaderboard.md", markdown(boards).encode())
    if json:
        as_json({"boards": [plain(one) for one in boards], "page": str(out / "leaderboard.html")})
        return
    console().print(tables(boards))
    console().print(f"{out / 'leaderboard.html'}, and the same in leaderboard.md", soft_wrap=True, markup=False)


def names(text: str) -> list[str]:
    """The names in a list with commas. Raises UserError where there is none, or one twice."""
    from dragoman.store.errors import UserError

    found = [part.strip() for part in text.split(",") if part.strip()]
    if not found or len(set(found)) < len(found):
        raise UserError(f"{text!r} must name at least one, and each once, with commas between them.")
    return found


def suites(wanted: list[str], store: Path | None) -> list[Suite]:
    """Suites by name. Raises UserError for a name that is none, and where a store is missing."""
    from dragoman.evals.benchmark.organism import OrganismSuite
    from dragoman.evals.benchmark.planted import PlantedSuite
    from dragoman.evals.benchmark.stores import ImportSuite, StoreSuite
    from dragoman.store.errors import UserError

    found: list[Suite] = []
    for name in wanted:
        if name == "organism":
            found.append(OrganismSuite())
        elif name == "planted":
            found.append(PlantedSuite())
        elif name in ("store", "import"):
            if store is None:
                raise UserError(f"The suite {name} needs a store: give one with --store.")
            found.append(StoreSuite(store) if name == "store" else ImportSuite(store))
        else:
            raise UserError(f"There is no suite {name!r}: choose from organism, planted, store, import.")
    return found


def entrants(wanted: list[str], judge: str, each: Budget, means: Means) -> list[Entrant]:
    """Contestants by name. Raises UserError for a name that is none."""
    from dragoman.agents import contest
    from dragoman.evals.benchmark.baselines import Flatterer, Lookup, TopToken
    from dragoman.evals.benchmark.entrants import Explained, Oracle, Shuffled
    from dragoman.store.errors import UserError

    induction = contest.induction()
    simple: dict[str, Entrant] = {
        "oracle": Oracle(),
        "induction": induction,
        "shuffled": Shuffled(induction),
        "lookup": Explained("lookup", lambda store, usage: Lookup()),
        "toptoken": Explained("toptoken", lambda store, usage: TopToken()),
        "flatterer": Explained("flatterer", lambda store, usage: Flatterer()),
    }
    unknown = next((name for name in wanted if name not in simple and ":" not in name), None)
    if unknown:
        raise UserError(f"There is no contestant {unknown!r}: choose from {', '.join(simple)}, {contest.FORMS}.")
    return [simple[name] if name in simple else contest.entrant(name, judge, each, means) for name in wanted]


def imports(wanted: list[str], store: Path | None) -> list[Entrant]:
    """The imported labels that are named; where none are, all of the store's. Raises UserError for a name that is none.

    store: None without the suite import.
    """
    from dragoman.evals.benchmark.stores import PREFIX, importers
    from dragoman.store.errors import UserError

    asked = [name for name in wanted if name.startswith(PREFIX)]
    if store is None:
        if asked:
            raise UserError(f"{asked[0]} takes part in the suite import alone: say --suite import, and the store with --store.")
        return []
    there: dict[str, Entrant] = {one.name: one for one in importers(store)}
    unknown = next((name for name in asked if name not in there), None)
    if unknown:
        raise UserError(f"{store} holds no labels {unknown}: it has {', '.join(there) or 'no imported ones'}.")
    return [there[name] for name in asked] or list(there.values())


def portioned(scores: str, features: int | None, texts: int | None) -> Portion:
    """How much a judge reads. Raises UserError for a score that is none."""
    from dragoman.evals.benchmark.reading import SCORES, Portion
    from dragoman.store.errors import UserError

    wanted = names(scores)
    unknown = next((name for name in wanted if name not in SCORES), None)
    if unknown:
        raise UserError(f"A judge cannot read {unknown!r}: choose from {', '.join(SCORES)}.")
    return Portion(tuple(wanted), features, texts)


def tables(boards: list[Board]) -> Group:
    """The leaderboards for a terminal."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table

    from dragoman.evals.benchmark.page import NAMED, called

    from .output import figure

    found: list[Any] = []
    for board in boards:
        names = called([line.contestant for line in board.lines])
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        table.add_column(board.suite, overflow="fold")
        beside = [] if board.headline == "simulation.r" else ["simulation r"]
        for name in ("n", NAMED[board.headline], f"minus {names[board.reference]}", *beside, "seconds"):
            table.add_column(name, justify="right")
        for line in board.lines:
            pairing, simulation = line.against.get(board.headline), line.figures.get("simulation.r")
            quality = line.figures.get(board.headline)
            table.add_row(
                escape(names[line.contestant]),
                str(line.n),
                figure(quality) if quality else "-",
                figure(pairing.mean, "+.3f") if pairing else "",
                *((figure(simulation) if simulation else "-") for _ in beside),
                f"{line.cost['seconds']:.2f}",
            )
        found.append(table)
        found.append(f"Seeds {', '.join(map(str, board.seeds))}; means over features with 95 % intervals; seconds for a label.\n")
    return Group(*found)


def plain(board: Board) -> dict[str, Any]:
    """A leaderboard for scripts."""
    from dataclasses import asdict

    return asdict(board)


def _spent(results: list[Result]) -> dict[str, Any]:
    """What each contestant spent in all trials."""
    from dataclasses import fields

    from dragoman.evals.benchmark.entrants import Spent

    found: dict[str, Any] = {}
    for one in results:
        before = found.get(one.contestant, Spent())
        parts = {part.name: getattr(before, part.name) + getattr(one.spent, part.name) for part in fields(Spent)}
        found[one.contestant] = Spent(**parts)
    return found


def _reader(judge: str | None, budget: Budget, price: str | None, portion: Portion) -> Reads | None:
    if judge is None:
        return None
    from dragoman.evals.benchmark.reading import ModelReads
    from dragoman.evals.gateway.models import model_named
    from dragoman.evals.gateway.prices import price_from

    return ModelReads(judge, model_named(judge, price=price_from(price) if price else None), budget, portion)


def _flags(tokens: int | None, dollars: float | None, store: Path | None, more: Mapping[str, object]) -> list[str]:
    """What else a command needs to make the same entries."""
    found: list[str] = []
    asked = {"--budget-tokens-per-feature": tokens, "--budget-usd-per-feature": dollars, "--store": store, **more}
    for flag, value in asked.items():
        if value is not None:
            found += [flag, str(value)]
    return found
