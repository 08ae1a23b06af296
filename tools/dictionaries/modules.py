"""Hook points for module paths of Hugging Face models, such as `layers.3.mlp` or `model.layers.5.self_attn.o_proj.input`.

Which module's output is added to the residual stream depends on the family (families.py): in Gemma 2, Gemma 3 and OLMo 2 a norm
stands between the MLP or the attention and the residual stream, and the module's own output is no hook point here.
"""

from __future__ import annotations

import re
from typing import Literal

from dragoman.store.errors import UserError
from dragoman.tools.families import Family

Side = Literal["input", "output"]
_BLOCK = re.compile(r"(?:.*\.)?(?:layers|h)\.(\d+)(?:\.(.+))?")
_ATTENTION = ("attn", "self_attn", "attention")
_ATTENTION_PROJECTIONS = ("attn.c_proj", "self_attn.o_proj", "attention.dense")
_MLP_PROJECTIONS = ("mlp.c_proj", "mlp.down_proj", "mlp.dense_4h_to_h")


def module_hook(path: str, side: Side, family: Family | None, given: str | None = None) -> str | None:
    """The hook point at a module's input or output; None if the path names no module of a block, or the user gave one.

    Raises:
        UserError: the module is known, and no hook point is there in this family.
    """
    found = _BLOCK.fullmatch(path)
    if given or not found:
        return None
    layer, module = int(found[1]), found[2] or ""
    kind = _kind(module, side, family)
    if kind is None:
        name = family.name if family else "this model"
        raise UserError(
            f"The dictionary was trained on the {side} of {path}, which is no hook point in {name}: add the one that you mean to "
            f"the spec, as in @mlp_out.{layer}."
        )
    return f"{kind}.{layer}"


def _kind(module: str, side: Side, family: Family | None) -> str | None:
    reading = side == "input"
    if not module:
        return "resid_pre" if reading else "resid_post"
    if module == "mlp":
        return "mlp_in" if reading else "mlp_out" if _added(family, "mlp", module) else None
    if module in _MLP_PROJECTIONS:
        return "mlp_hidden" if reading else "mlp_out" if _added(family, "mlp", "mlp") else None
    if module in _ATTENTION_PROJECTIONS:
        return "z" if reading else "attn_out" if _added(family, "attention", module.partition(".")[0]) else None
    if module in _ATTENTION:
        return None if reading or not _added(family, "attention", module) else "attn_out"
    return _norm_kind(module, reading, family)


def _norm_kind(module: str, reading: bool, family: Family | None) -> str | None:
    if module == "post_feedforward_layernorm":
        return None if reading else "mlp_out"
    before_mlp = {"pre_feedforward_layernorm", "ln_2"} if family is None else {family.mlp_norm}
    if module in before_mlp:
        return "resid_mid" if reading else "mlp_in"
    if family is not None and module == family.attention_added:
        return None if reading else "attn_out"
    return None


def _added(family: Family | None, which: str, module: str) -> bool:
    """Whether a module's own output is what is added to the residual stream."""
    if family is None:
        return True
    return module == (family.mlp_added if which == "mlp" else family.attention_added)
