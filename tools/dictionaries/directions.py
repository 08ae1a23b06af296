"""Any matrix of probe or steering vectors as a dictionary, `directions:FILE@HOOK`.

FILE is .safetensors or .pt holding one matrix, or .npy; a row for each direction. The activation of a direction is the positive
part of the projection on the unit vector, with no bias taken off. Directions need not span anything, so decoding is not a
reconstruction.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from dragoman.store.errors import UserError
from dragoman.tools.fingerprint import files_hash
from dragoman.tools.hooks import parse_hook_point

from .dictionary import DictionaryFacts, SparseCodes, sparse


def load_directions(place: str, name: str, source: str) -> DirectionDictionary:
    """The matrix named by `place`, FILE@HOOK.

    Raises:
        UserError: the file is missing, corrupt, or holds no matrix with a row for each direction.
    """
    file_name, at, hook = place.rpartition("@")
    if not at:
        raise UserError(f"{source}: say where the directions live, as in {source}@resid_post.6.")
    point = parse_hook_point(hook)
    file = Path(file_name)
    matrix = _read(file)
    if matrix.ndim == 1:
        matrix = matrix[None]
    norms = matrix.norm(dim=-1, keepdim=True) if matrix.ndim == 2 else torch.zeros(1)
    if matrix.ndim != 2 or not matrix.numel() or not bool(torch.isfinite(matrix).all()) or not bool((norms > 0).all()):
        raise UserError(
            f"{file} must hold a matrix with one finite, non-zero row a direction; its shape is {tuple(matrix.shape)}."
        )
    facts = DictionaryFacts(
        name=name,
        source=source,
        format="directions",
        architecture="directions",
        hook_in=str(point),
        hook_out=str(point),
        weights_hash=files_hash([file]),
        reconstructs=False,
    )
    return DirectionDictionary(facts, matrix / norms)


class DirectionDictionary:
    """Unit vectors at one hook point."""

    def __init__(self, facts: DictionaryFacts, directions: Float[Tensor, "width d"]) -> None:
        self.facts, self._rows = facts, directions.contiguous()

    @property
    def width(self) -> int:
        """Number of directions."""
        return int(self._rows.shape[0])

    @property
    def d_in(self) -> int:
        """Length of each direction."""
        return int(self._rows.shape[1])

    @property
    def directions(self) -> Float[Tensor, "width d"]:
        """The unit vectors."""
        return self._rows

    def to(self, device: torch.device) -> None:
        """Move the weights."""
        self._rows = self._rows.to(device)

    def encode(self, x: Float[Tensor, "tokens d"]) -> Float[Tensor, "tokens width"]:
        """Positive part of the projections."""
        return torch.relu_(x.float() @ self._rows.T)

    def encode_sparse(self, x: Float[Tensor, "tokens d"]) -> SparseCodes:
        """The positive projections in coordinates."""
        return sparse(self.encode(x))

    def pre_activations(self, x: Float[Tensor, "tokens d"], features: Int[Tensor, " n"]) -> Float[Tensor, "tokens n"]:
        """The projections, negative ones included."""
        return x.float() @ self._rows[features].T

    def decode(self, codes: Float[Tensor, "tokens width"], x: Float[Tensor, "tokens d"]) -> Float[Tensor, "tokens d"]:
        """The sum of the directions, weighted."""
        return codes @ self._rows

    def target(self, y: Float[Tensor, "tokens d"]) -> Float[Tensor, "tokens d"]:
        """The vectors themselves; they are not reconstructed."""
        return y.float()


def _read(file: Path) -> Tensor:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not file.is_file():
        raise UserError(f"There is no file {file}.")
    try:
        match file.suffix:
            case ".safetensors":
                found: Any = load_file(file)
            case ".npy":
                found = torch.from_numpy(np.load(file, allow_pickle=False))
            case ".pt" | ".pth":
                found = torch.load(file, map_location="cpu", weights_only=True)
            case _:
                raise UserError(f"{file}: directions are read from .safetensors, .npy or .pt files.")
    except (SafetensorError, OSError, ValueError, RuntimeError, EOFError, TypeError, pickle.UnpicklingError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise UserError(f"{file} cannot be read ({reason}): copy or make it again.") from None
    if isinstance(found, dict):
        if len(found) != 1:
            raise UserError(f"{file} must hold exactly one matrix; it holds {len(found)} entries.")
        found = next(iter(found.values()))
    if not isinstance(found, Tensor):
        raise UserError(f"{file} must hold a tensor; it holds a {type(found).__name__}.")
    return found.float()
