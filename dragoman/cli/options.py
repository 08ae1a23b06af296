"""Flags that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Store = Annotated[Path, typer.Argument(metavar="STORE", help="Folder of the store.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Seed = Annotated[int, typer.Option(help="Seed of everything that is drawn at random.", min=0)]
Workers = Annotated[int, typer.Option(help="Worker processes; 0 works in this process.", min=0, max=256)]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start anew instead of going on with the run of the same settings.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
Feature = Annotated[
    str, typer.Argument(metavar="FEATURE", help="DICT/INDEX, or INDEX where there is one dictionary.", show_default=False)
]
Model = Annotated[str | None, typer.Option(help="Where the store's model is now, if it has moved.", show_default=False)]
Dictionaries = Annotated[
    list[str] | None,
    typer.Option("--dictionary", help="NAME=SPEC: where a dictionary is now, if it has moved.", show_default=False),
]
Device = Annotated[str | None, typer.Option(help="cuda, mps or cpu. [default: the best there is]", show_default=False)]
Positions = Annotated[
    str,
    typer.Option(
        help="On which tokens: all, 3, -1 (the prompt's last), 0,2,5 or 2:5 (5 left out); BOS is not counted and never edited."
    ),
]
Chosen = Annotated[
    list[str] | None,
    typer.Option("--token", help="Report this token's logit as well (mind the space); may be repeated.", show_default=False),
]
PACKED = 10
"""Texts that a judge is asked about in one request where nobody says how many."""
TextsARequest = Annotated[
    int,
    typer.Option(
        help="Detection and fuzzing ask about so many texts at once, where the server tells log-probabilities.", min=1, max=26
    ),
]
