"""The file formats, and recognising which one a folder or file is in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dragoman.store.errors import UserError

from . import circuit_tracer, dictionary_learning, gemma_scope, llama_scope, openai, saelens, sparsify
from .dictionary import Dictionary
from .files import read_pt
from .request import Request

Names = frozenset[str]
"""Files below a folder, as relative paths with slashes."""


@dataclass(frozen=True)
class Format:
    """A file format."""

    name: str
    """As in `DictionaryFacts.format`."""
    looks_for: str
    """The files it is recognised by, for people."""
    holds: str
    """What it can hold, for people."""
    needs: Callable[[Names], list[str]]
    """Which of the files are read; none if the files are not in this format."""
    load: Callable[[Request], Sequence[Dictionary]]
    """Reads it; one or several dictionaries."""


def _files(marker: str, *others: str, without: str = "") -> Callable[[Names], list[str]]:
    """A format with fixed names: the marker must be there, and `without` must not."""
    return lambda names: [n for n in (marker, *others) if n in names] if marker in names and without not in names else []


def _saelens(names: Names) -> list[str]:
    return _files(saelens.WEIGHTS, saelens.CONFIG)(names) or _files(saelens.CONFIG, without=sparsify.WEIGHTS)(names)


def _layers(of: Callable[[Iterable[str]], list[str]]) -> Callable[[Names], list[str]]:
    def needs(names: Names) -> list[str]:
        found = of(names)
        return [*found, circuit_tracer.CONFIG] if found and circuit_tracer.CONFIG in names else found

    return needs


def _one_pt(names: Names) -> list[str]:
    return sorted(n for n in names if n.endswith(".pt") and "/" not in n)


FORMATS = (
    Format(
        "saelens",
        "sae_weights.safetensors with cfg.json",
        "standard, gated, topk, jumprelu (BatchTopK, Matryoshka), transcoder, skip_transcoder, jumprelu_transcoder, "
        "jumprelu_skip_transcoder",
        _saelens,
        lambda request: [saelens.load_saelens(request)],
    ),
    Format(
        "sparsify",
        "sae.safetensors with cfg.json",
        "topk, groupmax; autoencoders, transcoders, skip transcoders",
        _files(sparsify.WEIGHTS, sparsify.CONFIG, f"../{dictionary_learning.CONFIG}"),
        lambda request: [sparsify.load_sparsify(request)],
    ),
    Format(
        "dictionary_learning",
        "ae.pt with config.json",
        ", ".join(dictionary_learning.CLASSES),
        _files(dictionary_learning.WEIGHTS, dictionary_learning.CONFIG),
        lambda request: [dictionary_learning.load_dictionary_learning(request)],
    ),
    Format(
        "gemma_scope",
        "params.npz",
        "jumprelu autoencoders and transcoders",
        _files(gemma_scope.WEIGHTS),
        lambda request: [gemma_scope.load_gemma_scope(request)],
    ),
    Format(
        "gemma_scope_2",
        "params.safetensors with config.json",
        "jumprelu autoencoders, transcoders and skip transcoders",
        _files(gemma_scope.WEIGHTS_2, gemma_scope.CONFIG_2),
        lambda request: [gemma_scope.load_gemma_scope_2(request)],
    ),
    Format(
        "llama_scope",
        "hyperparams.json with checkpoints/final.safetensors",
        "jumprelu, topk, relu; autoencoders and transcoders",
        _files(llama_scope.CONFIG, llama_scope.WEIGHTS),
        lambda request: [llama_scope.load_llama_scope(request)],
    ),
    Format(
        "circuit_tracer",
        "layer_0.safetensors … (per-layer transcoders) with config.yaml",
        "relu, jumprelu, topk transcoders and skip transcoders, one dictionary a layer",
        _layers(circuit_tracer.per_layer_files),
        circuit_tracer.load_per_layer,
    ),
    Format(
        "circuit_tracer",
        "W_enc_0.safetensors, W_dec_0.safetensors … (cross-layer transcoder) with config.yaml",
        "relu, jumprelu, topk cross-layer transcoders, one dictionary a layer",
        _layers(circuit_tracer.cross_layer_files),
        circuit_tracer.load_cross_layer,
    ),
    Format(
        "openai",
        "one .pt file with pre_bias and latent_bias",
        "topk and relu autoencoders",
        _one_pt,
        lambda request: [openai.load_openai(request)],
    ),
)
"""All formats, in the order in which they are tried."""


def recognise(names: Iterable[str]) -> Format | None:
    """The format of a folder with files of these names; None if it is none."""
    names = frozenset(names)
    return next((f for f in FORMATS if f.needs(names)), None)


def format_of(path: Path) -> Format:
    """The format of a folder or of a file in it.

    Raises:
        UserError: it is in no known format; the message says what was looked for.
    """
    if path.is_file():
        found = recognise([path.name])
        if found is not None and (found.name != "openai" or "pre_bias" in read_pt(path)):
            return found
        raise UserError(f"{path} is not a dictionary of a known format. {looked_for()}")
    found = recognise(names_in(path))
    if found is not None:
        return found
    inside = _folders_inside(path)
    if inside:
        raise UserError(f"{path} holds no dictionary itself, but folders in it do; name one of them: {', '.join(inside)}.")
    raise UserError(f"{path} is not a dictionary of a known format. {looked_for()}")


def looked_for() -> str:
    """What the formats are recognised by, for messages."""
    return f"Looked for {'; '.join(f'{f.looks_for} ({f.name})' for f in FORMATS)}."


def names_in(folder: Path) -> frozenset[str]:
    """Files in a folder and one level below, as relative paths."""
    try:
        entries = list(folder.iterdir())
        below = [f"{d.name}/{f.name}" for d in entries if d.is_dir() for f in d.iterdir() if f.is_file()]
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}).") from None
    return frozenset([*(f.name for f in entries if f.is_file()), *below])


def _folders_inside(path: Path, most: int = 6) -> list[str]:
    """The first folders below that hold a dictionary."""
    found = []
    for at, (folder, folders, files) in enumerate(os.walk(path)):
        folders.sort()
        if recognise(files) is not None:
            found.append(str(Path(folder)))
        if len(found) == most or at > 1000:
            break
    return found
