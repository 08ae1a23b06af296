"""Linear layers through oneDNN with weights packed beforehand, for float32 on CPUs.

torch sends float32 matrix products on x86 to MKL, which on AMD processors runs at less than half of oneDNN's speed (88 against
210 GFLOP/s on a core of the machine that this was written on). Only the order of the sums differs. Where oneDNN, float32 or
the CPU is missing, everything stays as it is. Packed weights are copies, so large models are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

_MOST_BYTES = 1 << 30
"""Models with more than this in their linear layers are not packed."""


class PackedLinear:
    """x W^T + b with W packed for oneDNN."""

    def __init__(self, weight: Float[Tensor, "outputs inputs"], bias: Float[Tensor, " outputs"] | None) -> None:
        self._weight: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), None)
        self._bias = bias

    def __call__(self, x: Float[Tensor, "... inputs"]) -> Float[Tensor, "... outputs"]:
        """The product."""
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, "none", [], "")
        return out


def can_pack(weight: Tensor) -> bool:
    """Whether PackedLinear works for this weight here."""
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


class PackedModules:
    """The linear layers of some modules, run through oneDNN inside `active()` and untouched outside."""

    def __init__(self, modules: nn.Module) -> None:
        self._modules = [m for m in modules.modules() if _weight(m) is not None]
        weights = [w for w in map(_weight, self._modules) if w is not None]
        if not all(can_pack(w) for w in weights) or sum(w.nbytes for w in weights) > _MOST_BYTES:
            self._modules = []
        self._packed: dict[nn.Module, tuple[tuple[int, int], Callable[[Tensor], Tensor]]] = {}
        self._inside = False

    @contextmanager
    def active(self) -> Iterator[None]:
        """Replace the layers' forward methods; weights changed since the last time are packed again. May be nested."""
        if self._inside:
            yield
            return
        try:
            self._inside = True
            for module in self._modules:
                module.forward = self._forward(module)  # type: ignore[method-assign]
            yield
        finally:
            self._inside = False
            for module in self._modules:
                module.__dict__.pop("forward", None)

    def _forward(self, module: nn.Module) -> Callable[[Tensor], Tensor]:
        weight = _weight(module)
        assert weight is not None
        version = (weight.data_ptr(), 0 if weight.is_inference() else weight._version)
        held = self._packed.get(module)
        if held is None or held[0] != version:
            bias: Any = module.bias
            held = self._packed[module] = (version, PackedLinear(weight, bias))
        return held[1]


def _weight(module: nn.Module) -> Tensor | None:
    """Weight of a linear layer as (outputs, inputs); GPT-2's Conv1D holds it the other way round."""
    if type(module) is nn.Linear:
        return module.weight
    if type(module).__name__ == "Conv1D":
        weight: Any = module.weight
        return weight.T if isinstance(weight, Tensor) else None
    return None
