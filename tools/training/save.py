"""A trained dictionary as files."""

from __future__ import annotations

import json
from pathlib import Path

from torch import Tensor

from dragoman.tools.subject import Subject

from .fold import fold
from .learner import Learner
from .stream import Reading, Scale


def save(folder: Path, learner: Learner, scales: dict[str, Scale], subject: Subject, reading: Reading) -> None:
    """Write an autoencoder or a transcoder as SAELens does."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (layer,) = fold(learner, scales)
    architecture = "topk" if learner.settings.sparsifier == "topk" else "jumprelu"
    kind, number = learner.shape.inputs[0].split(".")
    configuration = {
        "d_in": learner.shape.d_in,
        "d_sae": learner.settings.features,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": learner.shape.tied,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {
            "sae_lens_version": "6.54.12",
            "model_name": subject.name,
            "hook_name": f"blocks.{number}.hook_{kind}",
            "hook_head_index": None,
            "prepend_bos": reading.prepend_bos,
            "context_size": reading.window + reading.prepend_bos,
            "exclude_special_tokens": True,
        },
        "architecture": architecture,
    }
    tensors: dict[str, Tensor] = {"W_enc": layer.w_enc, "b_enc": layer.b_enc, "W_dec": layer.w_dec[:, 0], "b_dec": layer.b_dec}
    if architecture == "topk":
        configuration |= {"k": learner.settings.k, "rescale_acts_by_decoder_norm": False}
    else:
        assert layer.threshold is not None
        tensors["threshold"] = layer.threshold
    (folder / "cfg.json").write_text(json.dumps(configuration, indent=2) + "\n")
    save_file({name: t.contiguous() for name, t in tensors.items()}, folder / "sae_weights.safetensors")
