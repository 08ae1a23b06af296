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
