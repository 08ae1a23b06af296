"""Folders on this machine for what the user named: a folder, a file, or `REPO[//INSIDE]` on the Hugging Face hub.

On the hub the format is recognised from the list of files, and only the files that it needs are downloaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from dragoman.store.errors import UserError

from .circuit_tracer import files_of_layer
from .formats import looked_for, names_in, recognise


def fetched(place: str) -> Path:
    """The local folder or file, downloaded from the hub if it is a hub id.

    Raises:
        UserError: there is nothing there, or the hub cannot be reached.
    """
    path = Path(place)
    if path.exists():
        return path
    repo, _, inside = place.partition("//")
    if place.startswith((".", "/", "~")) or not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise UserError(
            f"There is no dictionary {place}: give a folder, a file, or a hub id as REPO//SUBFOLDER, for example "
            "google/gemma-scope-2b-pt-res//layer_12/width_16k/average_l0_82."
        )
    inside = inside.strip("/")
    cached = _cached(repo, inside)
    if cached is not None and _one_dictionary(cached):
        return cached
    try:
        files = _listed(repo)
    except Exception as error:  # the hub's client raises errors of several HTTP libraries
        if cached is not None:
            return cached
        raise _unreachable(place, error) from None
    folder, wanted = _wanted(place, inside, files)
    prefix = f"{folder}/" if folder else ""
    from huggingface_hub import snapshot_download

    try:
        root = Path(snapshot_download(repo, allow_patterns=[_normal(prefix + name) for name in wanted]))
    except Exception as error:  # as above
        raise _unreachable(place, error) from None
    return root / inside


def _wanted(place: str, inside: str, files: Iterable[str]) -> tuple[str, list[str]]:
    """The folder in the repository, and which of its files are needed."""
    files = list(files)
    folder, only = (str(PurePosixPath(inside).parent), inside) if inside in files else (inside, "")
    folder = "" if folder == "." else folder
    prefix = f"{folder}/" if folder else ""
    names = [f.removeprefix(prefix) for f in files if f.startswith(prefix)]
    parent = prefix.rstrip("/").rpartition("/")[0]
    above = f"{parent}/config.json" if parent else "config.json"
    names += ["../config.json"] if folder and above in files else []
    found = recognise([only.removeprefix(prefix)] if only else names)
    if found is None:
        inner = sorted({f.rpartition("/")[0] for f in names if recognise([f.rpartition("/")[2]])})
        hint = f" Folders in it that do: {', '.join(inner[:6])}." if inner else ""
        raise UserError(f"{place} holds no dictionary of a known format.{hint} {looked_for()}")
    needed, file = found.needs(frozenset(names)), only.removeprefix(prefix)
    if only and found.name == "openai":
        needed = [file]
    elif only and found.name == "circuit_tracer":
        needed = files_of_layer(needed, file)
    return folder, needed


def _cached(repo: str, inside: str) -> Path | None:
    """What an earlier download left, if there is anything at that place."""
    from huggingface_hub import snapshot_download

    try:
        path = Path(snapshot_download(repo, local_files_only=True)) / inside
    except Exception:  # nothing was ever downloaded, or the cache is unreadable
        return None
    return path if path.exists() and (path.is_file() or recognise(names_in(path))) else None


def _one_dictionary(path: Path) -> bool:
    """Whether it is complete for sure: a format with fixed files. Of layers, some could be missing."""
    if path.is_file():
        return not path.name.startswith(("layer_", "W_"))
    found = recognise(names_in(path))
    return (
        found is not None
        and found.name != "circuit_tracer"
        and len(found.needs(names_in(path))) >= (1 if found.name in ("gemma_scope", "openai") else 2)
    )


def _listed(repo: str) -> list[str]:
    from huggingface_hub import HfApi

    return HfApi().list_repo_files(repo)


def _normal(name: str) -> str:
    """The path with `x/../` taken out."""
    return re.sub(r"[^/]+/\.\./", "", name)


def _unreachable(place: str, error: Exception) -> UserError:
    return UserError(
        f"There is no folder {place}, and the hub gave no dictionary of that name ({type(error).__name__}): "
        "check the name and the connection, or give a folder."
    )
