"""Folders on this machine for what the user named: a folder, a file, or `REPO[//INSIDE]` on the Hugging Face hub."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from dragoman.store.errors import UserError


def fetched(place: str) -> Path:
    """The local folder or file, downloaded from the hub if it is a hub id.

    Raises:
        UserError: there is nothing there, or the hub cannot be reached.
    """
    folder = Path(place)
    if folder.exists():
        return folder
    repo, _, inside = place.partition("//")
    if place.startswith((".", "/", "~")) or not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise UserError(
            f"There is no dictionary {place}: give a folder or file, or a hub id REPO//SUBFOLDER, for example "
            "jbloom/GPT2-Small-SAEs-Reformatted//blocks.8.hook_resid_pre."
        )
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
            f"There is no folder {place}, and the hub gave no dictionary of that name ({type(error).__name__}): "
            "check the name and the connection, or give a folder."
        ) from None
