"""`dragoman judge compare`: do two judges say the same?"""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Json, Store

RUN = "Scoring run by a judge that reads words, or the beginning of its id."


def compare(
    store: Store,
    first: Annotated[str, typer.Argument(metavar="RUN", help=RUN, show_default=False)],
    second: Annotated[str, typer.Argument(metavar="RUN", help="Another one, of the same labels.", show_default=False)],
    json: Json = False,
) -> None:
    """Compare the judges of two scoring runs on the questions that both were asked.

    Correlations and Cohen's kappa are computed for each feature and averaged over features, which the intervals resample.

    [bold]Examples[/bold]

        dragoman judge compare S 3b55 91ce
    """
    from rich.table import Table

    from dragoman.evals.comparison import compare as compared
    from dragoman.store.features import Store as Opened

    from .output import as_json, console, figure

    with Opened.open(store) as opened:
        found = compared(opened, first, second)
    if json:
        as_json(
            {
                one.score: {
                    "features": one.features,
                    "questions": one.questions,
                    **{name: interval._asdict() for name, interval in one.agreement._asdict().items()},
                }
                for one in found
            }
        )
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("score", "features", "questions", "Pearson", "Spearman", "kappa", "same decision"):
        table.add_column(name, justify="left" if name == "score" else "right", no_wrap=True)
    for one in found:
        table.add_row(one.score, str(one.features), f"{one.questions:,}", *(figure(interval) for interval in one.agreement))
    table.caption = "Means over features with 95 % bootstrap intervals."
    table.caption_justify = "left"
    console().print(table)
