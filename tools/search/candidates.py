"""Candidates of a search: token sequences that some text leads to, judged by running them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from dragoman.store.errors import UserError
from dragoman.tools.probe import Probe

Ids = tuple[int, ...]
Likelihood = Callable[[Probe, Sequence[Ids]], np.ndarray]
SILENT = -1e9
"""Score of a text on which the feature is silent."""


class Candidate(NamedTuple):
    """A token sequence and how strongly it fires the feature; the larger, the better."""

    score: float
    """What is compared first: the activation, less what the text's unlikelihood costs; very low where it is silent."""
    pre: float
    """The pre-activation there; where the feature is silent, the largest one."""
    value: float
    """The largest activation."""
    ids: Ids
    """The tokens up to the one at which this is."""


class Pool:
    """Runs token sequences and remembers them; one feature's search."""

    def __init__(self, probe: Probe, length: int, fluency: float = 0.0, likelihood: Likelihood | None = None) -> None:
        """
        Args:
            probe: the feature.
            length: most tokens of a candidate.
            fluency: what a nat of unlikelihood a token costs, in train maxima of the feature.
            likelihood: gives the mean log-probability of each row's tokens; needed where fluency counts.
        """
        self.probe, self.length, self.fluency = probe, length, fluency
        self.likelihood = likelihood
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
        places = [int((v if v.max() > 0 else p).argmax()) for v, p in zip(values, pres, strict=True)]
        cut = [ids[: at + 1] for ids, at in zip(rows, places, strict=True)]
        likelihood = self.likelihood(self.probe, cut) if self.likelihood and self.fluency else np.zeros(len(rows))
        cost = self.fluency * (self.probe.maximum or 1.0)
        judged = []
        for n, at in enumerate(places):
            value = float(values[n][at])
            score = value + cost * float(likelihood[n]) if value > 0 else SILENT
            candidate = Candidate(score, float(pres[n][at]), value, cut[n])
            self.seen[rows[n]] = self.seen[cut[n]] = candidate
            judged.append(candidate)
        return judged

    def random(self, generator: np.random.Generator, n: int) -> list[Ids]:
        """n sequences of tokens drawn at random."""
        return [tuple(generator.choice(self.allowed, self.length).tolist()) for _ in range(n)]


def best(candidates: Sequence[Candidate], n: int) -> list[Candidate]:
    """The n best different candidates."""
    return sorted(set(candidates), reverse=True)[:n]
