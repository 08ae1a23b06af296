"""Candidates of a search: token sequences that some text leads to, judged by running them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dragoman.store.errors import UserError
from dragoman.tools.probe import Probe

Ids = tuple[int, ...]


class Candidate(NamedTuple):
    """A token sequence and how strongly it fires the feature; the larger, the better."""

    value: float
    """The largest activation on it."""
    pre: float
    """The pre-activation there; where the feature is silent, the largest one."""
    ids: Ids
    """The tokens up to the one at which this is."""


class Pool:
    """Runs token sequences and remembers them; one feature's search."""

    def __init__(self, probe: Probe, length: int) -> None:
        """
        Args:
            probe: the feature.
            length: most tokens of a candidate.
        """
        self.probe, self.length = probe, length
        self.seen: dict[Ids, Candidate] = {}
        special = probe.subject.special_ids()
        words = probe.subject.vocabulary[: int(probe.subject.text_config.vocab_size)]
        self.allowed = np.array([i for i, w in enumerate(words) if w and "\ufffd" not in w and i not in special], np.int64)
        if not len(self.allowed):
            raise UserError("The tokenizer has no token that stands for a text of its own, so there is nothing to search in.")

    def possible(self, rows: Sequence[Sequence[int]]) -> list[Ids]:
        """The rows as the tokenizer cuts their text, at most `length` tokens, each once, without those run before."""
        backend = self.probe.subject.tokenizer.backend_tokenizer
        texts = backend.decode_batch([[int(i) for i in row] for row in rows], skip_special_tokens=False)
        special = self.probe.subject.special_ids()
        found: dict[Ids, None] = {}
        for encoding in backend.encode_batch(texts, add_special_tokens=False):
            ids = tuple(encoding.ids[-self.length :])
            if ids and ids not in self.seen and not special.intersection(ids):
                found.setdefault(ids)
        return list(found)

    def run(self, rows: Sequence[Ids]) -> list[Candidate]:
        """Judge rows, in shared batches; each is cut after the token at which the feature is strongest."""
        values, pres = self.probe.both(rows)
        judged = []
        for ids, value, pre in zip(rows, values, pres, strict=True):
            at = int(value.argmax()) if value.max() > 0 else int(pre.argmax())
            candidate = Candidate(float(value[at]), float(pre[at]), ids[: at + 1])
            self.seen[ids] = self.seen[candidate.ids] = candidate
            judged.append(candidate)
        return judged

    def random(self, generator: np.random.Generator, n: int) -> list[Ids]:
        """n sequences of tokens drawn at random."""
        return [tuple(generator.choice(self.allowed, self.length).tolist()) for _ in range(n)]


def best(candidates: Sequence[Candidate], n: int) -> list[Candidate]:
    """The n best different candidates."""
    return sorted(set(candidates), reverse=True)[:n]
