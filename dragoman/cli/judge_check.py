"""`dragoman judge check`: is a model fit to judge?"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import PACKED, Json, Quiet, Seed, TextsARequest

if TYPE_CHECKING:
    from rich.table import Table

    from dragoman.evals.judge.check.findings import Findings
    from dragoman.evals.judge.check.traffic import Counted


def check(
    model: Annotated[
        str,
        typer.Argument(
            metavar="URL|SPEC",
            help="Address of a vLLM server, or vllm:URL#MODEL, openai:MODEL, openai:URL#MODEL, anthropic:MODEL.",
            show_default=False,
        ),
    ],
    claims: Annotated[int, typer.Option(help="Claims to ask about, half of them about single words.", min=2, max=100)] = 16,
    texts: Annotated[int, typer.Option(help="Texts of which a claim is true, and as many of which it is false.", min=4)] = 6,
    texts_a_request: TextsARequest = PACKED,
    budget_tokens: Annotated[int | None, typer.Option(help="Stop at so many tokens of prompts and replies.", min=1)] = None,
    budget_dollars: Annotated[float | None, typer.Option(help="Stop at so many US dollars.", min=0)] = None,
    patience: Annotated[float, typer.Option(help="Seconds that the server may stay away.", min=0)] = 60.0,
    seed: Seed = 0,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Ask a judge about explanations that are known to be true or false.

    The texts are the organism's, where it is known which token expresses what. Printed are how well true claims are told from
    false ones, one by one and several texts a request, calibration, position and length bias, answers that could not be read,
    and what it all cost.

    [bold]Examples[/bold]

        dragoman judge check http://127.0.0.1:8000/v1

        dragoman judge check openai:gpt-5-mini --claims 6 --json | jq .verdict
    """
    from dragoman.evals.gateway.budget import Budget

    from .output import as_json, console

    spec = f"vllm:{model}" if model.startswith(("http://", "https://")) else model
    found, traffic = asyncio.run(
        _ask(spec, claims, texts, texts_a_request, seed, Budget(budget_tokens, budget_dollars), patience, quiet)
    )
    if json:
        as_json({**_plain(found), "verdict": found.verdict, "traffic": traffic.totals()})
        return
    out = console()
    for table in _tables(found):
        out.print(table)
        out.print()
    rate = traffic.calls / traffic.seconds if traffic.seconds else float("nan")
    out.print(
        f"{traffic.calls:,} calls in {traffic.seconds:.1f} s ({rate:.1f} a second); prompt tokens {traffic.prompt_tokens:,}, "
        f"{traffic.cached_tokens:,} of them from the server's cache; tokens written {traffic.completion_tokens:,}; "
        + ("price not known." if traffic.cost is None else f"${traffic.cost:.4f}.")
    )
    if found.unreadable:
        out.print(found.unreadable, markup=False)
    out.print(found.verdict, markup=False, style="bold")


async def _ask(
    spec: str, claims: int, texts: int, together: int, seed: int, budget: Any, patience: float, quiet: bool
) -> tuple[Findings, Counted]:
    """Check the server, and ask everything; calls are kept in a ledger of their own, which is thrown away."""
    from dragoman.evals.gateway.gateway import Gateway
    from dragoman.evals.gateway.models import model_named
    from dragoman.evals.judge.check.material import known_claims
    from dragoman.evals.judge.check.run import check as ask
    from dragoman.evals.judge.check.traffic import Counted
    from dragoman.evals.judge.model import ModelReader
    from dragoman.evals.progress import Progress
    from dragoman.store.ledger import Ledger

    from .errors import say

    model = model_named(spec)
    await model.check()
    known = known_claims(claims, texts, seed)
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.sqlite")
        async with Gateway(ledger, "check", seed, budget, patience=patience, say=say) as gateway:
            counted = Counted(gateway)
            with Progress("check", len(known), 0, not quiet) as bar:
                packing = ModelReader(counted, model, texts=together) if together > 1 and model.capabilities.logprobs else None
                found = await ask(ModelReader(counted, model), known, seed, lambda done: bar.advance(""), packing)
        ledger.close()
    return found, counted


def _plain(found: Findings) -> dict[str, Any]:
    """The findings for scripts."""
    from dataclasses import asdict

    whole = asdict(found)
    for name in ("fuzzing", "simulation", "length", "written"):
        whole[name] = getattr(found, name)._asdict()
    whole["detection"] = {kind: interval._asdict() for kind, interval in found.detection.items()}
    whole["calibration"] = {**found.calibration._asdict(), "bins": [one._asdict() for one in found.calibration.bins]}
    if found.packs:
        named = {name: getattr(found.packs, name)._asdict() for name in ("detection", "fuzzing", "place")}
        whole["packs"] = {**named, "alone": found.packs.alone}
    whole["position"] = {
        "shares": found.position.shares,
        "spread": found.position.spread,
        "accuracy": found.position.accuracy._asdict(),
    }
    return whole


def _tables(found: Findings) -> list[Table]:
    """The findings for people."""
    from rich.markup import escape
    from rich.table import Table

    from .output import figure

    def table(*columns: str) -> Table:
        made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for i, name in enumerate(columns):
            made.add_column(name, justify="right" if i else "left")
        return made

    tells = table(escape(found.judge), "n", "value")
    kinds = {"all": "detection, AUROC", "word": "  claims that name a word", "concept": "  claims that describe a concept"}
    for kind, name in kinds.items():
        tells.add_row(name, str(found.detection[kind].n), figure(found.detection[kind]))
    tells.add_row("fuzzing, AUROC", str(found.fuzzing.n), figure(found.fuzzing))
    tells.add_row("simulation, correlation", str(found.simulation.n), figure(found.simulation))
    tells.add_row("choice of one in four, right", str(found.position.accuracy.n), figure(found.position.accuracy))
    tells.add_row("texts written with the word asked for", str(found.written.n), figure(found.written))
    tells.add_row("Brier score (0.25: says nothing)", str(found.calibration.n), f"{found.calibration.brier:.3f}")
    shares = " ".join(f"{share:.2f}" for share in found.position.shares) or "-"
    tells.add_row("position bias: mean share of each place", "", shares)
    tells.add_row("length bias: yes to a false claim made long", str(found.length.n), figure(found.length, "+.3f"))
    tells.add_row("read from", "", ", ".join(f"{way} {count}" for way, count in found.ways.items()) or "-")
    if found.packs:
        tells.add_row("several texts a request: detection, AUROC", str(found.packs.detection.n), figure(found.packs.detection))
        tells.add_row("  fuzzing, AUROC", str(found.packs.fuzzing.n), figure(found.packs.fuzzing))
        tells.add_row(
            "  bias: yes late in a request rather than early", str(found.packs.place.n), figure(found.packs.place, "+.3f")
        )
        tells.add_row("  texts that had to be asked about alone", "", str(found.packs.alone))
    sure = table("probability said", "n", "mean said", "came true")
    for one in found.calibration.bins:
        if one.n:
            span = f"\\[{one.interval[0]:.2f}, {one.interval[1]:.2f}]"
            sure.add_row(f"{one.low:.1f} to {one.high:.1f}", str(one.n), f"{one.predicted:.2f}", f"{one.observed:.2f} {span}")
    return [tells, sure]
