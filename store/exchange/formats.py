"""The formats by name, and which one some files are of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from dragoman.store.errors import UserError

from . import delphi, neuronpedia, saedashboard, tables, uploads
from .cards import Card
from .parsing import opened, unreadable

READERS: dict[str, Callable[[Path], Iterator[Card]]] = {
    neuronpedia.NAME: neuronpedia.read,
    uploads.NAME: uploads.read,
    saedashboard.NAME: saedashboard.read,
    delphi.NAME: delphi.read,
    **dict.fromkeys(tables.FORMATS, tables.read),
}
"""Every format with what reads it."""
SAYINGS: dict[str, Callable[[Path], Iterator[Card]]] = {**READERS, neuronpedia.NAME: partial(neuronpedia.read, examples=False)}
"""The same for labels and scores alone: examples that have files of their own are passed over."""
FORMATS = tuple(READERS)
_PEEK = 1 << 16


def checked(name: str) -> str:
    """The name of a format. Raises `UserError` for another one."""
    if name not in READERS:
        raise UserError(f"There is no format {name!r}: the formats are {', '.join(FORMATS)}.")
    return name


def recognised(path: Path) -> str:
    """The format of a file or folder, from what is in it. Raises `UserError` when it is none that is known."""
    if not path.exists():
        raise UserError(f"There is nothing at {path}: check the path.")
    found = _of_folder(path) if path.is_dir() else _of_file(path)
    if found is None:
        raise UserError(f"The format of {path} is not recognised: say which it is with --format, one of {', '.join(FORMATS)}.")
    return found


def _of_folder(path: Path) -> str | None:
    if any(path.glob("*_latent*.txt")) or any((path / "explanations").glob("*_latent*.txt")) or _is_scored(path):
        return delphi.NAME
    for form in tables.FORMATS:
        if (path / f"labels.{form}").is_file():
            return form
    here = saedashboard.files(path)
    if here:
        return _of_file(here[0])
    places = (f"{above}{part}/batch-*.jsonl*" for above in ("", "*/", "*/*/") for part in neuronpedia.PARTS)
    return neuronpedia.NAME if any(any(path.glob(place)) for place in places) else None


def _is_scored(path: Path) -> bool:
    return any(delphi.latent_files(path / "scores", "*/"))


def _of_file(path: Path) -> str | None:
    if path.suffix in (".csv", ".parquet"):
        return path.suffix[1:]
    if path.suffix == ".txt":
        return delphi.NAME
    if ".jsonl" in path.suffixes:
        return neuronpedia.NAME
    try:
        with opened(path) as file:
            beginning = file.read(_PEEK)
    except (OSError, EOFError) as error:
        raise unreadable(str(path), type(error).__name__) from None
    if b'"sae_set"' in beginning or b'"model_id"' in beginning:
        return saedashboard.NAME
    if b'"modelId"' in beginning:
        return neuronpedia.NAME if beginning.lstrip()[:1] == b"[" or b'"description"' in beginning else uploads.NAME
    return None
