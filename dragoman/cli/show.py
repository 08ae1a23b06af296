"""`dragoman show`: one feature on a page of the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Json, Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, RenderableType
    from rich.text import Text

    from dragoman.evals.report.material import Material
    from dragoman.store.chats import Finding
    from dragoman.store.features import Store as Opened
    from dragoman.store.records import Example, Feature

BARS = " ▁▂▃▄▅▆▇█"


def show(
    store: Store,
    feature: Annotated[
        str, typer.Argument(metavar="FEATURE", help="DICT/INDEX, or INDEX where there is one dictionary.", show_default=False)
    ],
    examples: Annotated[int, typer.Option(help="Examples of each kind.", min=0, max=100)] = 4,
    trail: Annotated[
        bool, typer.Option("--trail", help="Instead: every step that an agent took on the way to the label, and what it cost.")
    ] = False,
    evidence: Annotated[bool, typer.Option("--evidence", help="With --trail: print the examples that it was shown.")] = False,
    run: Annotated[
        str | None,
        typer.Option(help="Scoring run; with --trail the labeling run. [default: the latest]", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Show one feature: statistics, highlighted examples, logit effects, neighbours, label, scores, controls, findings.

    Tokens are coloured by activation, firing tokens are bold, and an underline is what the label predicts.

    With --trail: the evidence, the hypotheses, what each of them said of every experiment before it was run, what came out, the
    verdicts, the choice, and the costs of every step.

    [bold]Examples[/bold]

        dragoman show S 88

        dragoman show S sae/88 --examples 10 --json

        dragoman show S 88 --trail --evidence
    """
    from dataclasses import asdict

    from rich.text import Text

    from dragoman.evals.report.highlight import readable
    from dragoman.evals.report.material import gather
    from dragoman.store.features import Store as Opened

    from .output import as_json, console

    with Opened.open(store) as opened:
        number = opened.id(feature)
        if trail:
            from .trail import show_trail

            show_trail(opened, number, run, evidence, json)
            return
        material = gather(opened, run, [number])
        known, found = opened.feature(number), findings(opened, number)
        if json:
            as_json({**_record(opened, known, material, examples), "findings": [asdict(one) for one in found]})
            return
        for part in page(opened, known, material, examples, console()):
            console().print(part)
        for one in found:
            doubt = f" (conjecture: {one.because})" if one.conjecture else ""
            console().print(Text("found in a chat  ", style="dim") + Text(readable(one.text + doubt)))
        if number in material.trails:
            console().print(
                f"\n{known.key} has a trail: --trail shows how an agent came to its label.", style="dim", markup=False
            )


def findings(store: Opened, feature: int) -> list[Finding]:
    """What chats found out about a feature and kept."""
    from contextlib import closing

    from dragoman.store.chats import Chats

    with closing(Chats(store.ledger.path)) as chats:
        return chats.findings(feature)


def page(store: Opened, feature: Feature, material: Material, examples: int, out: Console) -> list[RenderableType]:
    """The parts of the page, from top to bottom."""
    from rich.text import Text

    from dragoman.evals.report.highlight import readable

    stats = feature.stats
    label = material.labels.get(feature.id)
    parts: list[RenderableType] = [
        Text(f"{feature.key}", style="bold") + Text(f"  {readable(label.name) if label else 'no label'}", style="bold cyan")
    ]
    if label:
        parts.append(Text(readable(label.description)))
        if label.pattern:
            parts.append(Text(f"pattern  {readable(label.pattern)}", style="dim"))
    kinds = [stats.liveness, *(["dense"] if stats.dense else []), *(["sampled"] if stats.sampled else [])]
    parts.append(
        Text(
            f"{', '.join(kinds)}; active on {stats.density:.3%} of train tokens, "
            f"fires (above {stats.threshold:.3g}) on {stats.firing_density:.3%} and in {stats.firing_contexts} contexts; "
            f"max {stats.max:.3g}, mean {stats.mean:.3g}",
            style="dim",
        )
    )
    if stats.max > 0:
        parts.append(
            Text(
                f"0 {_bars(stats.histogram)} {stats.max:.3g}  histogram of {sum(stats.histogram)} activations, log height",
                style="dim",
            )
        )
    parts += _lists(store, feature, material)
    scores = material.scores.get(feature.id, ())
    if scores:
        parts += ["", _scores(scores)]
    return parts + _examples(store, feature, material, examples)


