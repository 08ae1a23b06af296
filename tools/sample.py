"""What a subject computes on the first tokens of a text: for measuring dictionaries before anything is stored."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from .documents import Corpus
from .source import padded
from .subject import Subject
from .windows import cut, tokenized

DOCUMENTS, WINDOWS = 64, 32
"""Documents and windows that are looked at."""


@torch.inference_mode()
def sample(
    subject: Subject, text: Corpus, hooks: Sequence[str], window: int, prepend_bos: bool
) -> tuple[np.ndarray, dict[str, Tensor]]:
    """Tokens from the beginning of a text (BOS, EOS and PAD left out) and the tensors at hook points.

    Returns:
        Token ids (tokens,), and by hook point (tokens, width).
    """
    special = np.array(sorted(subject.special_ids()), np.int32)
    documents = list(islice(tokenized(subject, text, special), DOCUMENTS))
    windows = cut(documents, window)
    rows = windows.rows(np.arange(min(WINDOWS, len(windows.owner))))
    ids: list[np.ndarray] = [np.zeros(0, np.int64)]
    parts: dict[str, list[Tensor]] = {hook: [torch.zeros(0, subject.width(hook), device=subject.device)] for hook in hooks}
    for row in rows:
        batch = padded([row], subject.bos_id if prepend_bos else None)
        captured = subject.capture(torch.from_numpy(batch.ids), list(hooks))
        keep = torch.from_numpy(batch.flat).to(subject.device)
        ids.append(batch.ids.reshape(-1)[batch.flat])
        for hook, tensor in captured.items():
            parts[hook].append(tensor.flatten(0, 1)[keep].float())
    return np.concatenate(ids), {hook: torch.cat(tensors) for hook, tensors in parts.items()}
