"""Changing tensors at hook points, in every family: the counterpart of `tools/watching.py`, which sees them.

What an edit returns takes the place of the tensor for everything downstream: a changed `resid_mid` reaches the residual stream as
well as the norm before the MLP, a changed `mlp_in` only the MLP. Edits of one pass are called in the order of the forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from dragoman.tools.hooks import HookPoint
from dragoman.tools.subject import Subject
from dragoman.tools.watching import normalized

Change = Callable[[Float[Tensor, "batch columns width"]], Float[Tensor, "batch columns width"]]
"""Given the tensor at a hook point, the tensor that takes its place; the same object where nothing changes."""

ORDER = ("resid_pre", "z", "attn_out", "resid_mid", "mlp_normalized", "mlp_in", "mlp_hidden", "mlp_out", "resid_post")
"""Kinds of hook points in the order in which a block computes them."""


def before(first: HookPoint, second: HookPoint) -> bool:
    """Whether `first` is computed before `second`, or is the same point."""
    return (first.layer, ORDER.index(first.kind)) <= (second.layer, ORDER.index(second.kind))


@contextmanager
def changed(subject: Subject, changes: Mapping[HookPoint, Change]) -> Iterator[None]:
    """Inside, forward passes of the subject are changed at these hook points."""
    handles: list[Any] = []
    try:
        for point in sorted(changes, key=lambda p: (p.layer, ORDER.index(p.kind))):
            handles += _install(subject, point, changes[point])
        yield
    finally:
        for handle in handles:
            handle.remove()


def _install(subject: Subject, point: HookPoint, change: Change) -> list[Any]:
    family, block = subject.family, subject.blocks[point.layer]
    match point.kind:
        case "resid_pre":
            return [_input(block, change)]
        case "resid_mid":
            return _middle(block, block.get_submodule(family.attention_added), change)
        case "resid_post":
            return [_output(block, change)]
        case "attn_out":
            return [_output(block.get_submodule(family.attention_added), change)]
        case "z":
            return [_input(block.get_submodule(family.attention_projection), change)]
        case "mlp_in":
            return [_input(block.get_submodule(family.mlp), change)]
        case "mlp_normalized":
            return [_scaled(block.get_submodule(family.mlp_norm or family.mlp), change, family.norm)]
        case "mlp_hidden":
            return [_input(block.get_submodule(family.mlp_projection), change)]
        case _:
            return [_output(block.get_submodule(family.mlp_added), change)]


def _input(module: nn.Module, change: Change) -> Any:
    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        if args:
            return (change(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": change(kwargs["hidden_states"])}

    return module.register_forward_pre_hook(hook, with_kwargs=True)


def _output(module: nn.Module, change: Change) -> Any:
    def hook(_: nn.Module, __: Any, output: Any) -> Any:
        return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    return module.register_forward_hook(hook)


def _middle(block: nn.Module, attention: nn.Module, change: Change) -> list[Any]:
    """resid_mid is no module's output: what attention adds is changed by as much."""
    held: list[Tensor] = []

    def remember(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        held[:] = [args[0] if args else kwargs["hidden_states"]]

    def on_added(added: Tensor) -> Tensor:
        middle = held[0] + added
        new = change(middle)
        return added if new is middle else added + (new - middle)

    return [block.register_forward_pre_hook(remember, with_kwargs=True), _output(attention, on_added)]


def _scaled(norm: nn.Module, change: Change, kind: str) -> Any:
    """mlp_normalized is what the norm computes before its weight: its output is changed by as much, times the weight."""

    def hook(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        bare = normalized(args[0], module, centred=kind == "layer")
        new = change(bare)
        if new is bare:
            return output
        weight: Any = module.weight
        weight = 1 + weight.float() if kind == "rms_plus_one" else weight.float()
        moved: Tensor = (new - bare) * weight
        return output + moved.to(output.dtype)

    return norm.register_forward_hook(hook)
