"""How long loading a dictionary takes against reading its files once and hashing the bytes, in one run.

The reference streams every file once through a small buffer into SHA-256 and keeps nothing. Loading recognises the format, hashes
the files, checks every weight for shape and NaN, and gives a dictionary that can encode; float32 weights stay mapped where they
lie. Files are in the page cache for both; best of several, interleaved. `DRAGOMAN_BENCH=full` runs full counts, asserts the
limit and writes docs/benchmarks/loading.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dragoman.tools.dictionaries import Recipe, make_coder, make_cross_layer, read, save_cross_layer, save_saelens

FULL = os.environ.get("DRAGOMAN_BENCH") == "full"
D, F, LAYERS = (768, 24_576, 3) if FULL else (64, 4096, 3)
REPEATS = 5 if FULL else 2
LIMIT = 1.5
TABLE = Path(__file__).parents[2] / "docs" / "benchmarks" / "loading.md"


def weights(*names: str, transposed: bool = False) -> dict[str, torch.Tensor]:
    """Random weights under the names of a format: encoder, decoder, encoder's bias, decoder's bias."""
    shapes = [(F, D), (D, F) if transposed else (F, D), (F,), (D,)]
    return {name: torch.randn(shape) for name, shape in zip(names, shapes, strict=True)}


def saelens(folder: Path) -> str:
    w = weights("W_enc", "W_dec", "b_enc", "b_dec")
    w["W_enc"] = w["W_enc"].T
    save_saelens(make_coder("x", "resid_post.1", "resid_post.1", Recipe("topk", k=32), w), folder)
    return str(folder)


def half(folder: Path) -> str:
    w = weights("W_enc", "W_dec", "b_enc", "b_dec")
    w["W_enc"] = w["W_enc"].T
    save_saelens(make_coder("x", "resid_post.1", "resid_post.1", Recipe("topk", k=32), w), folder, dtype=torch.bfloat16)
    return str(folder)


def sparsify(folder: Path) -> str:
    folder.mkdir()
    save_file(weights("encoder.weight", "W_dec", "encoder.bias", "b_dec"), folder / "sae.safetensors")
    (folder / "cfg.json").write_text(json.dumps({"k": 32, "d_in": D, "num_latents": F}))
    return str(folder)


def dictionary_learning(folder: Path) -> str:
    folder.mkdir()
    tensors = weights("encoder.weight", "decoder.weight", "encoder.bias", "b_dec", transposed=True)
    torch.save({**tensors, "k": torch.tensor(32)}, folder / "ae.pt")
    (folder / "config.json").write_text(json.dumps({"trainer": {"dict_class": "AutoEncoderTopK", "k": 32}}))
    return f"{folder}@resid_post.1"


def gemma_scope(folder: Path) -> str:
    folder.mkdir()
    w = weights("W_enc", "W_dec", "b_enc", "b_dec")
    arrays = {**{n: t.numpy() for n, t in w.items()}, "W_enc": w["W_enc"].T.contiguous().numpy()}
    np.savez(folder / "params.npz", **arrays, threshold=np.ones(F, np.float32))  # type: ignore[arg-type]
    return f"{folder}@resid_post.1"


def cross_layer(folder: Path) -> str:
    width = F // 4
    clt = make_cross_layer(
        "clt",
        [torch.randn(width, D) for _ in range(LAYERS)],
        [torch.zeros(width)] * LAYERS,
        [torch.randn(width, LAYERS - i, D) for i in range(LAYERS)],
        [torch.zeros(D)] * LAYERS,
    )
    save_cross_layer(clt, folder)
    return str(folder)


FORMATS: dict[str, tuple[Callable[[Path], str], bool]] = {
    "SAELens, float32": (saelens, True),
    "SAELens, bfloat16": (half, False),
    "sparsify": (sparsify, True),
    "dictionary_learning": (dictionary_learning, True),
    "Gemma Scope, .npz": (gemma_scope, False),
    "circuit-tracer, cross-layer": (cross_layer, True),
}
"""How to write each, and whether its weights can stay mapped (16-bit ones and .npz have to be copied into memory)."""


def measure(spec: str, folder: Path) -> tuple[int, float, float]:
    """Bytes, and the best seconds of the reference and of loading."""
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    reference, loading = [], []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        for file in files:
            with file.open("rb") as stream:
                hashlib.file_digest(stream, "sha256").hexdigest()
        reference.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        found = read(spec, None)
        loading.append(time.perf_counter() - begin)
        assert sum(d.width for d in found) in (F, F // 4 * LAYERS)
        del found
    return sum(f.stat().st_size for f in files), min(reference), min(loading)


@pytest.mark.benchmark
@pytest.mark.slow
def test_loading_against_reading_once(tmp_path: Path) -> None:
    rows, missed = [], []
    for number, (name, (write, mapped)) in enumerate(FORMATS.items()):
        folder = tmp_path / str(number)
        size, reference, loading = measure(write(folder), folder)
        ratio = loading / reference
        limit = f" (limit {LIMIT})" if mapped else ""
        rows.append(f"| {name} | {size / 1e6:.0f} | {reference * 1e3:.0f} | {loading * 1e3:.0f} | **{ratio:.2f}**{limit} |")
        missed += [name] if mapped and ratio > LIMIT else []
        assert loading > 0
    table = "| format | MB | read once and hash, ms | load, ms | ratio |\n|---|---|---|---|---|\n" + "\n".join(rows)
    print("\n" + table)
    if FULL:
        machine = f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}"
        load = f"load average {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
        sizes = f"{F:,} features of width {D} (the cross-layer transcoder: {LAYERS} layers of {F // 4:,})"
        TABLE.write_text(f"# Loading a dictionary\n\n{__doc__.strip()}\n\n{sizes}. Measured on {machine}, {load}.\n\n{table}\n")
        assert not missed, f"over the limit: {missed}"
