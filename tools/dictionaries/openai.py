"""OpenAI's sparse autoencoders: one .pt, a state dict.

pre_bias [d], latent_bias [F], encoder.weight [F, d], decoder.weight [d, F] (missing where it is tied to the encoder), and
`activation` with `activation_state_dict`. p = (norm(x) - pre_bias) W^T + latent_bias; TopK or ReLU; y = a W_dec + pre_bias with
the normalisation undone. TopK implies layer_norm, which the file does not say. The path says where it reads
(resid_post_mlp_v5_32k/autoencoders/8.pt).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from dragoman.store.errors import UserError
from dragoman.tools.fingerprint import files_hash

from .coder import Coder, Recipe, architecture, check_weights
from .dictionary import DictionaryFacts
from .files import read_pt, tensors_of
from .request import Request

_PLACES = {
    "mlp_post_act": "mlp_hidden",
    "resid_delta_mlp": "mlp_out",
    "resid_delta_attn": "attn_out",
    "resid_post_attn": "resid_mid",
    "resid_post_mlp": "resid_post",
}


def load_openai(request: Request) -> Coder:
    """Load one .pt file.

    Raises:
        UserError: the file is missing, corrupt or of the wrong shapes, or nothing says the hook point.
    """
    file = _file(request.path)
    raw = read_pt(file)
    w_enc, b_enc, b_dec = tensors_of(raw, file, "encoder.weight", "latent_bias", "pre_bias")
    w_dec = tensors_of(raw, file, "decoder.weight")[0].mT if "decoder.weight" in raw else w_enc
    weights = {"W_enc": w_enc.mT, "b_enc": b_enc, "W_dec": w_dec, "b_dec": b_dec}
    recipe = _recipe(raw, file)
    check_weights(weights, recipe, file)
    hook_in, hook_out = request.hooks(_hook(str(file.resolve())), like="resid_post.8")
    facts = DictionaryFacts(
        name=request.name,
        source=request.source,
        format="openai",
        architecture=architecture(recipe.activation, False, False),
        hook_in=hook_in,
        hook_out=hook_out,
        weights_hash=files_hash([file]),
        context_size=64,
        prepend_bos=False,
        dtype=str(raw["encoder.weight"].dtype).removeprefix("torch."),
    )
    return Coder(facts, recipe, weights)


def _recipe(raw: dict[str, Any], file: Path) -> Recipe:
    activation = raw.get("activation", "ReLU")
    if activation == "ReLU":
        return Recipe("relu", subtract_b_dec=True)
    state = raw.get("activation_state_dict")
    k = state.get("k") if isinstance(state, dict) else None
    if activation != "TopK" or k is None:
        raise UserError(f"{file}: activation {activation!r} is not supported; supported are TopK (with k) and ReLU.")
    return Recipe("topk", k=int(k), subtract_b_dec=True, normalization="layer_norm")


def _file(path: Path) -> Path:
    if path.is_file():
        return path
    files = sorted(path.glob("*.pt"))
    if len(files) > 1:
        raise UserError(f"{path} holds {len(files)} .pt files: name one of them, such as {files[0]}.")
    return files[0]


def _hook(place: str) -> str | None:
    layer = re.search(r"/(\d+)\.pt$", place)
    kinds = [kind for name, kind in _PLACES.items() if name in place]
    return f"{kinds[0]}.{layer[1]}" if layer and len(kinds) == 1 else None
