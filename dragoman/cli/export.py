"""`dragoman export`: labels, scores, figures and examples in other tools' formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .features import HELP
from .options import Json, Store

FORMATS = "neuronpedia, neuronpedia-upload, saedashboard, delphi, parquet or csv."


def export(
    store: Store,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to make; it must not be there yet.", show_default=False)],
    format: Annotated[str, typer.Option("--format", help=FORMATS, show_default=False)],
    dictionary: Annotated[
        str | None,
        typer.Option(help="Whose features. [default: the only one; parquet and csv: all]", show_default=False),
    ] = None,
    features: Annotated[str, typer.Option(help=HELP)] = "all",
    labels: Annotated[
        list[str] | None,
        typer.Option(
            help="Labeling run whose labels go along; may be repeated; all for all. [default: the latest]", show_default=False
        ),
    ] = None,
    examples: Annotated[
        int, typer.Option(help="Strongest train windows a feature; a fifth as many from each of five intervals.", min=0, max=1000)
    ] = 10,
    parts: Annotated[
        str | None,
        typer.Option(
            help="Only these: of delphi explanations,scores,latents; of parquet and csv labels,scores,features,examples.",
            show_default=False,
        ),
    ] = None,
    model_id: Annotated[
        str | None, typer.Option(help="What the files shall call the model, for example gpt2-small.", show_default=False)
    ] = None,
    source_id: Annotated[
        str | None,
        typer.Option(
            help="What they shall call the dictionary, for example 6-res-jb; delphi: the hook point.", show_default=False
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Write what a store knows as files that other tools read.

    Examples and cached latents are train text alone. Only delphi's scores hold test texts, with their truth: that is what the
    format is. What a format has no place for is said. OUT appears when all of it is written. See docs/exchange.md.

    [bold]Examples[/bold]

        dragoman export S ./out --format neuronpedia --model-id gpt2-small --source-id 6-res-jb

        dragoman export S ./tables --format csv --parts labels,scores

        dragoman export S ./results --format delphi --labels 3f2a --json
    """
    from dataclasses import asdict

    from dragoman.store.errors import UserError
    from dragoman.store.exchange.exporting import Wish
    from dragoman.store.exchange.exporting import export as exporting
    from dragoman.store.features import Store as Opened
    from dragoman.tools.hooks import parse_hook_point

    from .features import select
    from .output import as_json, console

    with Opened.open(store) as opened:
        runs = None if labels is None else () if labels == ["all"] else tuple(labels)
        ids = select(opened, features)
        split = tuple(part.strip() for part in parts.split(",")) if parts else None
        wish = Wish(format, dictionary, None if ids is None else tuple(ids), runs, examples, split, model_id, source_id)
        info = next((info for info in opened.dictionaries if info.name == dictionary), opened.dictionaries[0])
        try:
            hook = parse_hook_point(info.hook_in).lens_name
        except UserError:
            hook = info.hook_in
        done = exporting(opened, out, wish, hook)
    if json:
        as_json({"out": str(out), "format": format, **asdict(done.count), "splits": done.splits, "lost": done.lost})
        return
    count = done.count
    said = [f"{n:,} {name}" for name, n in (("features", count.features), ("labels", count.labels), ("scores", count.scores))]
    texts = "; ".join(f"{what}: {' and '.join(splits)} text" for what, splits in done.splits.items())
    console().print(f"{', '.join(said)} and {count.examples:,} examples in {count.files:,} files.", markup=False)
    console().print(f"Splits that went out: {texts or 'no text'}.", markup=False)
    console().print(f"Not carried: {'; '.join(done.lost)}.", markup=False)
