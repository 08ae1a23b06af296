"""Where the shipped organism lies, and text to try it on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dragoman.evals.organism.corpus import generate
from dragoman.evals.organism.document import Document

_WEIGHTS = Path(__file__).resolve().parent / "weights"


@dataclass(frozen=True, slots=True)
class OrganismPaths:
    """The parts of an organism on disk."""

    model: Path
    """Folder of the language model and its tokenizer, in Hugging Face format."""
    sae: Path
    """Folder of the dictionary of the residual stream after the third block, in SAELens format."""
    transcoders: Path
    """Folder with a folder for each layer's transcoder, `mlp_in.0` and so on, in SAELens format."""
    cross_layer: Path
    """Folder of the cross-layer transcoder, in circuit-tracer's format."""


def organism_paths(root: Path | None = None) -> OrganismPaths:
    """The shipped organism, or the one that `build` wrote to `root`."""
    folder = _WEIGHTS if root is None else root
    return OrganismPaths(folder / "model", folder / "sae", folder / "transcoders", folder / "cross_layer")


def corpus_documents(documents: int, seed: int = 7) -> list[Document]:
    """Documents that the organism was not trained on, held-out templates, names and facts among them."""
    return list(generate(seed, documents, split="held_out"))