def _lists(store: Opened, feature: Feature, material: Material) -> list[RenderableType]:
    """Top tokens, logit effects and related features, a line each."""
    from rich.text import Text

    from dragoman.evals.report.highlight import readable

    names = {label.feature: label.name for label in store.ledger.labels()}
    lines = []
    for title, tokens in (
        ("top tokens", feature.stats.top_tokens),
        ("promotes", feature.promoted),
        ("suppresses", feature.suppressed),
    ):
        if tokens:
            lines.append((title, "  ".join(f"{token.token!r} {token.value:.2f}" for token in tokens[:8])))
    for title, related in (("near", feature.neighbours), ("together", feature.coactive)):
        if related:
            found = [(other.key, names.get(store.id(other.key), ""), other.value) for other in related[:5]]
            lines.append((title, "  ".join(f"{key} {name} ({value:.2f})" for key, name, value in found)))
    return [Text(f"{title:<11}", style="dim") + Text(readable(text)) for title, text in lines]


def _scores(scores: Sequence[Any]) -> RenderableType:
    from rich.table import Table

    from dragoman.evals.report.sections import score_rows

    table = Table(show_edge=False, pad_edge=False, box=None)
    for name in ("score on test", "n", "label", "token lookup", "shuffled"):
        table.add_column(name, justify="left" if name == "score on test" else "right", header_style="bold")
    for row in score_rows(scores):
        table.add_row(row.scorer, str(row.n), *(f"{c.value} {c.interval}".strip() for c in row.cells))
    return table


def _examples(store: Opened, feature: Feature, material: Material, number: int) -> list[RenderableType]:
    """Highlighted examples of every stratum on train, and the strongest on test."""
    from rich.text import Text

    from dragoman.evals.judges import judge_named
    from dragoman.evals.report.sections import SHOWN, predictions

    label = material.labels.get(feature.id)
    judge = judge_named("pattern", store) if label and number else None
    parts: list[RenderableType] = []
    for split, stratum, _, title in SHOWN:
        found = store.examples(feature.id, split, stratum, number) if number and feature.stats.max > 0 else []
        guesses = predictions(store, split, found, label, judge)
        if found:
            parts += ["", Text(title, style="bold")]
        parts += [
            Text("  ") + excerpted(e, feature.stats.max, None if guesses is None else guesses[at]) for at, e in enumerate(found)
        ]
    return parts


def excerpted(example: Example, largest: float, predicted: Sequence[float] | None) -> Text:
    """One example on one line: background by activation, bold where it fires, underlined where the label predicts it."""
    line = highlighted(example.context.strings, example.values, largest, example.threshold, predicted)
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def highlighted(
    strings: Sequence[str], values: Sequence[float], largest: float, threshold: float, predicted: Sequence[float] | None
) -> Text:
    """Tokens around the strongest one, coloured."""
    from rich.style import Style
    from rich.text import Text

    from dragoman.evals.report.highlight import excerpt, readable

    start, end = excerpt(strings, values, predicted)
    line = Text("… " if start else "")
    for at in range(start, end):
        share = min(1.0, values[at] / largest) if largest else 0.0
        style = Style(
            color="black" if share > 0.35 else None,
            bgcolor=f"rgb({255},{int(225 - 130 * share)},{int(170 - 150 * share)})" if share > 0.35 else None,
            bold=values[at] > threshold or None,
            underline=bool(predicted and predicted[at] > 0) or None,
        )
        if 0 < share <= 0.35:
            style += Style(color="yellow")
        line.append(readable(strings[at]), style)
    return line


def _bars(counts: Sequence[int]) -> str:
    from math import ceil, log1p

    tall = log1p(max(counts, default=1)) or 1.0
    return "".join(BARS[ceil(log1p(count) / tall * (len(BARS) - 1))] for count in counts)


def _record(store: Opened, feature: Feature, material: Material, number: int) -> dict[str, Any]:
    """Everything as plain values."""
    from dragoman.evals.report.sections import SHOWN

    label = material.labels.get(feature.id)
    found = {
        f"{split}.{stratum}": [e.model_dump(mode="json") for e in store.examples(feature.id, split, stratum, number)]
        for split, stratum, _, _ in SHOWN
        if number and feature.stats.max > 0
    }
    return {
        "feature": str(feature.key),
        **feature.model_dump(mode="json", exclude={"key"}),
        "label": label.model_dump(mode="json") if label else None,
        "scores": [score.model_dump(mode="json") for score in material.scores.get(feature.id, ())],
        "examples": found,
    }
