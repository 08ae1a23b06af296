"""What can be said about dictionaries before they are used: what their files hold, and how well they fit a model on a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .dictionaries import Coder, Dictionary, read
from .documents import Corpus
from .forward import fit_parts, measure_fit
from .sample import sample
from .scale import with_scales
from .source import excluded
from .subject import Subject

WINDOW = 128
"""Tokens of a window where a dictionary does not say its own length, BOS included."""


@dataclass(frozen=True)
class Inspected:
    """One dictionary."""

    name: str
    """DICT of DICT/INDEX."""
    source: str
    """Its spec."""
    format: str
    """File format."""
    architecture: str
    """How it encodes and what it is."""
    hook_in: str
    """Hook point it reads; `?` where nothing says it."""
    hooks_out: tuple[str, ...]
    """Hook points it writes."""
    width: int
    """Number of features."""
    d_in: int
    """Width of its input."""
    d_out: int
    """Width of its output."""
    normalization: str
    """What is done to the input."""
    k: int | None
    """Features a token, of top-k ones."""
    threshold: tuple[float, float] | None
    """Smallest and largest threshold, of JumpReLU ones."""
    context_size: int | None
    """Length of its training inputs."""
    prepend_bos: bool | None
    """Whether they began with BOS."""
    excluded_tokens: int
    """How many tokens of the vocabulary it was not trained on."""
    dtype: str
    """Of the weights in the file."""
    variance_unexplained: float | None = None
    """Of the tensor at the first of `hooks_out`, on the text."""
    tokens: int = 0
    """Tokens it was measured on."""
    unmeasured: str = ""
    """Why the variance was not measured."""


def inspect(specs: Sequence[str], subject: Subject | None = None, text: Corpus | None = None) -> list[Inspected]:
    """Look at the dictionaries of some specs.

    Args:
        specs: see `dictionaries.load`.
        subject: the model to check them against; without it hook points may be unknown.
        text: where the variance unexplained is measured, on its first tokens; each spec by itself.

    Raises:
        UserError: a dictionary cannot be read or does not fit the subject.
    """
    found: list[Inspected] = []
    for spec in specs:
        dictionaries = list(read(spec, subject))
        if subject is None or text is None:
            why = "no model given" if subject is None else "no text given"
            found += [_described(d, unmeasured=why) for d in dictionaries]
        else:
            found += _measured(dictionaries, subject, text)
    return found


@torch.inference_mode()
def _measured(dictionaries: list[Dictionary], subject: Subject, text: Corpus) -> list[Inspected]:
    facts = dictionaries[0].facts
    bos = subject.prepends_bos if facts.prepend_bos is None else facts.prepend_bos
    bos = bos and subject.bos_id is not None
    window = max(1, min(facts.context_size or WINDOW, subject.max_positions) - bos)
    dictionaries = with_scales(subject, dictionaries, text, window, bos)
    parts = {d.facts.name: fit_parts(d, dictionaries) for d in dictionaries}
    used = [p for d in dictionaries for p in parts[d.facts.name]]
    hooks = sorted({h for p in used for h in (p.facts.hook_in, p.facts.hook_out)})
    ids, tensors = sample(subject, text, hooks, window, bos) if hooks else (np.zeros(0, np.int64), {})
    found = []
    for dictionary in dictionaries:
        out = excluded(ids, dictionary)
        rows = torch.from_numpy(np.flatnonzero(~out) if out is not None else np.arange(len(ids))).to(subject.device)
        if not parts[dictionary.facts.name]:
            why = "a part of a whole that is not all there" if dictionary.facts.whole or dictionary.facts.part else ""
            found.append(_described(dictionary, unmeasured=why or "not meant to reconstruct anything"))
        elif not len(rows):
            found.append(_described(dictionary, unmeasured="the text has no tokens for it"))
        else:
            fit = measure_fit(parts[dictionary.facts.name], {hook: x[rows] for hook, x in tensors.items()})
            found.append(_described(dictionary, fit.unexplained, fit.tokens))
    return found


def _described(dictionary: Dictionary, unexplained: float | None = None, tokens: int = 0, unmeasured: str = "") -> Inspected:
    facts = dictionary.facts
    coder = dictionary if isinstance(dictionary, Coder) else None
    threshold = None if coder is None else coder.weights.get("threshold")
    return Inspected(
        name=facts.name,
        source=facts.source,
        format=facts.format,
        architecture=facts.architecture,
        hook_in=facts.hook_in,
        hooks_out=facts.hooks_out,
        width=dictionary.width,
        d_in=dictionary.d_in,
        d_out=int(dictionary.directions.shape[1]) if coder is None else coder.d_out,
        normalization="none" if coder is None else _normalization(coder),
        k=None if coder is None else coder.recipe.k or None,
        threshold=None if threshold is None else (float(threshold.min()), float(threshold.max())),
        context_size=facts.context_size,
        prepend_bos=facts.prepend_bos,
        excluded_tokens=len(facts.excluded_ids),
        dtype=facts.dtype,
        variance_unexplained=unexplained,
        tokens=tokens,
        unmeasured=unmeasured,
    )


def _normalization(coder: Coder) -> str:
    recipe = coder.recipe
    steps = ["centred"] if recipe.centred else []
    if recipe.needs_scale:
        steps.append("scale unknown, 1 is used")
    elif recipe.scale_in != 1:
        steps.append(
            f"scale {recipe.scale_in:.4g}" + (f" / {recipe.scale_out:.4g}" if recipe.scale_out != recipe.scale_in else "")
        )
    if recipe.normalization != "none":
        steps.append(recipe.normalization)
    return ", ".join(steps) or "none"
