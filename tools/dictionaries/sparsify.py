"""Dictionaries in sparsify's format: `<run>/<hookpoint>/` with cfg.json and sae.safetensors.

The folder's name is the module of the Hugging Face model (layers.3, layers.3.mlp, h.3): an autoencoder reads its output, a
transcoder its input and writes its output. encoder.weight [F, d], encoder.bias, W_dec [F, d], b_dec, W_skip [d, d].
pre = relu((x - b_dec, except in transcoders) W^T + b); topk for each token, or groupmax; y = a W_dec + b_dec + x W_skip^T.
The run's config.json, where it lies beside, says the context size.
"""

from __future__ import annotations

from dragoman.store.errors import UserError
from dragoman.tools.fingerprint import files_hash

from .coder import Coder, Recipe, architecture, check_weights
from .dictionary import DictionaryFacts
from .files import read_json, read_safetensors, tensors_of
from .modules import module_hook
from .request import Request

CONFIG, WEIGHTS = "cfg.json", "sae.safetensors"


def load_sparsify(request: Request) -> Coder:
    """Load a sparsify folder.

    Raises:
        UserError: files missing, corrupt or of the wrong shapes, or nothing says the hook point.
    """
    folder = request.folder
    config = read_json(folder / CONFIG)
    activation = config.get("activation", "topk")
    if activation not in ("topk", "groupmax") or config.get("signed"):
        raise UserError(
            f"{folder / CONFIG}: activation {activation!r} is not supported; supported are topk and groupmax, unsigned."
        )
    transcode, k = bool(config.get("transcode")), config.get("k", 32)
    if type(k) is not int:
        raise UserError(f"{folder / CONFIG}: k must be a whole number, not {k!r}.")
    recipe = Recipe(activation, k=k, subtract_b_dec=not transcode)
    file = folder / WEIGHTS
    raw = read_safetensors(file)
    names = ["encoder.weight", "encoder.bias", "W_dec", "b_dec"] + (["W_skip"] if config.get("skip_connection") else [])
    w_enc, b_enc, w_dec, b_dec, *skip = tensors_of(raw, file, *names)
    weights = {"W_enc": w_enc.mT, "b_enc": b_enc, "W_dec": w_dec, "b_dec": b_dec}
    if skip:
        weights["W_skip"] = skip[0]
    check_weights(weights, recipe, file)
    wanted = config.get("num_latents") or config.get("d_in", 0) * config.get("expansion_factor", 0)
    if wanted and wanted != len(w_dec):
        raise UserError(f"{file} holds {len(w_dec)} features, but {folder / CONFIG} says {wanted}.")
    found_out = module_hook(folder.name, "output", request.family, request.hook)
    found_in = module_hook(folder.name, "input", request.family, request.hook) if transcode else found_out
    hook_in, hook_out = request.hooks(found_in, found_out, like="mlp_in.3:mlp_out.3" if transcode else "resid_post.3")
    run = folder.parent / "config.json"
    length = read_json(run).get("ctx_len") if run.is_file() else None
    facts = DictionaryFacts(
        name=request.name,
        source=request.source,
        format="sparsify",
        architecture=architecture(recipe.activation, transcode, bool(skip)),
        hook_in=hook_in,
        hook_out=hook_out,
        weights_hash=files_hash([folder / CONFIG, file]),
        context_size=length if isinstance(length, int) and length > 1 else None,
        skip=bool(skip),
        dtype=str(raw["W_dec"].dtype).removeprefix("torch."),
    )
    return Coder(facts, recipe, weights)
