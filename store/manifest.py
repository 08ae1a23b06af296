"""The names of the files in a store, and the manifest, which is written last: a folder without one is not a store yet."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .disk import write_atomically
from .errors import UserError
from .locking import is_locked
from .records import DictionaryInfo, Record, SubjectInfo

FORMAT = 1
"""Version of the store's layout; a store of another one is refused."""
MANIFEST = "manifest.json"
FEATURES = "features.duckdb"
LEDGER = "ledger.sqlite"
BUILD = "build"
PLAN = "plan.json"


class Manifest(Record):
    """What a store was made from."""

    format: int = FORMAT
    """Version of the store's layout."""
    made_by: str
    """Version of Dragoman that sealed it."""
    subject: SubjectInfo
    """The language model."""
    dictionaries: tuple[DictionaryInfo, ...]
    """The dictionaries, in the order of their features."""
    plan: dict[str, Any]
    """The resolved configuration of the harvest: corpus with its hash, window, separator, limits."""
    documents: dict[str, int]
    """Documents a split."""
    contexts: dict[str, int]
    """Windows a split."""
    tokens: dict[str, int]
    """Stored tokens a split."""
    activations: int
    """Stored non-zero activations."""
    activations_seen: int
    """Non-zero activations of the whole corpus; more than `activations` in a sampled store."""
    max_per_feature: int | None
    """At most about so many activations a feature are stored; None for all of them."""
    coactivation_tokens: int
    """Train tokens that co-activation was counted on, a fixed sample."""


def read_manifest(folder: Path | str) -> Manifest:
    """The manifest of a finished store.

    Raises `UserError` when the folder is missing, is no store, is being written, is unfinished, or is of another version.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not folder.is_dir():
        raise UserError(f"There is no store at {folder}: check the path, or make one with `dragoman harvest --store {folder}`.")
    if not path.exists():
        raise UserError(_why_unfinished(folder))
    try:
        data = json.loads(path.read_text("utf-8"))
        version = data["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged: harvest the store again.") from error
    if version != FORMAT:
        raise UserError(
            f"The store {folder} was made by Dragoman {data.get('made_by', 'of an unknown version')} in store format {version}, "
            f"and this one reads format {FORMAT}: use that version of Dragoman, or harvest the store again."
        )
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{path} is damaged: harvest the store again.") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest whole or not at all."""
    write_atomically(folder / MANIFEST, (manifest.model_dump_json(indent=2) + "\n").encode())


def version() -> str:
    """Version of this Dragoman."""
    try:
        return metadata.version("dragoman")
    except metadata.PackageNotFoundError:
        return "unknown"


def _why_unfinished(folder: Path) -> str:
    build = folder / BUILD
    if is_locked(folder):
        return f"The store {folder} is being written by another process: wait until its harvest has ended."
    if not build.is_dir():
        make = f"make one with `dragoman harvest --store {folder}`"
        return f"{folder} is not a store (it has no {MANIFEST}): check the path, or {make}."
    try:
        command = json.loads((build / PLAN).read_text("utf-8"))["command"]
    except (OSError, ValueError, KeyError, TypeError):
        command = f"dragoman harvest … --store {folder}"
    return f"The harvest of {folder} is not finished: run the same command again to go on where it stopped: {command}"
