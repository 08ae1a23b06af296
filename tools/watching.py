"""Seeing tensors at hook points, in every family, by plain torch hooks; `interventions/writing.py` changes them there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from .families import Family
from .hooks import HookPoint


def watch(family: Family, block: nn.Module, point: HookPoint, keep: Callable[[HookPoint, Tensor], None]) -> Any:
    """Call `keep` with the tensor at a hook point of this block whenever the block runs; a handle that ends it by `remove`."""

    def before(module: nn.Module) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            keep(point, args[0] if args else kwargs["hidden_states"])

        return module.register_forward_pre_hook(hook, with_kwargs=True)

    def after(module: nn.Module) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            keep(point, output[0] if isinstance(output, tuple) else output)

        return module.register_forward_hook(hook)

    def before_weight(module: nn.Module) -> Any:
        def hook(norm: nn.Module, args: tuple[Any, ...]) -> None:
            keep(point, normalized(args[0], norm, centred=family.norm == "layer"))

        return module.register_forward_pre_hook(hook)

    match point.kind:
        case "resid_pre":
            return before(block)
        case "resid_mid":
            return before(block.get_submodule(family.mlp_norm or family.mlp))
        case "resid_post":
            return after(block)
        case "attn_out":
            return after(block.get_submodule(family.attention_added))
        case "z":
            return before(block.get_submodule(family.attention_projection))
        case "mlp_in":
            return before(block.get_submodule(family.mlp))
        case "mlp_normalized":
            return before_weight(block.get_submodule(family.mlp_norm or family.mlp))
        case "mlp_hidden":
            return before(block.get_submodule(family.mlp_projection))
        case _:
            return after(block.get_submodule(family.mlp_added))


def normalized(x: Float[Tensor, "... d"], norm: nn.Module, centred: bool) -> Float[Tensor, "... d"]:
    """What the norm computes before it multiplies by its weight."""
    epsilon = next(float(getattr(norm, name)) for name in ("variance_epsilon", "eps") if hasattr(norm, name))
    x = x.float()
    if centred:
        x = x - x.mean(-1, keepdim=True)
    return x / (x.pow(2).mean(-1, keepdim=True) + epsilon).sqrt()
