"""Finding and loading a model's files, on the device and in the dtype that suit the machine."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import torch

from dragoman.store.errors import UserError

from .families import family_of

_SMALL = 4_000_000_000
"""On CUDA, models whose files hold at most so many bytes run in float32, larger ones in the dtype of their files."""


def locate(name: str) -> Path:
    """The folder of the model's files, downloaded if it is a hub id."""
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"{name} holds no config.json: give a folder written by `save_pretrained`, or a hub id.")
        return folder
    if folder.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UserError(f"There is no model folder {name}.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = ["*.json", "*.safetensors", "tokenizer*", "*.model"]
    try:
        with contextlib.suppress(LocalEntryNotFoundError):
            return Path(snapshot_download(name, allow_patterns=patterns, local_files_only=True))
        return Path(snapshot_download(name, allow_patterns=patterns))
    except GatedRepoError:
        raise UserError(f"{name} is gated on the hub: accept its terms there and set HF_TOKEN.") from None
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(
            f"There is no folder {name}, and the hub gave no model of that name ({type(error).__name__}): "
            "check the name and the connection, or give a folder."
        ) from None


def load_model(name: str, folder: Path, device: torch.device, dtype: torch.dtype | None) -> tuple[Any, Any]:
    """The causal LM, on its device, and its tokenizer."""
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        config = AutoConfig.from_pretrained(folder)
        family_of(config.model_type)
        weight_files(folder)
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype or _default_dtype(folder, device), use_safetensors=True
        )
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(
            f"The model in {name} cannot be loaded ({_first_line(error)}): check or download its files again."
        ) from None
    return model.to(device), tokenizer


def _default_dtype(folder: Path, device: torch.device) -> torch.dtype | str:
    """float32, except on CUDA for models too big for it."""
    size = sum(f.stat().st_size for f in weight_files(folder))
    return "auto" if device.type == "cuda" and size > _SMALL else torch.float32


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model; raises `UserError` if there are none."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UserError(f"{folder} holds no *.safetensors file: save the model with `save_pretrained` first.")
    return files


def choose_device(device: str | None) -> torch.device:
    """The device asked for, else the best there is; raises `UserError` if it cannot be used."""
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise UserError(f"Device {device!r} cannot be used here ({_first_line(error)}): try --device cpu.") from None
    return chosen


def choose_dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    """The dtype asked for, None if none was; raises `UserError` for a name that is none."""
    if isinstance(dtype, str):
        chosen = getattr(torch, dtype, None)
        if not isinstance(chosen, torch.dtype) or not chosen.is_floating_point:
            raise UserError(f"Unknown dtype {dtype!r}: use float32, bfloat16 or float16.")
        return chosen
    return dtype


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]
