"""Workbenches on tiny random models: a sparse autoencoder, an MLP's neurons and some directions, with or without BOS."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from dragoman.tools.harvest import harvest
from dragoman.tools.subject import Subject
from dragoman.tools.workbench import Workbench

WORDS = ("the", "cat", "sat", "on", "mat", "and", "dog", "ran", "to", "park", "with", "a", "Red", "ball", "42", "7")
WINDOW = 20


def write_sae(folder: Path, *, d: int = 16, features: int = 32, k: int = 6, prepend_bos: bool = True) -> Path:
    """A topk autoencoder with random weights on resid_post.1, in SAELens' layout; its last feature never is among the k."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(5)
    weights = {
        name: torch.randn(shape, generator=generator) for name, shape in (("W_enc", (d, features)), ("W_dec", (features, d)))
    }
    weights |= {"b_enc": torch.zeros(features), "b_dec": 0.1 * torch.randn(d, generator=generator)}
    weights["b_enc"][-1] = -50.0
    save_file(weights, folder / "sae_weights.safetensors")
    metadata = {"hook_name": "blocks.1.hook_resid_post", "context_size": WINDOW + prepend_bos, "prepend_bos": prepend_bos}
    config = {"architecture": "topk", "k": k, "d_in": d, "d_sae": features, "apply_b_dec_to_input": True, "metadata": metadata}
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


def make_bench(folder: Path, subject: Subject, *, prepend_bos: bool = True, documents: int = 150) -> Workbench:
    """Harvest random sentences into a store and open it; its dictionaries are sae, mlp.0 and probes."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.choice(WORDS, generator.integers(3, 50))) + f" {n}." for n in range(documents)]
    (folder / "texts.json").write_text(json.dumps(texts))
    np.save(folder / "probes.npy", generator.standard_normal((5, 16)).astype(np.float32))
    sae = write_sae(folder / "sae", prepend_bos=prepend_bos)
    specs = [str(sae), "neurons:mlp.0", f"directions:{folder}/probes.npy@resid_post.2"]
    store = harvest(folder / "store", subject, specs, str(folder / "texts.json"), progress=False)
    return Workbench(store, model=subject)
