"""From what the user wrote to a dictionary that fits the subject."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

from dragoman.store.errors import UserError
from dragoman.tools.hooks import parse_hook_point
from dragoman.tools.subject import Subject

from .dictionary import Dictionary
from .directions import load_directions
from .neurons import load_neurons
from .saelens import load_saelens

HELP = (
    "a SAELens folder or hub id (also FOLDER@HOOK, and REPO//SUBFOLDER on the hub), neurons:mlp.LAYER, or "
    "directions:FILE@HOOK; NAME=SPEC gives it a name"
)
"""What a spec can be, for help texts."""


def load(spec: str, subject: Subject) -> Dictionary:
    """Load the dictionary a spec names and check that it fits the subject.

    Args:
        spec: `[NAME=]` followed by a SAELens folder or hub id, `neurons:mlp.2`, or `directions:FILE.safetensors@resid_post.2`.
        subject: the model it reads.

    Raises:
        UserError: the files are missing or corrupt, or the dictionary does not fit the model.
    """
    name, _, rest = spec.rpartition("=")
    if name and not re.fullmatch(r"[\w.-]+", name):
        name, rest = "", spec
    format_, colon, place = rest.partition(":")
    dictionary: Dictionary
    if colon and format_ == "neurons":
        dictionary = load_neurons(place, name or place, rest, subject)
    elif colon and format_ == "directions":
        dictionary = load_directions(place, name or _plain(Path(place.rpartition("@")[0]).stem), rest)
    else:
        path, at, hook = rest.rpartition("@")
        if not at:
            path, hook = rest, ""
        folder = _folder(path)
        dictionary = load_saelens(
            folder, name or _plain(folder.resolve().name), rest, subject.family.norm == "layer", hook or None
        )
    _check(dictionary, subject)
    dictionary.to(subject.device)
    return dictionary


def load_all(specs: Sequence[str], subject: Subject) -> list[Dictionary]:
    """Load several dictionaries, whose names must differ.

    Raises:
        UserError: none was given, two have one name, or one of them cannot be loaded.
    """
    if not specs:
        raise UserError(f"Give at least one dictionary: {HELP}.")
    dictionaries = [load(spec, subject) for spec in specs]
    names = [d.facts.name for d in dictionaries]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"Two dictionaries are called {name!r}: write NAME=SPEC to name them apart.")
    return dictionaries


def _check(dictionary: Dictionary, subject: Subject) -> None:
    facts = dictionary.facts
    width = subject.width(facts.hook_in)
    if dictionary.d_in != width:
        raise UserError(
            f"{facts.source} reads vectors of width {dictionary.d_in}, but {facts.hook_in} of {subject.name} has width "
            f"{width}: it belongs to another model or hook point."
        )
    subject.check(parse_hook_point(facts.hook_out))


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name) or "dictionary"


def _folder(path: str) -> Path:
    """The local folder, downloaded from the hub if it is a hub id."""
    folder = Path(path)
    if folder.is_dir():
        return folder
    repo, _, inside = path.partition("//")
    if folder.exists() or path.startswith((".", "/", "~")) or not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise UserError(f"There is no dictionary {path}: give {HELP}.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    prefix = f"{inside}/" if inside else ""
    patterns = [f"{prefix}cfg.json", f"{prefix}sae_weights.safetensors"]
    try:
        with contextlib.suppress(LocalEntryNotFoundError):
            return Path(snapshot_download(repo, allow_patterns=patterns, local_files_only=True)) / inside
        return Path(snapshot_download(repo, allow_patterns=patterns)) / inside
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(
            f"There is no folder {path}, and the hub gave no dictionary of that name ({type(error).__name__}): "
            "check the name and the connection, or give a folder."
        ) from None
