"""The Muon optimizer, for the weight matrices of the organism's blocks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

import torch
from torch import Tensor


class Muon(torch.optim.Optimizer):
    """Momentum whose update is replaced by the nearest matrix with equal singular values (Jordan et al. 2024).

    The organism learns in about two thirds of the tokens that AdamW takes. Matrices of the same shape are updated in one batch.
    """

    def __init__(self, parameters: Iterable[Tensor], rate: float, momentum: float = 0.95, decay: float = 0.05) -> None:
        super().__init__(parameters, {"lr": rate, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every matrix from its gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    by_shape[matrix.shape].append(matrix)
            for (rows, columns), matrices in by_shape.items():
                pushes = torch.stack([self._push(matrix, group["momentum"]) for matrix in matrices])
                scale = group["lr"] * max(1.0, rows / columns) ** 0.5
                for matrix, update in zip(matrices, equalise(pushes), strict=True):
                    matrix.mul_(1 - group["lr"] * group["decay"]).sub_(update, alpha=scale)

    def _push(self, matrix: Tensor, momentum: float) -> Tensor:
        """Nesterov momentum of the matrix's gradient."""
        assert matrix.grad is not None
        state = self.state[matrix]
        if not state:
            state["average"] = torch.zeros_like(matrix)
        average: Tensor = state["average"]
        average.mul_(momentum).add_(matrix.grad)
        return matrix.grad + momentum * average


def equalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Matrices [n, rows, columns] with their singular values pushed towards 1, roughly between 0.7 and 1.2.

    A quintic Newton-Schulz iteration in bfloat16; its coefficients are the published ones, chosen for speed over exactness.
    """
    x = matrices.bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    wide = x if x.shape[-2] <= x.shape[-1] else x.mT
    for _ in range(steps):
        gram = wide @ wide.mT
        wide = 3.4445 * wide + (2.0315 * gram @ gram - 4.775 * gram) @ wide
    out: Tensor = wide if x.shape[-2] <= x.shape[-1] else wide.mT
    return out.to(matrices.dtype)
