"""A run's state on disk: one safetensors file, replaced in one move, so that there is always a whole one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dragoman.store.errors import UserError

FILE = "checkpoint.safetensors"
"""Its name in the output folder; it is deleted when training is done."""
PLAN = "training.json"
"""What a run is and whether it is done."""


class Checkpoint(NamedTuple):
    """What training goes on from."""

    facts: dict[str, Any]
    """Step, place in the stream, hash of the settings: whatever is JSON."""
    tensors: dict[str, Tensor]
    """Weights, optimizer state, memory."""


def write(folder: Path, checkpoint: Checkpoint) -> None:
    """Put a checkpoint in the place of the one before."""
    from safetensors.torch import save_file

    partial = folder / f"{FILE}.partial"
    tensors = {name: t.detach().cpu().contiguous() for name, t in checkpoint.tensors.items()}
    save_file(tensors, partial, metadata={"facts": json.dumps(checkpoint.facts)})
    partial.replace(folder / FILE)


def read(folder: Path, device: torch.device) -> Checkpoint | None:
    """The checkpoint in a folder, if there is one.

    Raises:
        UserError: it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    file = folder / FILE
    if not file.exists():
        return None
    try:
        with safe_open(file, "pt", device=str(device)) as stream:
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (it is no dict)
            return Checkpoint(json.loads(stream.metadata()["facts"]), tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file} is damaged ({error}): begin again with --fresh.") from None


def under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def write_json(file: Path, content: dict[str, Any]) -> None:
    """Write a file in one move."""
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1) + "\n")
    partial.replace(file)
