"""Scales that a dictionary's files do not hold: estimated on the first tokens of a text.

SAELens' expected_average_only_in multiplies inputs by s = sqrt(d) / mean norm, the mean taken over training tokens. Here the mean
is over real tokens of the text (no BOS), which is another sample, and of another distribution if the text is.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from dragoman.store.errors import UserError

from .dictionaries import Coder, Dictionary
from .documents import Corpus
from .sample import sample
from .subject import Subject

log = logging.getLogger(__name__)


def with_scales(
    subject: Subject, dictionaries: Sequence[Dictionary], text: Corpus, window: int, prepend_bos: bool
) -> list[Dictionary]:
    """The dictionaries, those of unknown scale with an estimated one, which is logged.

    Raises:
        UserError: the text has no tokens to estimate it on.
    """
    hooks = sorted({d.facts.hook_in for d in dictionaries if _unknown(d)})
    if not hooks:
        return list(dictionaries)
    ids, tensors = sample(subject, text, hooks, window, prepend_bos)
    if not len(ids):
        raise UserError(f"{text.place} holds no text on which the scale of a dictionary can be estimated: give ?scale=S.")
    norms = {hook: float(torch.linalg.vector_norm(x.double(), dim=-1).mean()) for hook, x in tensors.items()}
    return [_scaled(d, norms[d.facts.hook_in], len(ids)) if _unknown(d) else d for d in dictionaries]


def _unknown(dictionary: Dictionary) -> bool:
    return isinstance(dictionary, Coder) and dictionary.recipe.needs_scale


def _scaled(dictionary: Dictionary, norm: float, tokens: int) -> Dictionary:
    assert isinstance(dictionary, Coder)
    scale = float(f"{dictionary.d_in**0.5 / norm:.6g}")
    log.warning(
        "The scale of %s was estimated on %d tokens of the text: ?scale=%s. Give that, or the one from its training, to fix it.",
        dictionary.facts.name,
        tokens,
        scale,
    )
    return dictionary.scaled(scale)
