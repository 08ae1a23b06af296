"""Reading a dictionary's files: every damaged one is one clear sentence, and no pickle is ever executed."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dragoman.store.errors import UserError


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        UserError: it is missing, is not JSON, or holds something else.
    """
    try:
        found = json.loads(file.read_text())
    except FileNotFoundError:
        raise UserError(f"There is no {file}: copy the dictionary again, all of its files.") from None
    except (ValueError, OSError) as error:
        raise UserError(f"{file} cannot be read as JSON ({first_line(error)}): copy or download it again.") from None
    if not isinstance(found, dict):
        raise UserError(f"{file} must hold a JSON object; it holds a {type(found).__name__}.")
    return found


def read_yaml(file: Path) -> dict[str, Any]:
    """The mapping in a YAML file; plain data only.

    Raises:
        UserError: it cannot be read or holds something else.
    """
    import yaml

    try:
        found = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, ValueError, OSError) as error:
        raise UserError(f"{file} cannot be read as YAML ({first_line(error)}): copy or download it again.") from None
    if not isinstance(found, dict):
        raise UserError(f"{file} must hold a mapping; it holds a {type(found).__name__}.")
    return found


def read_safetensors(file: Path) -> dict[str, Tensor]:
    """The tensors in a safetensors file, mapped into memory: bytes are read when they are used.

    Raises:
        UserError: it is missing or corrupt.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except FileNotFoundError:
        raise UserError(f"There is no {file}: copy the dictionary again, all of its files.") from None
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{file} is corrupt ({first_line(error)}): copy or download it again.") from None


def read_pt(file: Path) -> dict[str, Any]:
    """The state dict in a .pt file: tensors and plain values only, anything else in the pickle is refused unread.

    Raises:
        UserError: it is missing, corrupt, or holds objects.
    """
    try:
        found = _load_pt(file)
    except FileNotFoundError:
        raise UserError(f"There is no {file}: copy the dictionary again, all of its files.") from None
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{file} holds more than tensors and plain values, or is damaged ({first_line(error)}); pickled objects are never "
            "executed: save its state dict instead."
        ) from None
    except Exception as error:  # torch raises many kinds for damaged files
        raise UserError(f"{file} is corrupt ({first_line(error)}): copy or download it again.") from None
    if not isinstance(found, dict):
        raise UserError(f"{file} must hold a state dict; it holds a {type(found).__name__}.")
    return found


def read_npz(file: Path) -> dict[str, Tensor]:
    """The arrays in an .npz file; object arrays, which are pickles, are refused.

    Raises:
        UserError: it is missing, corrupt, or holds objects.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    except FileNotFoundError:
        raise UserError(f"There is no {file}: copy the dictionary again, all of its files.") from None
    except (ValueError, OSError, EOFError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        reason = first_line(error)
        if "pickle" in reason:
            reason = "it holds pickled objects, which are never executed"
        raise UserError(f"{file} cannot be read ({reason}): copy or download it again.") from None


def tensors_of(raw: dict[str, Any], file: Path, *names: str) -> list[Tensor]:
    """The tensors of these names as float32.

    Raises:
        UserError: one is missing, or is not a tensor of numbers.
    """
    missing = [name for name in names if name not in raw]
    if missing:
        raise UserError(f"{file} lacks {', '.join(missing)}; it holds {', '.join(sorted(map(str, raw))[:12]) or 'nothing'}.")
    wrong = [name for name in names if not isinstance(raw[name], Tensor)]
    if wrong:
        raise UserError(f"{file}: {wrong[0]} must be a tensor; it is a {type(raw[wrong[0]]).__name__}.")
    return [as_float(raw[name]) for name in names]


def as_float(tensor: Tensor) -> Tensor:
    """The tensor as float32, not copied where it is that already, and without a gradient."""
    return tensor.detach().float()


def first_line(error: BaseException) -> str:
    """The first line of what an error says, at most 160 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def _load_pt(file: Path) -> Any:
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError as error:
        if "mmap" not in str(error):
            raise
        return torch.load(file, map_location="cpu", weights_only=True)  # written before torch 1.6, or not a zip file
