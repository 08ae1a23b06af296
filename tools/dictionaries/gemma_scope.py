"""Gemma Scope: `layer_L/width_W/average_l0_N/params.npz`, and Gemma Scope 2: params.safetensors with config.json.

JumpReLU; b_dec is not subtracted. Gemma Scope: W_enc [d, F], W_dec [F, d], b_enc, b_dec, threshold; the file does not say where
it reads, the path does (the repository's name ends with res, mlp, att or transcoders). Gemma Scope 2: the same in lower case, and
affine_skip_connection [d_in, d_out] in some transcoders; hook points are names of Hugging Face modules in config.json.
"""

from __future__ import annotations

import logging
import re

from dragoman.store.errors import UserError
from dragoman.tools.fingerprint import files_hash

from .coder import Coder, Recipe, architecture, check_weights
from .dictionary import DictionaryFacts
from .files import read_json, read_npz, read_safetensors, tensors_of
from .modules import Side, module_hook
from .request import Request

log = logging.getLogger(__name__)

WEIGHTS = "params.npz"
CONFIG_2, WEIGHTS_2 = "config.json", "params.safetensors"
_NAMES = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")
_SITES = {
    "res": ("resid_post", None),
    "mlp": ("mlp_out", None),
    "att": ("z", None),
    "transcoders": ("mlp_normalized", "mlp_out"),
}
"""By the last word of the repository's name: the kinds of the hook points read and written."""
_FOLDERS_2 = {
    "resid_post": ("resid_post", None),
    "mlp_out": ("mlp_out", None),
    "attn_out": ("z", None),
    "transcoder": ("mlp_in", "mlp_out"),
}
"""The same by the name of Gemma Scope 2's folder, for files without a config."""
_CONTEXT = 1024


def load_gemma_scope(request: Request) -> Coder:
    """Load one Gemma Scope file.

    Raises:
        UserError: the file is missing, corrupt or of the wrong shapes, or nothing says the hook point.
    """
    file = request.folder / WEIGHTS
    raw = read_npz(file)
    weights = dict(zip(_NAMES, tensors_of(raw, file, *_NAMES), strict=True))
    recipe = Recipe("jumprelu")
    check_weights(weights, recipe, file)
    hook_in, hook_out = request.hooks(*_site(request), like="resid_post.12")
    return Coder(_facts(request, "gemma_scope", hook_in, hook_out, files_hash([file]), str(raw["W_dec"].dtype)), recipe, weights)


def load_gemma_scope_2(request: Request) -> Coder:
    """Load one Gemma Scope 2 folder.

    Raises:
        UserError: files missing, corrupt or of the wrong shapes, or nothing says the hook point.
    """
    file, config_file = request.folder / WEIGHTS_2, request.folder / CONFIG_2
    config = read_json(config_file) if config_file.is_file() else {}
    if config.get("architecture", "jump_relu") != "jump_relu":
        raise UserError(f"{config_file}: architecture {config['architecture']!r} is not supported; supported is jump_relu.")
    raw = read_safetensors(file)
    weights = dict(zip(_NAMES, tensors_of(raw, file, *(name.lower() for name in _NAMES)), strict=True))
    skip = "affine_skip_connection" in raw
    if skip:
        weights["W_skip"] = tensors_of(raw, file, "affine_skip_connection")[0].mT
    recipe = Recipe("jumprelu")
    check_weights(weights, recipe, file)
    found_in, found_out = _named(config, request) if config.get("hf_hook_point_in") else _folder_site(request)
    hook_in, hook_out = request.hooks(found_in, found_out, like="mlp_in.12:mlp_out.12" if skip else "resid_post.12")
    hashed = files_hash([f for f in (config_file, file) if f.is_file()])
    return Coder(_facts(request, "gemma_scope_2", hook_in, hook_out, hashed, str(raw["w_dec"].dtype), skip), recipe, weights)


def _facts(
    request: Request, format_: str, hook_in: str, hook_out: str, hashed: str, dtype: str, skip: bool = False
) -> DictionaryFacts:
    return DictionaryFacts(
        name=request.name,
        source=request.source,
        format=format_,
        architecture=architecture("jumprelu", hook_in != hook_out, skip),
        hook_in=hook_in,
        hook_out=hook_out,
        weights_hash=hashed,
        context_size=_CONTEXT,
        prepend_bos=True,
        skip=skip,
        dtype=dtype.removeprefix("torch."),
    )


def _site(request: Request) -> tuple[str | None, str | None]:
    layer = request.layer_in_path()
    if layer is None:
        return None, None
    found = re.findall(r"gemma-scope[\w.-]*?-(res|mlp|att|transcoders)\b", str(request.path.resolve()) + " " + request.place)
    if not found and not request.hook:
        log.warning(
            "The path of %s names layer %d and no site; taken as resid_post.%d. Add @HOOK to the spec if it is another place.",
            request.path,
            layer,
            layer,
        )
    kind_in, kind_out = _SITES[found[-1] if found else "res"]
    return f"{kind_in}.{layer}", None if kind_out is None else f"{kind_out}.{layer}"


def _named(config: dict[str, object], request: Request) -> tuple[str | None, str | None]:
    """Hook points from names such as `model.layers.5.post_feedforward_layernorm.output`."""
    points: list[str | None] = []
    for key in ("hf_hook_point_in", "hf_hook_point_out"):
        path, _, side = str(config.get(key) or "").rpartition(".")
        where: Side = "input" if side == "input" else "output"
        points.append(module_hook(path, where, request.family, request.hook) if path else None)
    return points[0], points[1]


def _folder_site(request: Request) -> tuple[str | None, str | None]:
    layer = request.layer_in_path()
    place = str(request.path.resolve())
    found = [kinds for name, kinds in _FOLDERS_2.items() if name in place]
    if layer is None or len(found) != 1:
        return None, None
    kind_in, kind_out = found[0]
    return f"{kind_in}.{layer}", None if kind_out is None else f"{kind_out}.{layer}"
