"""The file formats, and recognising which one a folder or file is in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dragoman.store.errors import UserError

from . import saelens
from .dictionary import Dictionary
from .request import Request


@dataclass(frozen=True)
class Format:
    """A file format."""

    name: str
    """As in `DictionaryFacts.format`."""
    looks_for: str
    """The files it is recognised by, for people."""
    markers: Callable[[frozenset[str]], bool]
    """Whether a folder with files of these names (relative paths) is in this format."""
    needs: Callable[[frozenset[str]], list[str]]
    """Which of the files are needed."""
    load: Callable[[Request], Sequence[Dictionary]]
    """Reads it; one or several dictionaries."""


def _exactly(*names: str) -> Callable[[frozenset[str]], list[str]]:
    return lambda files: [name for name in names if name in files]


FORMATS = (
    Format(
        "saelens",
        "cfg.json and sae_weights.safetensors",
        lambda files: saelens.WEIGHTS in files or ("cfg.json" in files and "sae.safetensors" not in files),
        _exactly(saelens.CONFIG, saelens.WEIGHTS),
        lambda request: [saelens.load_saelens(request)],
    ),
)
"""All formats, in the order in which they are tried."""


def recognise(names: frozenset[str]) -> Format | None:
    """The format of a folder with files of these names."""
    return next((f for f in FORMATS if f.markers(names)), None)


def looked_for() -> str:
    """What the formats are recognised by, for messages."""
    return "; ".join(f"{f.name}: {f.looks_for}" for f in FORMATS)


def names_in(folder: Path) -> frozenset[str]:
    """Names of the files in a folder and one level below, as relative paths."""
    try:
        files = [f for f in folder.iterdir() if f.is_file()]
        below = [f for d in folder.iterdir() if d.is_dir() for f in d.iterdir() if f.is_file()]
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}).") from None
    return frozenset(str(f.relative_to(folder)) for f in [*files, *below])
