"""SHA-256 of files and tensors: what a store was made from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor


def files_hash(files: Iterable[Path]) -> str:
    """SHA-256 over the contents of files in the order given; their names do not count."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def tensors_hash(tensors: Mapping[str, Tensor | str]) -> str:
    """SHA-256 over named tensors (name, dtype, shape and bytes) and texts, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(name.encode() + b"\0")
        if isinstance(value, str):
            digest.update(value.encode())
        else:
            digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
